//! CPU time of a process.

use std::time::Duration;

use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// What all threads of a process have had so far, those that have ended included; `None` when there is no such process.
#[must_use]
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let pid = Pid::from_raw(i32::try_from(pid).ok().filter(|pid| *pid > 0)?);
    Some(clock_gettime(clock_getcpuclockid(pid).ok()?).ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The own clock goes on with what is done, and where there is no process there is none.
    #[test]
    fn the_own_clock_runs() {
        let own = || cpu_time(std::process::id()).expect("the own process is there");
        let before = own();
        let mut sum = 0_u64;
        while own() < before + Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
        assert_eq!(cpu_time(0), None);
        assert_eq!(cpu_time(u32::MAX), None);
    }
}
