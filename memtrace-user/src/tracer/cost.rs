//! What a probe hit costs on this machine, measured: the trap on a function of memtrace's own, and the BPF programs by
//! the kernel's run statistics while they do their work.

use std::{
    hint::black_box,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    object::{BEGIN, BEGIN_OR_FINISH, FINISH, FLOOR_ENTRY, FLOOR_RETURN, LEAVE, MultiPrograms, RELEASE, RELEASE_OTHER},
    syscall::{self, LinkKind, MultiLink, link_multi},
};
use crate::process::AddressSpace;

/// Calls in one round, and rounds; the fastest counts, as whatever disturbs a round makes it slower.
const CALLS: u32 = 200;
const ROUNDS: u32 = 5;

/// What the traps alone cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrapCost {
    /// An entry and a return.
    pub entry_and_return: Duration,
    /// An entry.
    pub entry: Duration,
    /// What the kernel's run statistics say of a program that does nothing: a part of the above.
    pub empty_run: Duration,
}

/// Programs that do nothing, to measure with. Owned, so that measuring can go on beside everything else.
#[derive(Debug)]
pub struct CostMeasurement {
    entry: OwnedFd,
    exit: OwnedFd,
}

impl CostMeasurement {
    /// With the programs of the object; `None` when they are not loaded or descriptors are short.
    #[must_use]
    pub fn new(programs: &MultiPrograms) -> Option<Self> {
        let clone = |name| programs.get(name)?.try_clone().ok();
        Some(Self { entry: clone(FLOOR_ENTRY)?, exit: clone(FLOOR_RETURN)? })
    }

    /// Measures; takes some milliseconds, and some ten more to remove the probes. `None` where the kernel refuses.
    #[must_use]
    pub fn run(&self) -> Option<TrapCost> {
        let (path, offset) = place_of_target()?;
        let link = |program: &OwnedFd, kind| {
            let link = MultiLink { path: &path, offsets: &[offset], cookies: &[0], pid: std::process::id(), kind };
            link_multi(program.as_fd(), &link).inspect_err(|error| log::info!("cost not measured: {error}")).ok()
        };
        let bare = time_a_call();
        let on_entry = link(&self.entry, LinkKind::Entry)?;
        let entry = time_a_call().saturating_sub(bare);
        let on_return = link(&self.exit, LinkKind::Return)?;
        let entry_and_return = time_a_call().saturating_sub(bare);
        drop(on_return);
        let empty_run = self.time_empty_run().unwrap_or_default();
        drop(on_entry);
        log::debug!("a trap costs {entry:?}, with its return {entry_and_return:?}, {empty_run:?} in an empty program");
        Some(TrapCost { entry_and_return, entry, empty_run })
    }

    /// By the kernel's statistics, while the program is on the target's entry.
    fn time_empty_run(&self) -> Option<Duration> {
        let _enabled = syscall::enable_run_statistics().ok()?;
        let runs = || syscall::run_statistics(self.entry.as_fd()).ok();
        let before = runs()?;
        time_a_call();
        let after = runs()?;
        let runs = Runs { count: after.0 - before.0, time: Duration::from_nanos(after.1 - before.1) };
        Some(Duration::from_secs_f64(runs.mean()))
    }
}

/// The file of this program and the offset of [`target`] in it.
pub(super) fn place_of_target() -> Option<(PathBuf, u64)> {
    let mut space = AddressSpace::of_pid(std::process::id()).ok()?;
    space.refresh().ok()?;
    let address = target as *const () as u64;
    // `locate` takes return addresses, which are looked up one byte before.
    let location = space.locate(address + 1)?;
    space.file(location.module)?;
    Some(("/proc/self/exe".into(), location.offset - 1))
}

fn time_a_call() -> Duration {
    let round = || {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(target)();
        }
        start.elapsed() / CALLS
    };
    (0..ROUNDS).map(|_| round()).min().unwrap_or_default()
}

/// Begins with an instruction that the kernel emulates, as the places chosen in allocators do.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub(super) extern "C" fn target() {
    core::arch::naked_asm!("push rbp", "pop rbp", "ret")
}

/// Begins with an instruction that the kernel simulates.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
pub(super) extern "C" fn target() {
    core::arch::naked_asm!("b 2f", "2:", "ret")
}

/// The kernel's run statistics of some programs over a stretch of time. Keeping them costs the programs some 20 ns a
/// run, so they are kept now and then only.
#[derive(Debug)]
pub struct RunStatistics {
    /// The statistics are kept while this is open.
    enabled: OwnedFd,
    before: ProgramRuns,
}

/// Runs and their time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Runs {
    /// How often the programs ran.
    pub count: u64,
    /// How long in all.
    pub time: Duration,
}

impl Runs {
    /// Seconds that one took on average; 0 without any.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean shown with three digits")]
    pub const fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.time.as_secs_f64() / self.count as f64 }
    }

    fn since(self, before: Self) -> Self {
        Self { count: self.count.saturating_sub(before.count), time: self.time.saturating_sub(before.time) }
    }
}

/// Runs of programs by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgramRuns {
    /// At entries and ends of allocating functions.
    pub allocating: Runs,
    /// At entries of freeing functions.
    pub freeing: Runs,
}

impl RunStatistics {
    /// Begins; `None` where the kernel refuses.
    #[must_use]
    pub fn begin(programs: &MultiPrograms) -> Option<Self> {
        let enabled = syscall::enable_run_statistics().ok()?;
        Some(Self { enabled, before: runs_of(programs) })
    }

    /// Ends; the runs since the beginning.
    #[must_use]
    pub fn end(self, programs: &MultiPrograms) -> ProgramRuns {
        let after = runs_of(programs);
        drop(self.enabled);
        ProgramRuns {
            allocating: after.allocating.since(self.before.allocating),
            freeing: after.freeing.since(self.before.freeing),
        }
    }
}

const ALLOCATING: [&str; 4] = [BEGIN, FINISH, BEGIN_OR_FINISH, LEAVE];
const FREEING: [&str; 2] = [RELEASE, RELEASE_OTHER];

fn runs_of(programs: &MultiPrograms) -> ProgramRuns {
    let sum = |names: &[&str]| {
        let stats = names.iter().filter_map(|name| syscall::run_statistics(programs.get(name)?.as_fd()).ok());
        stats.fold(Runs::default(), |sum, (count, nanoseconds)| Runs {
            count: sum.count + count,
            time: sum.time + Duration::from_nanos(nanoseconds),
        })
    };
    ProgramRuns { allocating: sum(&ALLOCATING), freeing: sum(&FREEING) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The function to measure with is found in this program's own file, at its first byte.
    #[test]
    fn target_is_found_in_the_own_file() {
        use std::os::unix::fs::FileExt as _;
        let (path, offset) = place_of_target().expect("the own program is mapped");
        let mut bytes = [0; 4];
        std::fs::File::open(path).and_then(|file| file.read_exact_at(&mut bytes, offset)).expect("readable");
        if cfg!(target_arch = "x86_64") {
            assert_eq!(bytes[..3], [0x55, 0x5d, 0xc3]);
        }
    }
}
