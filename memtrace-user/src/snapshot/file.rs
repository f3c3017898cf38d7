//! Snapshot files on disk: whole, or not there at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use super::{SnapshotError, SnapshotProblem, read, write};
use crate::{profile::Snapshot, whole_file};

/// Bytes that are written to a file at once.
const BUFFER: usize = 256 << 10;

/// Mode of a snapshot: command lines and names may be confidential.
const OWNER_ONLY: u32 = 0o600;
/// The same in a directory that hands its group on: whoever has made it so has said who may read.
const OWNER_AND_GROUP: u32 = 0o640;
/// `S_ISGID`, by which a directory hands its group on.
const HANDS_GROUP_ON: u32 = 0o2000;

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
/// there is never half a file. Only its owner may read it, as command lines and names may be confidential; in a directory
/// with the set-group-id bit, the directory's group as well. A path that leads to a pipe or a device is written to as it is.
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
    let is_device = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device());
    if is_device && OpenOptions::new().write(true).open(path).is_ok_and(|device| device.is_terminal()) {
        return Err(SnapshotProblem::Terminal);
    }
    Ok(whole_file::replace(path, mode_at(path), |out| write(out, snapshot))?)
}

fn mode_at(path: &Path) -> u32 {
    // A link stays one, and what it leads to is replaced.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = real.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let hands_group_on = fs::metadata(directory).is_ok_and(|directory| directory.mode() & HANDS_GROUP_ON != 0);
    if hands_group_on { OWNER_AND_GROUP } else { OWNER_ONLY }
}
