//! Small files of the kernel's that say how it is set.

use std::{fs, io};

use super::finding::{Finding, Level};

/// The first line of a file.
///
/// # Errors
/// What the kernel says.
pub fn line(path: &str) -> io::Result<String> {
    fs::read_to_string(path).map(|text| text.lines().next().unwrap_or_default().trim().to_owned())
}

/// A finding for what could not be read.
pub fn unseen(check: &str, error: &io::Error) -> Finding {
    Finding::other(check, Level::Unseen, error.to_string(), "run memtrace doctor as root to see it")
}
