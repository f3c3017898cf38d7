//! Files that are written whole or not at all: an interrupted or failed write leaves what was there before.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::file_owner::give_to_invoker;

/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WholeFileError<E> {
    /// The directory that it is to be in does not exist.
    #[error("cannot be written: there is no such directory")]
    NoDirectory,
    /// The path is that of a directory.
    #[error("is a directory")]
    Directory,
    /// It cannot be made or written.
    #[error("cannot be written: {0}")]
    Write(#[source] io::Error),
    /// Its content cannot be made.
    #[error("{0}")]
    Content(E),
}

/// Writes a file under a temporary name in the same directory, and renames it when all of it is on disk. A symbolic
/// link stays one: what it leads to is replaced. A pipe or a device is written to as it is. `mode` is that of a new
/// file, less the process's umask; whose it is, [`crate::file_owner`] says.
///
/// # Errors
/// When the file cannot be written, or `content` fails; the temporary file is gone then.
pub fn replace<E>(
    path: &Path,
    mode: u32,
    content: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), WholeFileError<E>> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(WholeFileError::Directory),
        Ok(metadata) if !metadata.is_file() => {
            fill(OpenOptions::new().write(true).open(path).map_err(WholeFileError::Write)?, content)
        }
        _ if path.file_name().is_none() => Err(WholeFileError::Directory),
        _ => to_new_file(&fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()), mode, content),
    }
}

fn to_new_file<E>(
    path: &Path,
    mode: u32,
    content: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), WholeFileError<E>> {
    let directory = directory_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".memtrace-").suffix(".tmp").permissions(Permissions::from_mode(mode));
    // Removed when dropped, unless it got its name.
    let mut file = builder.tempfile_in(&directory).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => WholeFileError::NoDirectory,
        _ => WholeFileError::Write(error),
    })?;
    fill(file.as_file_mut(), content)?;
    give_to_invoker(file.as_file(), &directory);
    file.as_file().sync_all().map_err(WholeFileError::Write)?;
    file.persist(path).map_err(|error| WholeFileError::Write(error.error))?;
    // The name is on disk once the directory is; some file systems have nothing to do here and refuse.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn fill<E>(file: impl Write, content: impl FnOnce(&mut dyn Write) -> Result<(), E>) -> Result<(), WholeFileError<E>> {
    let mut out = BufWriter::with_capacity(BUFFER, file);
    content(&mut out).map_err(WholeFileError::Content)?;
    out.flush().map_err(WholeFileError::Write)
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn put(path: &Path, text: &str) -> Result<(), WholeFileError<io::Error>> {
        replace(path, 0o600, |out| out.write_all(text.as_bytes()))
    }

    /// The new content is there whole, through a symbolic link too, with the mode that was asked for.
    #[test]
    fn files_and_what_links_lead_to_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        put(&file, "one").unwrap();
        symlink(&file, &link).unwrap();
        put(&link, "two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    /// Content that fails leaves the old file as it was, and nothing beside it.
    #[test]
    fn failure_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        put(&file, "old").unwrap();
        let failed =
            replace(&file, 0o600, |out| out.write_all(b"half").and(Err(io::Error::from_raw_os_error(libc::ENOSPC))));
        assert!(matches!(failed, Err(WholeFileError::Content(_))));
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    }

    /// Devices are written to, never replaced; directories and missing ones are named.
    #[test]
    fn devices_stay_and_directories_are_refused() {
        put(Path::new("/dev/null"), "text").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        assert!(matches!(put(Path::new("/"), ""), Err(WholeFileError::Directory)));
        assert!(matches!(put(Path::new("/tmp/no/such"), ""), Err(WholeFileError::NoDirectory)));
    }
}
