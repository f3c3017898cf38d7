//! Writes what the live view shows to files in the working directory.

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

use crate::{file_owner::give_to_invoker, tui::App};

/// Most names that are tried: one a file, counted up.
const MOST_FILES: u32 = 1000;

/// Writes what is shown, and says on the screen what has come of it.
pub fn export(app: &mut App) {
    let message = match write(app) {
        Ok(files) => format!("written: {files}"),
        Err(error) => format!("nothing is written: {error:#}"),
    };
    app.set_message(message);
}

/// Writes a text and a CSV file under the first number that is free; says their names.
fn write(app: &App) -> anyhow::Result<String> {
    let csv = app.to_csv()?;
    let text = app.to_text();
    for number in 1..=MOST_FILES {
        let base = format!("memtrace-{}-view-{number}", app.pid().unwrap_or(0));
        let path = PathBuf::from(format!("{base}.txt"));
        match make(&path, text.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            made => made.with_context(|| format!("cannot write {}", path.display()))?,
        }
        let table = path.with_extension("csv");
        make(&table, &csv).with_context(|| format!("cannot write {}", table.display()))?;
        return Ok(format!("{base}.txt and .csv"));
    }
    bail!("there are {MOST_FILES} such files in this directory already")
}

/// Never over a file that is there, and not through a link that somebody has put there.
fn make(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    give_to_invoker(&file, Path::new("."));
    file.write_all(content)
}
