//! What memtrace may do.

use super::finding::{Finding, Level};
use crate::{
    process::check_pid_namespace,
    tracer::{BPF, Capability, PERFMON, SYS_ADMIN, effective_capabilities},
};

/// A capability, how bad it is to lack it, and what is lost.
type Need = (Capability, Level, &'static str);

/// One line a capability (include/uapi/linux/capability.h).
const NEEDS: [Need; 5] = [
    (BPF, Level::Failed, "BPF programs cannot be loaded: run as root (sudo memtrace …), or grant it"),
    (PERFMON, Level::Failed, "probes cannot be placed: run as root (sudo memtrace …), or grant it"),
    (
        (19, "CAP_SYS_PTRACE"),
        Level::Degraded,
        "other users' processes, and programs with capabilities of their own, cannot be traced",
    ),
    (
        (2, "CAP_DAC_READ_SEARCH"),
        Level::Degraded,
        "programs that this user may not read cannot be probed, and functions in them have no names",
    ),
    (
        (40, "CAP_CHECKPOINT_RESTORE"),
        Level::Degraded,
        "files that were deleted or replaced while they are mapped (an upgrade) have no names and no unwind tables",
    ),
];

/// Every capability, and the pid namespace.
pub fn findings() -> Vec<Finding> {
    let effective = effective_capabilities();
    NEEDS.iter().map(|need| capability(effective, need)).chain([pid_namespace()]).collect()
}

/// Whether memtrace has the capability that stands for many.
pub fn has_sys_admin() -> bool {
    has(effective_capabilities(), SYS_ADMIN)
}

const fn has(effective: u64, (bit, _): Capability) -> bool {
    effective >> bit & 1 == 1
}

fn capability(effective: u64, (wanted, level, lost): &Need) -> Finding {
    // CAP_SYS_ADMIN was split: it still stands for the parts.
    let stands_in = [BPF.0, PERFMON.0, 40].contains(&wanted.0) && has(effective, SYS_ADMIN);
    match (has(effective, *wanted), stands_in) {
        (true, _) => Finding::ok(wanted.1, "held"),
        (false, true) => Finding::ok(wanted.1, "CAP_SYS_ADMIN stands for it"),
        (false, false) => Finding::other(wanted.1, *level, "missing", *lost),
    }
}

fn pid_namespace() -> Finding {
    const CHECK: &str = "pid namespace";
    match check_pid_namespace() {
        Ok(()) => Finding::ok(CHECK, "the initial one"),
        Err(error) => Finding::other(CHECK, Level::Failed, error.to_string(), error.hint()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each capability is found or missed by itself; `CAP_SYS_ADMIN` stands for those that were split from it, and for no
    /// other.
    #[test]
    fn capabilities_are_told_apart() {
        let level = |effective: u64, index: usize| capability(effective, &NEEDS[index]).level;
        assert_eq!((level(0, 0), level(0, 2)), (Level::Failed, Level::Degraded));
        assert_eq!((level(1 << 39, 0), level(1 << 39, 1)), (Level::Ok, Level::Failed));
        assert_eq!((level(1 << 21, 0), level(1 << 21, 1)), (Level::Ok, Level::Ok));
        assert_eq!((level(1 << 21, 2), level(1 << 21, 4)), (Level::Degraded, Level::Ok));
    }
}
