//! Writes what the live view shows to files in the working directory.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, bail};

use crate::tui::App;

/// Most names that are tried: one a file, counted up.
const MOST_FILES: u32 = 1000;

/// Writes a text and a CSV file under the first number that is free; says their names.
///
/// # Errors
/// When they cannot be written.
pub fn write(app: &App) -> anyhow::Result<String> {
    let csv = app.to_csv()?;
    let text = app.to_text();
    for number in 1..=MOST_FILES {
        let base = format!("memtrace-{}-view-{number}", app.pid().unwrap_or(0));
        let path = PathBuf::from(format!("{base}.txt"));
        // Never over a file that is there, and not through a link that somebody has put there.
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error).with_context(|| format!("cannot create {}", path.display())),
        };
        file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        let table = path.with_extension("csv");
        let mut file = OpenOptions::new().write(true).create_new(true).open(&table);
        let written =
            file.as_mut().map_err(|error| std::io::Error::from(error.kind())).and_then(|file| file.write_all(&csv));
        written.with_context(|| format!("cannot write {}", table.display()))?;
        return Ok(format!("{base}.txt and .csv"));
    }
    bail!("there are {MOST_FILES} such files in this directory already")
}
