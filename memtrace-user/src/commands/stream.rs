//! The streams that text goes to.

use std::io::{self, IsTerminal as _, Write as _};

use crate::report::escape::escape;

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
        let written = match self {
            Self::Output => {
                let mut out = io::stdout().lock();
                out.write_all(text).and_then(|()| out.flush())
            }
            Self::Error => io::stderr().write_all(text),
        };
        written.map_err(|error| self.named(&error))
    }

    /// An error with the name of the stream, of the same kind.
    #[must_use]
    pub fn named(self, error: &io::Error) -> io::Error {
        let name = match self {
            Self::Output => "standard output",
            Self::Error => "standard error",
        };
        io::Error::new(error.kind(), format!("{name} cannot be written: {error}"))
    }
}

/// Says something on standard error, on a line of its own.
pub fn say(message: &str) {
    tell(&format!("memtrace: {}\n", escape(message)));
}

/// Writes something for people to standard error. Where nobody can hear it (a closed pipe, a full disk), the work goes on.
pub fn tell(text: &str) {
    let _unheard = io::stderr().write_all(text.as_bytes());
}

/// Prints what was asked for; a reader that has seen enough is no failure.
///
/// # Errors
/// Those of standard output.
pub fn print(text: &[u8]) -> io::Result<()> {
    unless_closed(Stream::Output.write(text))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A full disk behind a stream is told with the stream's name; a closed pipe is still known as one.
    #[test]
    fn errors_name_their_stream() {
        let named = |kind| Stream::Output.named(&io::Error::from(kind));
        assert_eq!(
            named(io::ErrorKind::StorageFull).to_string(),
            "standard output cannot be written: no storage space"
        );
        assert!(unless_closed(Err(named(io::ErrorKind::BrokenPipe))).is_ok());
        assert!(unless_closed(Err(named(io::ErrorKind::StorageFull))).is_err());
    }
}
