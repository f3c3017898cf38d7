//! Takes over the terminal and gives it back: on the ordinary way out, on a panic, and while suspended.

#![expect(unsafe_code, reason = "setting a signal action")]

use std::{
    fmt,
    io::{self, Stdout},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use crossterm::{
    Command,
    cursor::Show,
    execute,
    terminal::{Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
};
use nix::{
    sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, Signal},
    unistd::Pid,
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};
use thiserror::Error;

/// Whether the terminal is in our hands: the panic hook must leave any other alone.
static TAKEN: AtomicBool = AtomicBool::new(false);
static PANIC_HOOK: Once = Once::new();

/// The terminal did not do what was asked.
#[derive(Debug, Error)]
#[error("cannot {doing} the terminal")]
pub struct TerminalError {
    doing: &'static str,
    source: io::Error,
}

impl TerminalError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "pipe the output, as in `memtrace attach ... | cat`, for plain text instead of the live view"
    }

    fn while_doing(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { doing, source }
    }
}

/// The terminal in raw mode on its alternate screen, until dropped.
#[derive(Debug)]
pub struct TerminalGuard {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

/// Switches to the alternate screen and raw mode. A panic gives the terminal back before its message is printed.
///
/// # Errors
/// When standard output or input is no terminal, or cannot be written.
pub fn enter() -> Result<TerminalGuard, TerminalError> {
    PANIC_HOOK.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
    });
    take().map_err(TerminalError::while_doing("take over"))?;
    // From here on dropping the guard, or the failed construction below, gives the terminal back.
    Terminal::new(CrosstermBackend::new(io::stdout())).map(|terminal| TerminalGuard { terminal }).map_err(|source| {
        restore();
        TerminalError { doing: "draw on", source }
    })
}

impl TerminalGuard {
    /// Draws one picture; only what changed since the last one is written.
    ///
    /// # Errors
    /// When the terminal cannot be written, as after it was closed.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame)) -> Result<(), TerminalError> {
        self.terminal.draw(render).map(drop).map_err(TerminalError::while_doing("draw on"))
    }

    /// Columns and lines.
    ///
    /// # Errors
    /// When the terminal does not tell.
    pub fn size(&self) -> Result<(u16, u16), TerminalError> {
        self.terminal.size().map(|size| (size.width, size.height)).map_err(TerminalError::while_doing("measure"))
    }

    /// Forgets what is on the screen, so that the next drawing writes all of it.
    ///
    /// # Errors
    /// When the terminal cannot be written.
    pub fn clear(&mut self) -> Result<(), TerminalError> {
        // Not `Terminal::clear`: it asks the terminal where its cursor is, and the answer goes to whoever reads the keys.
        let cleared = execute!(io::stdout(), Clear(ClearType::All));
        let fresh = cleared.and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        self.terminal = fresh.map_err(TerminalError::while_doing("clear"))?;
        Ok(())
    }

    /// Gives the terminal back, stops the whole process group as Ctrl-Z on a cooked terminal does, and takes the
    /// terminal over again once continued. Returns when the process goes on; the screen is then empty.
    ///
    /// # Errors
    /// When the terminal cannot be taken over again.
    pub fn suspend(&mut self) -> Result<(), TerminalError> {
        restore();
        let stopped = stop_process_group();
        take().map_err(TerminalError::while_doing("take over"))?;
        stopped.map_err(|errno| TerminalError { doing: "suspend memtrace on", source: errno.into() })?;
        self.clear()
    }

    /// Takes the terminal over again after it was changed by someone else: call it on SIGCONT, since whoever ran in
    /// between may have left it in any mode.
    ///
    /// # Errors
    /// When the terminal cannot be taken over.
    pub fn resume(&mut self) -> Result<(), TerminalError> {
        // crossterm remembers the modes from before raw mode, and raw mode only once: forget, then begin anew.
        restore();
        take().map_err(TerminalError::while_doing("take over"))?;
        self.clear()
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        restore();
    }
}

/// Whether the terminal tells of the mouse's buttons and wheel. Not crossterm's own command: that one makes the terminal
/// tell of every movement too, which a slow link has no room for.
enum Clicks {
    Told,
    Untold,
}

impl Command for Clicks {
    fn write_ansi(&self, out: &mut impl fmt::Write) -> fmt::Result {
        // 1000: buttons and wheel; 1006: places beyond column 223 as well.
        out.write_str(match self {
            Self::Told => "\x1b[?1000h\x1b[?1006h",
            Self::Untold => "\x1b[?1006l\x1b[?1000l",
        })
    }
}

/// Everything is undone again when a later step fails.
fn take() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::Release);
    execute!(io::stdout(), EnterAlternateScreen, Clicks::Told).inspect_err(|_| restore())
}

/// Best effort: on the way out there is nobody left to tell.
fn restore() {
    if TAKEN.swap(false, Ordering::AcqRel) {
        let _ = execute!(io::stdout(), Clicks::Untold, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// SIGTSTP rather than SIGSTOP: the kernel drops it where no shell could ever continue the group. The group, as sudo
/// and cargo wait in it and a shell sees only them.
fn stop_process_group() -> nix::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    let previous = unsafe { signal::sigaction(Signal::SIGTSTP, &default) }?;
    let stopped = signal::kill(Pid::from_raw(0), Signal::SIGTSTP);
    // SAFETY: puts back what was installed before, which its owner has made sound.
    unsafe { signal::sigaction(Signal::SIGTSTP, &previous) }?;
    stopped
}
