//! Starts a command and holds it before its first instruction, so that probes are in place when it runs.
//!
//! [`Command::spawn`] returns only after the exec, so it runs on a thread of its own while the child waits at a gate
//! between fork and exec. If memtrace dies meanwhile, the gate closes and the child exits without running anything.

#![expect(unsafe_code, reason = "code between fork and exec")]

use std::{
    ffi::OsString,
    fs, io, mem,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus},
    ptr,
    thread::{self, JoinHandle},
};

use thiserror::Error;

use super::{
    CommandError, FileLimit, RunAs, find_command,
    start_gate::{GateKeeper, start_gate},
};

/// What to run.
#[derive(Debug, Clone)]
pub struct CommandSpec {
    /// The command's name, looked for in PATH, or its path.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The user to run it as; `None` is memtrace's own.
    pub run_as: Option<RunAs>,
    /// Signals to ignore and to block, as memtrace's parent had set it up.
    pub signals: SignalState,
}

impl CommandSpec {
    /// The file that will be run.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self) -> Result<PathBuf, CommandError> {
        find_command(&self.program, &std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into()))
    }
}

/// Which signals this process was started with as ignored (as `nohup` does with SIGHUP), and which as blocked; a bit a
/// signal. A command gets the same.
///
/// Take it first thing in `main`: signal handlers installed, and signals blocked, later hide it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignalState {
    ignored: u64,
    blocked: u64,
}

impl SignalState {
    /// As it is now. SIGPIPE is left out: Rust's runtime ignores it before `main`, which no command should inherit.
    #[must_use]
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let bits = |name: &str| {
            let mask = status.lines().find_map(|line| line.strip_prefix(name));
            mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
        };
        Self { ignored: bits("SigIgn:") & !Self::bit(libc::SIGPIPE), blocked: bits("SigBlk:") }
    }

    const fn bit(signal: libc::c_int) -> u64 {
        1 << (signal - 1)
    }

    /// The blocked signals, as the C library has them.
    fn mask(self) -> libc::sigset_t {
        // SAFETY: an all-zero sigset_t is valid and empty.
        let mut mask = unsafe { mem::zeroed() };
        for signal in (1..=64).filter(|signal| self.blocked & Self::bit(*signal) != 0) {
            // SAFETY: the set is valid; numbers that libc reserves fail without effect.
            unsafe { libc::sigaddset(&raw mut mask, signal) };
        }
        mask
    }

    /// Sets every signal to its default or to be ignored. Makes system calls only.
    fn restore(self) {
        for signal in 1..=libc::SIGRTMAX() {
            let action = if self.ignored & Self::bit(signal) == 0 { libc::SIG_DFL } else { libc::SIG_IGN };
            // SAFETY: neither value is a function to be called. SIGKILL, SIGSTOP and those that libc reserves fail
            // without effect.
            unsafe { libc::signal(signal, action) };
        }
    }
}

/// A command that could not be started.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// There is no such program.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The kernel would not run it.
    #[error("cannot run {}: {source}", .program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No process or thread could be made.
    #[error("cannot start a process: {0}")]
    Fork(io::Error),
}

impl SpawnError {
    /// The exit status that shells use for it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Command(error) => error.exit_code(),
            Self::Exec { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Exec { .. } => 126,
            Self::Fork(_) => 1,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Command(error) => error.hint(),
            Self::Exec { source, .. } => match source.raw_os_error() {
                Some(libc::ENOENT) => "the interpreter that the file names does not exist (see `head -1` of a script, \
                                       `readelf -l` of a program)"
                    .into(),
                Some(libc::EACCES) => "the user it runs as may not execute it; as root: --as-root".into(),
                Some(libc::ENOEXEC) => "the file is no program of this machine's architecture".into(),
                _ => "run the command without memtrace to see whether it starts".into(),
            },
            Self::Fork(_) => "check the limits of processes and open files: ulimit -u, ulimit -n".into(),
        }
    }
}

/// A process that is forked and waits before its exec. Dropping it ends and reaps it.
#[derive(Debug)]
pub struct PreparedChild {
    pid: u32,
    program: PathBuf,
    /// Both are there until it is released or dropped.
    running: Option<(GateKeeper, JoinHandle<io::Result<Child>>)>,
}

impl PreparedChild {
    /// Forks. Streams, terminal, process group, working directory and environment are memtrace's own, but for what
    /// [`CommandSpec::run_as`] changes.
    ///
    /// # Errors
    /// When there is no such program, or no process can be made for it.
    pub fn start(spec: &CommandSpec) -> Result<Self, SpawnError> {
        Self::start_with(spec, &[])
    }

    /// The same with these variables set in its environment.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(spec: &CommandSpec, variables: &[(&str, &str)]) -> Result<Self, SpawnError> {
        let program = spec.find()?;
        let (mut keeper, gate) = start_gate().map_err(SpawnError::Fork)?;
        let mut command = Command::new(&program);
        command.arg0(&spec.program).args(&spec.arguments).envs(variables.iter().copied());
        if let Some(user) = &spec.run_as {
            user.set_environment(&mut command);
        }
        let limit = FileLimit::before();
        let (signals, mask, user) = (spec.signals, spec.signals.mask(), spec.run_as.clone());
        let before_exec = move || {
            signals.restore();
            limit.map_or(Ok(()), FileLimit::set)?;
            // SAFETY: the mask is a valid one.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) };
            user.as_ref().map_or(Ok(()), RunAs::become_user)?;
            gate.pass()
        };
        // SAFETY: the closure makes system calls only: it takes no lock and does not allocate.
        unsafe { command.pre_exec(before_exec) };
        let spawner =
            thread::Builder::new().name("spawn".into()).spawn(move || command.spawn()).map_err(SpawnError::Fork)?;
        match keeper.child_pid() {
            Some(pid) => Ok(Self { pid, program, running: Some((keeper, spawner)) }),
            None => Err(SpawnError::Fork(join(spawner).err().unwrap_or_else(|| io::ErrorKind::Other.into()))),
        }
    }

    /// Its id in memtrace's pid namespace.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The file that it will run.
    #[must_use]
    pub const fn program(&self) -> &PathBuf {
        &self.program
    }

    /// Lets it run the program; returns when the exec is done. The caller reaps the child.
    ///
    /// # Errors
    /// When the kernel cannot run the program, or the child was killed meanwhile.
    pub fn release(mut self) -> Result<Child, SpawnError> {
        let program = mem::take(&mut self.program);
        let exec_error = |source| SpawnError::Exec { program, source };
        let Some((keeper, spawner)) = self.running.take() else { unreachable!("only this and drop take it") };
        // When the child is gone already, the spawner knows why.
        let opened = keeper.open();
        let child = join(spawner).map_err(exec_error)?;
        drop(opened);
        Ok(child)
    }
}

impl Drop for PreparedChild {
    fn drop(&mut self) {
        let Some((keeper, spawner)) = self.running.take() else { return };
        // The closed gate makes the child exit, and the spawner reaps it. If something else has killed the child, the
        // spawner takes it for a success.
        drop(keeper);
        if let Ok(mut child) = join(spawner) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The exit status to pass on, as shells state it: the program's own, or 128 and the number of the signal.
#[must_use]
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}

fn join(spawner: JoinHandle<io::Result<Child>>) -> io::Result<Child> {
    spawner.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts the command panicked")))
}

#[cfg(test)]
#[path = "spawn_tests.rs"]
mod tests;
