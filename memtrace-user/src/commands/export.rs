//! `memtrace export FILE --format FORMAT`: a snapshot for another tool.

use std::{
    io::{self, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;

use super::stream::{Stream, unless_closed};
use crate::{
    cli::ExportArgs,
    export::{self, Export, ExportError},
    snapshot,
    whole_file::{self, WholeFileError},
};

/// Mode of a new file, less the umask: what is exported is to be shown around.
const FILE_MODE: u32 = 0o666;

/// Reads the snapshot, and the base if there is one, and writes the format.
///
/// # Errors
/// When a file cannot be read, the output cannot be written, or the format cannot hold what is asked.
pub fn execute(arguments: &ExportArgs) -> anyhow::Result<ExitCode> {
    let mut snapshot = snapshot::read_file(&arguments.file)?;
    let mut base = arguments.base.as_deref().map(snapshot::read_file).transpose()?;
    for snapshot in [&mut snapshot].into_iter().chain(&mut base) {
        if arguments.domain.is_some() || !arguments.format.tells_domains() {
            snapshot.keep_domain(arguments.domain);
        }
    }
    let value = arguments.value.unwrap_or(snapshot.about.default_sort);
    let export = Export {
        snapshot: &snapshot,
        base: base.as_ref(),
        value,
        lines: arguments.lines,
        per_thread: arguments.per_thread,
    };
    let write = |out: &mut dyn Write| export::write(arguments.format, &export, out);
    match &arguments.output {
        Some(path) if path != Path::new("-") => save(path, write)?,
        _ => finish(print(write))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn save(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>) -> anyhow::Result<()> {
    match whole_file::replace(path, FILE_MODE, write) {
        Err(WholeFileError::Content(error)) if !matches!(error, ExportError::Write(_)) => Err(error.into()),
        other => other.with_context(|| path.display().to_string()),
    }
}

fn print(write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>) -> Result<(), ExportError> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    write(&mut out)?;
    Ok(out.flush()?)
}

fn finish(result: Result<(), ExportError>) -> Result<(), ExportError> {
    match result {
        Err(ExportError::Write(error)) => Ok(unless_closed(Err(Stream::Output.named(&error)))?),
        other => other,
    }
}
