//! Why a process cannot be traced, and what to do about it.

use std::io;

use thiserror::Error;

use super::PidNamespaceError;

/// A process that cannot be traced.
#[derive(Debug, Error)]
pub enum TargetError {
    /// Nothing has this id.
    #[error("no process {0}")]
    NoSuchProcess(u32),
    /// It exits or has exited while memtrace looked at it.
    #[error("process {0} has just exited")]
    Exited(u32),
    /// The id is that of a thread other than the first.
    #[error("{pid} is a thread of process {tgid}")]
    Thread {
        /// The id asked for.
        pid: u32,
        /// The process it belongs to.
        tgid: u32,
    },
    /// Exited and not reaped by its parent.
    #[error("process {0} is a zombie: it has exited, and its parent has not collected its status")]
    Zombie(u32),
    /// The first thread has exited and others live on.
    #[error("the main thread of process {0} has exited, and /proc shows no memory map without it")]
    MainThreadExited(u32),
    /// Runs in the kernel only.
    #[error("process {0} is a kernel thread, which has no user memory")]
    KernelThread(u32),
    /// Its executable is a 32-bit ELF file.
    #[error("process {0} is a 32-bit program")]
    ThirtyTwoBit(u32),
    /// Its executable is for another machine: an emulator runs it.
    #[error("the executable of process {0} is no ELF file of this machine's architecture")]
    ForeignArchitecture(u32),
    /// memtrace itself.
    #[error("process {0} is memtrace itself")]
    Ourselves(u32),
    /// The kernel refuses access to a file of the process.
    #[error("not permitted to read /proc/{pid}/{file}")]
    NotPermitted {
        /// The process.
        pid: u32,
        /// What could not be read.
        file: &'static str,
    },
    /// Ids in `/proc` are of no use for BPF.
    #[error(transparent)]
    PidNamespace(#[from] PidNamespaceError),
    /// Anything else.
    #[error("cannot read /proc/{pid}/{file}: {source}")]
    Io {
        /// The process.
        pid: u32,
        /// What could not be read.
        file: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl TargetError {
    /// From a failed access to a file of the process.
    pub(super) fn from_io(pid: u32, file: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT) => Self::Exited(pid),
            Some(libc::EACCES | libc::EPERM) => Self::NotPermitted { pid, file },
            _ => Self::Io { pid, file, source },
        }
    }

    /// What to do about it; `None` where there is nothing to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoSuchProcess(_) => "list processes with `ps -e`, or find one by name with `pgrep NAME`".into(),
            Self::Exited(_) => "to trace a program from its start to its end: memtrace run -- COMMAND".into(),
            Self::Thread { tgid, .. } => format!("trace the whole process: --pid {tgid}"),
            Self::Zombie(_) => "its memory has been released; look for its parent with `ps -o ppid= -p PID`".into(),
            Self::MainThreadExited(_) => "trace it from its start: memtrace run -- COMMAND".into(),
            Self::KernelThread(_) => "choose a process of a program; `ps` shows kernel threads in [brackets]".into(),
            Self::ThirtyTwoBit(_) => "memtrace reads 64-bit programs only".into(),
            Self::ForeignArchitecture(_) => "memtrace reads programs that run without an emulator only".into(),
            Self::Ourselves(_) => "choose another process".into(),
            Self::NotPermitted { .. } => {
                "run memtrace as root, or give it CAP_SYS_PTRACE, which other users' processes need".into()
            }
            Self::PidNamespace(error) => error.hint().into(),
            Self::Io { .. } => return None,
        };
        Some(text)
    }
}
