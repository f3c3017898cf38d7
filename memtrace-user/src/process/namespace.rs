//! Whether the process ids that memtrace sees are those that the kernel's BPF helpers report.
//!
//! BPF reports ids of the initial pid namespace. The line `NSpid` of `/proc/PID/status` lists a process's ids from
//! the namespace of the reader's `/proc` inwards, so a memtrace in a container can see a target's ids in its own and
//! in inner namespaces, and never the outer one it would need. Hence the condition: run in the initial namespace.

use std::{fs, os::unix::fs::MetadataExt};

use thiserror::Error;

/// Inode number of the initial pid namespace: `PROC_PID_INIT_INO` in `include/linux/proc_ns.h`, since Linux 3.8.
const INITIAL_PID_NAMESPACE_INODE: u64 = 0xEFFF_FFFC;

/// Process ids here are not those of the initial pid namespace.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PidNamespaceError {
    /// memtrace runs in a container.
    #[error("memtrace runs in a pid namespace of its own, where process ids differ from those that BPF reports")]
    Nested,
    /// `/proc` was mounted for another pid namespace.
    #[error("/proc shows the processes of another pid namespace than memtrace's own")]
    ForeignProc,
    /// `/proc` cannot be read.
    #[error("cannot read /proc/self: {0}")]
    Unreadable(String),
}

impl PidNamespaceError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Nested => {
                "run memtrace on the host, where it sees containers too, or in a container with the host's pid \
                 namespace (docker run --pid=host, hostPID: true in Kubernetes)"
            }
            Self::ForeignProc => "mount the /proc of memtrace's own pid namespace: mount -t proc proc /proc",
            Self::Unreadable(_) => "mount /proc: mount -t proc proc /proc",
        }
    }
}

/// Checks that ids in `/proc` are ids of the initial pid namespace.
///
/// # Errors
/// With the reason when they are not.
pub fn check_pid_namespace() -> Result<(), PidNamespaceError> {
    let unreadable = |error: std::io::Error| PidNamespaceError::Unreadable(error.to_string());
    let own_link = fs::read_link("/proc/self").map_err(unreadable)?;
    if own_link.to_str() != Some(std::process::id().to_string().as_str()) {
        return Err(PidNamespaceError::ForeignProc);
    }
    let inode = fs::metadata("/proc/self/ns/pid").map_err(unreadable)?.ino();
    if inode == INITIAL_PID_NAMESPACE_INODE { Ok(()) } else { Err(PidNamespaceError::Nested) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A process in a new pid namespace must be told so. The test runs itself again there.
    #[test]
    fn nested_namespace_is_detected() {
        const INSIDE: &str = "MEMTRACE_TEST_IN_PID_NAMESPACE";
        if std::env::var_os(INSIDE).is_some() {
            assert_eq!(check_pid_namespace(), Err(PidNamespaceError::Nested));
            return;
        }
        let name = "process::namespace::tests::nested_namespace_is_detected";
        let unshared = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(INSIDE, "1")
            .output();
        match unshared {
            Ok(output) if output.status.success() => {
                assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "the inner test did not run");
            }
            Ok(output) if String::from_utf8_lossy(&output.stderr).contains("unshare failed") => {
                eprintln!("skipped: no permission to make a pid namespace");
            }
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stdout)),
            Err(error) => eprintln!("skipped: no unshare command: {error}"),
        }
    }
}
