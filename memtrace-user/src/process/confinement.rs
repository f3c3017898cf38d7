//! What confines a process in ways that return probes do not get on with.

use std::{fs, io, os::fd::AsRawFd as _};

use super::{TargetProcess, proc_dir::ProcDir};

/// See [`TargetProcess::confinement`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confinement {
    /// At least one thread is confined by seccomp.
    pub seccomp: bool,
    /// The CPU keeps a second copy of return addresses (a shadow stack) for it.
    pub shadow_stack: bool,
}

impl TargetProcess {
    /// What confines it at the moment. Threads may be confined one by one.
    ///
    /// # Errors
    /// When the process has exited.
    pub fn confinement(&self) -> io::Result<Confinement> {
        let directory = self.directory();
        let mut found = Confinement {
            seccomp: is_filtered(&directory.status()?),
            shadow_stack: has_shadow_stack(&directory.status()?),
        };
        let own = directory.descriptor().ok_or(io::ErrorKind::NotFound)?.as_raw_fd();
        for thread in fs::read_dir(format!("/proc/self/fd/{own}/task"))?.filter_map(Result::ok) {
            // One that ends meanwhile does not matter.
            found.seccomp |= fs::read(thread.path().join("status")).is_ok_and(|status| is_filtered(&status));
        }
        Ok(found)
    }
}

impl Confinement {
    /// That of a process by its id, nothing when it is gone.
    #[must_use]
    pub fn of_pid(pid: u32) -> Self {
        let status = ProcDir::open(pid).and_then(|directory| directory.status()).unwrap_or_default();
        Self { seccomp: is_filtered(&status), shadow_stack: has_shadow_stack(&status) }
    }
}

fn value<'a>(status: &'a [u8], key: &str) -> Option<&'a [u8]> {
    status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))
}

/// 1 is the strict mode, 2 a filter.
fn is_filtered(status: &[u8]) -> bool {
    value(status, "Seccomp").is_some_and(|mode| mode.trim_ascii() != b"0")
}

/// `x86_Thread_features: shstk wrss`, since 6.6.
fn has_shadow_stack(status: &[u8]) -> bool {
    let features = value(status, "x86_Thread_features").unwrap_or_default();
    features.split(u8::is_ascii_whitespace).any(|feature| feature == b"shstk")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both are read from the lines that the kernel writes, and a name cannot pose as one.
    #[test]
    fn status_is_read() {
        let status = b"Name:\tSeccomp: 2\nSeccomp:\t2\nSeccomp_filters:\t1\nx86_Thread_features:\tshstk wrss \n";
        assert!(is_filtered(status) && has_shadow_stack(status));
        let free = b"Name:\tshstk\nSeccomp:\t0\nSeccomp_filters:\t0\nx86_Thread_features:\t\n\
                     x86_Thread_features_locked:\tshstk\n";
        assert!(!is_filtered(free) && !has_shadow_stack(free));
    }
}
