//! Snapshot files on disk: whole, or not there at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal},
    path::{Path, PathBuf},
};

use super::{SnapshotError, SnapshotProblem, read, write};
use crate::profile::Snapshot;

/// Bytes that are written to a file at once.
const BUFFER: usize = 256 << 10;

/// Stands for standard output or standard input.
const STANDARD: &str = "-";

/// Reads a snapshot file, or any pprof profile of memory; `-` is standard input.
///
/// # Errors
/// [`SnapshotError`], with the file's name and, mostly, a hint.
pub fn read_file(path: &Path) -> Result<Snapshot, SnapshotError> {
    let result = if path == Path::new(STANDARD) {
        read(io::stdin().lock())
    } else {
        File::open(path).map_err(SnapshotProblem::Read).and_then(|file| {
            if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                return Err(SnapshotProblem::Directory);
            }
            read(file)
        })
    };
    result.map_err(|problem| SnapshotError::new(path, problem))
}

/// Writes a snapshot file; `-` is standard output.
///
/// It is written under a temporary name in the same directory and renamed when all of it is on disk, so under `path`
/// there is never half a file. Only its owner may read it, as command lines and names may be confidential. A path that
/// leads to a pipe or a device is written to as it is.
///
/// # Errors
/// [`SnapshotError`], with the file's name and, mostly, a hint; the temporary file is gone then.
pub fn write_file(path: &Path, snapshot: &Snapshot) -> Result<(), SnapshotError> {
    let result = if path == Path::new(STANDARD) { to_standard_output(snapshot) } else { to_path(path, snapshot) };
    result.map_err(|problem| SnapshotError::new(path, problem))
}

fn to_standard_output(snapshot: &Snapshot) -> Result<(), SnapshotProblem> {
    let output = io::stdout().lock();
    if output.is_terminal() {
        return Err(SnapshotProblem::Terminal);
    }
    write(BufWriter::with_capacity(BUFFER, output), snapshot).map_err(SnapshotProblem::Write)
}

fn to_path(path: &Path, snapshot: &Snapshot) -> Result<(), SnapshotProblem> {
    // A symbolic link stays one: what it leads to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(SnapshotProblem::Directory),
        Ok(metadata) if !metadata.is_file() => to_device(path, snapshot),
        _ => to_new_file(&target, snapshot),
    }
}

/// A pipe or a device must not be replaced by a file.
fn to_device(path: &Path, snapshot: &Snapshot) -> Result<(), SnapshotProblem> {
    let device = OpenOptions::new().write(true).open(path).map_err(SnapshotProblem::Write)?;
    if device.is_terminal() {
        return Err(SnapshotProblem::Terminal);
    }
    write(BufWriter::with_capacity(BUFFER, device), snapshot).map_err(SnapshotProblem::Write)
}

fn to_new_file(path: &Path, snapshot: &Snapshot) -> Result<(), SnapshotProblem> {
    let directory = directory_of(path);
    if path.file_name().is_none() {
        return Err(SnapshotProblem::Directory);
    }
    // Removed when dropped, unless it got its name.
    let mut file =
        tempfile::Builder::new().prefix(".memtrace-").suffix(".tmp").tempfile_in(&directory).map_err(|error| {
            match error.kind() {
                io::ErrorKind::NotFound => SnapshotProblem::NoDirectory,
                _ => SnapshotProblem::Write(error),
            }
        })?;
    write(BufWriter::with_capacity(BUFFER, file.as_file_mut()), snapshot).map_err(SnapshotProblem::Write)?;
    file.as_file().sync_all().map_err(SnapshotProblem::Write)?;
    file.persist(path).map_err(|error| SnapshotProblem::Write(error.error))?;
    // The name is on disk once the directory is; some file systems have nothing to do here and refuse.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}
