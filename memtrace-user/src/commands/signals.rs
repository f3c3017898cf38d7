//! Signals to memtrace itself, and signals that it passes on to a command.

use std::{io, sync::Arc};

use nix::{
    sys::{
        signal::{SigSet, Signal, kill},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::Pid,
};
use tokio::{
    signal::unix::{self, SignalKind},
    sync::Notify,
};

use crate::readable::Readable;

/// A file that would become larger than the limit (`ulimit -f`) is an error of its writing, and not the end of memtrace. Holds as
/// long as memtrace runs.
///
/// # Errors
/// When the handler cannot be installed.
pub fn survive_file_size_limit() -> io::Result<()> {
    unix::signal(SignalKind::from_raw(libc::SIGXFSZ)).map(drop)
}

/// What a signal asks of memtrace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caught {
    /// To end.
    End,
    /// To draw its screen anew: it was stopped and goes on.
    Continued,
    /// To take a snapshot.
    Snapshot,
}

/// Signals that end memtrace in an orderly way: probes are removed, the terminal is given back.
#[derive(Debug)]
pub struct Termination {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
    continued: unix::Signal,
    user: unix::Signal,
}

impl Termination {
    /// From now on the signals are caught. Needs a tokio runtime.
    ///
    /// # Errors
    /// When handlers cannot be installed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            hangup: unix::signal(SignalKind::hangup())?,
            continued: unix::signal(SignalKind::from_raw(libc::SIGCONT))?,
            user: unix::signal(SignalKind::user_defined1())?,
        })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.interrupt.recv() => Caught::End,
            _ = self.terminate.recv() => Caught::End,
            _ = self.hangup.recv() => Caught::End,
            _ = self.continued.recv() => Caught::Continued,
            _ = self.user.recv() => Caught::Snapshot,
        }
    }

    /// Resolves when memtrace is asked to end.
    pub async fn requested(&mut self) {
        while self.next().await != Caught::End {}
    }
}

/// Signals that a command gets in memtrace's stead.
const FORWARDED: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// `si_code` of a signal that the kernel sent, as the terminal's Ctrl-C does: to the whole foreground process group, so
/// the command has it already.
const FROM_KERNEL: i32 = 0x80;

/// Passes signals on.
#[derive(Debug)]
pub struct Forwarding {
    descriptor: SignalFd,
    readable: Readable,
    to: Option<Pid>,
    /// SIGUSR1 is for memtrace itself.
    takes_snapshots: bool,
    news: Arc<News>,
}

/// What signals tell memtrace itself while it passes others on.
#[derive(Debug, Default)]
pub struct News {
    /// A snapshot is wanted.
    pub snapshot: Notify,
    /// Ctrl-C was pressed. (The command has got it, too.) Only who waits for it is told.
    pub interrupted: Notify,
}

impl Forwarding {
    /// Blocks the signals in this thread, and in those it starts from now on, and takes them from a descriptor. Before any
    /// thread is started: one that does not block them would be ended by them, and memtrace with it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn start() -> io::Result<Self> {
        let signals: SigSet = FORWARDED.into_iter().collect();
        signals.thread_block()?;
        let descriptor = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let readable = Readable::of(&descriptor)?;
        Ok(Self { descriptor, readable, to: None, takes_snapshots: false, news: Arc::default() })
    }

    /// Names the process that gets the signals, those that have come already too.
    pub fn set_target(&mut self, pid: u32) {
        self.to = i32::try_from(pid).ok().map(Pid::from_raw);
    }

    /// Whether SIGUSR1 asks memtrace for a snapshot from now on, instead of being passed on.
    pub const fn set_takes_snapshots(&mut self, takes: bool) {
        self.takes_snapshots = takes;
    }

    /// What is for memtrace itself.
    #[must_use]
    pub fn news(&self) -> Arc<News> {
        Arc::clone(&self.news)
    }

    /// Passes signals on for as long as it is polled.
    ///
    /// # Errors
    /// When the descriptor fails.
    pub async fn run(&mut self) -> io::Result<()> {
        loop {
            self.readable.wait().await?;
            while let Some(signal) = self.descriptor.read_signal()? {
                let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
                if signal.ssi_code == FROM_KERNEL {
                    self.news.interrupted.notify_waiters();
                    continue;
                }
                if self.takes_snapshots && number == libc::SIGUSR1 {
                    self.news.snapshot.notify_one();
                    continue;
                }
                if let (Ok(signal), Some(to)) = (Signal::try_from(number), self.to) {
                    // It may have ended just now.
                    let _gone = kill(to, signal);
                }
            }
        }
    }
}
