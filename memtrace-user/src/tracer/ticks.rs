//! The coarse clock of live blocks: kernel ticks (jiffies) since boot, of which a record keeps the low 32 bits.

#![expect(unsafe_code, reason = "times(2) has no safe wrapper")]

use std::{mem::zeroed, time::Duration};

use nix::{
    time::{ClockId, clock_getres},
    unistd::{SysconfVar, sysconf},
};

/// The clock as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticks {
    now: u64,
    /// Length of a tick in nanoseconds: 1,000,000,000 / `CONFIG_HZ`.
    length: u64,
}

impl Ticks {
    /// Reads the clock, as exactly as times(2) tells: to 10 ms.
    ///
    /// The coarse clocks advance at each tick, so their resolution is a tick's length. times(2) returns the ticks in
    /// units of `USER_HZ` (`jiffies_64_to_clock_t` of `get_jiffies_64()`, kernel/sys.c), the same 64-bit count that
    /// BPF programs read. `None` where the kernel does not tell.
    #[must_use]
    pub fn now() -> Option<Self> {
        let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).ok()?;
        let length = u64::try_from(resolution.tv_nsec()).ok().filter(|length| *length > 0)?;
        let user_hz = sysconf(SysconfVar::CLK_TCK).ok()?.and_then(|hz| u64::try_from(hz).ok())?;
        // SAFETY: writes into a structure of plain integers.
        let user_ticks = unsafe {
            let mut unused: libc::tms = zeroed();
            libc::times(&raw mut unused)
        };
        Some(Self { now: Self::from_user_ticks(user_ticks.cast_unsigned(), user_hz, length), length })
    }

    fn from_user_ticks(user_ticks: u64, user_hz: u64, length: u64) -> u64 {
        let ticks = u128::from(user_ticks) * 1_000_000_000 / u128::from(user_hz) / u128::from(length);
        u64::try_from(ticks & u128::from(u64::MAX)).unwrap_or(0)
    }

    /// Time since a record was made. Records older than 2^32 ticks (49 days with 1000 ticks a second) seem younger by that.
    #[must_use]
    pub fn since(self, record: u32) -> Duration {
        let now = self.now & 0xffff_ffff;
        let passed = now.wrapping_sub(u64::from(record)) & 0xffff_ffff;
        // The clock here may be read up to a unit of times(2) too early: then the record seems to come from the future.
        let passed = if passed > u64::from(u32::MAX) - 1000 { 0 } else { passed };
        Duration::from_nanos(passed * self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The age counts over the wrap of the low 32 bits, and a record from just ahead is new.
    #[test]
    fn ages_count_over_the_wrap() {
        let ticks = Ticks { now: (1 << 32) + 250, length: 4_000_000 };
        assert_eq!(ticks.since(u32::MAX - 249), Duration::from_secs(2));
        assert_eq!(ticks.since(0), Duration::from_secs(1));
        assert_eq!(ticks.since(252), Duration::ZERO);
    }

    /// Ticks are the same number of nanoseconds in either unit, for every `CONFIG_HZ` that there is.
    #[test]
    fn units_are_converted() {
        for hz in [100, 250, 1000] {
            assert_eq!(Ticks::from_user_ticks(60 * 100, 100, 1_000_000_000 / hz), 60 * hz);
        }
        assert_eq!(Ticks::from_user_ticks(60 * 100, 100, 3_333_333), 18_000);
    }

    /// The kernel of this machine tells a tick of one of the lengths that it can be built with.
    #[test]
    fn this_kernel_tells_its_tick() {
        let ticks = Ticks::now().expect("a clock");
        assert!((1_000_000..=10_000_000).contains(&ticks.length), "{ticks:?}");
    }
}
