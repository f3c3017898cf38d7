//! Why tracing cannot begin, and what to do about it.

use std::io;

use thiserror::Error;

/// An error of the tracer.
#[derive(Debug, Error)]
pub enum TracerError {
    /// Capabilities are missing.
    #[error("not permitted to load BPF programs: {} missing", missing.join(" and "))]
    NotPermitted {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// The kernel has no type information.
    #[error("kernel {release} has no BTF type information (/sys/kernel/btf/vmlinux)")]
    NoBtf {
        /// Kernel release.
        release: String,
    },
    /// Below the floor.
    #[error("kernel {release} is too old: memtrace needs 5.15 or newer")]
    KernelTooOld {
        /// Kernel release.
        release: String,
    },
    /// The kernel did not take a program.
    #[error("the kernel refused BPF program `{program}`: {source} ({log})")]
    Refused {
        /// Name of the program.
        program: String,
        /// The system call's error.
        source: io::Error,
        /// End of the verifier's log.
        log: String,
    },
    /// A map or the object as a whole could not be set up.
    #[error("cannot set up BPF {what}: {source}")]
    Setup {
        /// What was being set up.
        what: &'static str,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cost of a trap cannot be measured.
    #[error(
        "--max-overhead cannot be kept on this kernel: what a probe costs is not to be measured without uprobe-multi links"
    )]
    NoBudget,
    /// The programs of the mmap domain cannot be hung on the kernel's functions.
    #[error("cannot follow what processes map: {0}")]
    NoMappings(io::Error),
    /// A probe could not be placed.
    #[error("cannot place probes in {path}: {source}")]
    Attach {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The process is gone.
    #[error("process {pid} ended before the probes were placed")]
    ProcessEnded {
        /// Its id.
        pid: u32,
    },
}

/// Whether the kernel has said no, not that something is missing.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

impl TracerError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotPermitted { .. } => Some("run it as root (sudo memtrace …), or grant CAP_BPF and CAP_PERFMON"),
            Self::NoBtf { .. } => {
                Some("use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as every current distribution's is")
            }
            Self::KernelTooOld { .. } => Some("boot a newer kernel; every supported distribution offers one"),
            Self::Refused { .. } => Some("please report this with the kernel's release; -v prints more"),
            Self::NoBudget => Some("use a kernel from 6.10 on, or choose by --sample-bytes how much is recorded"),
            Self::Setup { .. } => Some("if memory is short, close other tracers; -v prints more"),
            Self::NoMappings(error) if is_refusal(error) => Some(
                "the tracepoints of system calls are open to root alone: run it as root, grant CAP_DAC_READ_SEARCH, or trace \
                 with --domain malloc",
            ),
            Self::NoMappings(_) => Some(
                "the kernel has neither BPF trampolines (CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) nor tracepoints of system \
                 calls (CONFIG_FTRACE_SYSCALLS): trace with --domain malloc",
            ),
            Self::Attach { source, .. } if is_refusal(source) => Some(
                "kernels without uprobe-multi links (before 6.10) let only CAP_SYS_ADMIN place probes: run it as root",
            ),
            Self::Attach { .. } => Some("the file may lie on a file system without uprobe support; -v prints more"),
            Self::ProcessEnded { .. } => None,
        }
    }

    /// An error while setting up `what`.
    pub(super) fn setup(what: &'static str) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> Self {
        move |source| Self::Setup { what, source }
    }
}
