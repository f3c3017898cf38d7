//! The streams that text goes to.

use std::io::{self, IsTerminal as _, Write as _};

/// Stands between two reports.
pub const BETWEEN_REPORTS: &[u8] = b"\n----\n\n";

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error, where standard output belongs to the traced command.
    Error,
}

impl Stream {
    /// Columns of the terminal, when the stream is one that says how wide it is: serial consoles say 0.
    #[must_use]
    pub fn width(self) -> Option<usize> {
        let terminal = match self {
            Self::Output => io::stdout().is_terminal(),
            Self::Error => io::stderr().is_terminal(),
        };
        let size = terminal.then(|| crossterm::terminal::size().ok()).flatten();
        size.map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
    }

    /// Writes all of it at once.
    ///
    /// # Errors
    /// Those of the stream; a closed pipe comes as `BrokenPipe`.
    pub fn write(self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Output => {
                let mut out = io::stdout().lock();
                out.write_all(text).and_then(|()| out.flush())
            }
            Self::Error => io::stderr().write_all(text),
        }
    }
}

/// A reader that has seen enough closes the pipe: that is no failure.
///
/// # Errors
/// Any other that there was.
pub fn unless_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
