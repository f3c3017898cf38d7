//! Where control sockets lie: a directory that belongs to the user and that nobody else can look into.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use super::ControlError;

/// A control socket, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The socket.
    pub path: PathBuf,
    /// The traced process.
    pub target: u32,
    /// The memtrace that traces it.
    pub tracer: u32,
}

/// Places to try, the best first. Under /run, only root may make a directory.
fn candidates() -> Vec<PathBuf> {
    let user = geteuid();
    let runtime = if user.is_root() {
        Some(PathBuf::from("/run"))
    } else {
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
    };
    let first = runtime.map(|directory| directory.join("memtrace"));
    first.into_iter().chain([PathBuf::from(format!("/tmp/memtrace-{user}"))]).collect()
}

/// The first place that can be had; made when it is not there.
///
/// # Errors
/// [`ControlError::NoDirectory`] with the reason for each place.
pub fn to_write() -> Result<PathBuf, ControlError> {
    let mut problems = Vec::new();
    for directory in candidates() {
        match prepare(&directory) {
            Ok(()) => {
                if let Some(problem) = problems.first() {
                    log::warn!("the control socket is in {}: {problem}", directory.display());
                }
                return Ok(directory);
            }
            Err(error) => problems.push(format!("{}: {error}", directory.display())),
        }
    }
    Err(ControlError::NoDirectory(problems.join("; ")))
}

fn prepare(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    check(directory)?;
    // The kernel tells at once whether a file can be made there: a file system may be read-only.
    nix::unistd::access(directory, nix::unistd::AccessFlags::W_OK).map_err(Into::into)
}

/// That a directory is ours alone: where others can write, a socket may be anybody's.
fn check(directory: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(directory)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("it is no directory"));
    }
    if metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("others may look into it: its mode must be 0700"));
    }
    Ok(())
}

/// The name of the socket of this memtrace for a process.
#[must_use]
pub fn own_socket(directory: &Path, target: u32) -> PathBuf {
    directory.join(format!("{target}-{}.sock", std::process::id()))
}

/// All sockets in all places.
#[must_use]
pub fn entries() -> Vec<Entry> {
    let directories = candidates().into_iter().filter(|directory| check(directory).is_ok());
    directories.flat_map(|directory| entries_in(&directory)).collect()
}

fn entries_in(directory: &Path) -> Vec<Entry> {
    let Ok(list) = fs::read_dir(directory) else { return Vec::new() };
    list.filter_map(|entry| parse(&entry.ok()?.path())).collect()
}

fn parse(path: &Path) -> Option<Entry> {
    let (target, tracer) = path.file_name()?.to_str()?.strip_suffix(".sock")?.split_once('-')?;
    Some(Entry { path: path.to_owned(), target: target.parse().ok()?, tracer: tracer.parse().ok()? })
}

/// Removes what memtraces have left that were killed.
pub fn sweep(directory: &Path) {
    for entry in entries_in(directory) {
        if !Path::new(&format!("/proc/{}", entry.tracer)).exists() {
            // Another memtrace may have been faster.
            let _gone = fs::remove_file(&entry.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Only a directory that nobody else can look into is taken; a link to one is not.
    #[test]
    fn directories_of_others_are_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("memtrace");
        prepare(&directory).expect("it is made");
        assert_eq!(fs::metadata(&directory).expect("made").mode() & 0o777, 0o700);
        prepare(&directory).expect("it is there");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o750)).expect("ours");
        assert!(check(&directory).is_err());
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("ours");
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&directory, &link).expect("a link");
        assert!(check(&link).is_err());
    }

    /// Sockets are told by their names; those of memtraces that are gone are removed, and nothing else is.
    #[test]
    fn left_sockets_are_swept() {
        let directory = tempfile::tempdir().expect("a directory");
        let own = own_socket(directory.path(), 7);
        let left = directory.path().join("7-4294967295.sock");
        let other = directory.path().join("notes.sock");
        for path in [&own, &left, &other] {
            fs::write(path, "").expect("a file");
        }
        sweep(directory.path());
        assert_eq!((own.exists(), left.exists(), other.exists()), (true, false, true));
        let expected = Entry { path: own, target: 7, tracer: std::process::id() };
        assert_eq!(entries_in(directory.path()), [expected]);
    }
}
