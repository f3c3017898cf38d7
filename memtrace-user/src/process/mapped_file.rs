//! Opens the files that a process has mapped: exactly the mapped inode, or none.
//!
//! A file may have been deleted or replaced by an upgrade since it was mapped, lie in another mount namespace or below
//! a chroot, and its path is under the control of the traced program. So nothing is opened for reading before it is
//! known to be a regular file and the one that is mapped.

use std::{
    ffi::OsStr,
    fs::{File, Metadata, read_link},
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::Path,
    sync::Arc,
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

use super::{
    maps_line::without_deleted_mark,
    proc_dir::{ProcDir, below},
};
use crate::profile::ModuleId;

/// A file of which code is mapped.
#[derive(Debug, Clone)]
pub struct MappedFile {
    /// Its id in the profile.
    pub module: ModuleId,
    /// Path as the process sees it, or pseudo name as `[vdso]`. Lossy where it is no UTF-8, and not escaped.
    pub path: Arc<str>,
    /// The file, open for reading; `None` when it could not be had (then it is known by name only).
    pub file: Option<Arc<File>>,
    /// Device and inode of `file` as stat(2) states them.
    pub id: Option<(u64, u64)>,
    /// Device as `/proc/PID/maps` states it; it may differ from the one that stat(2) states (btrfs, overlayfs).
    pub device: u64,
    /// Inode number on that device.
    pub inode: u64,
    /// The path no longer leads to this file: it was deleted or replaced.
    pub deleted: bool,
}

/// What is known of a mapping's file before it is opened.
#[derive(Debug, Clone, Copy)]
pub struct FileRef<'a> {
    /// Path as the kernel wrote it, with the mark of a deleted file.
    pub name: &'a OsStr,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// Opens the file mapped at an address range of a process.
///
/// `/proc/PID/map_files` leads to the inode itself wherever it lies, but needs `CAP_CHECKPOINT_RESTORE` or
/// `CAP_SYS_ADMIN` and a live process. The second way is the path below `root` (that of the process, or memtrace's
/// own when the process is gone and shared its mounts).
pub fn open_mapped(directory: &ProcDir, range: (u64, u64), wanted: FileRef<'_>) -> Option<File> {
    open_map_file(directory, range, wanted).or_else(|| open_by_path(directory, wanted))
}

/// Whether the kernel marked the file as deleted and no file of the literal name is the mapped one.
pub fn is_deleted(directory: &ProcDir, wanted: FileRef<'_>) -> bool {
    without_deleted_mark(wanted.name).1 && path_of(directory, wanted.name, wanted).is_none()
}

fn open_map_file(directory: &ProcDir, (start, end): (u64, u64), wanted: FileRef<'_>) -> Option<File> {
    let handle = directory.open_file(Path::new(&format!("map_files/{start:x}-{end:x}")), OFlag::O_PATH).ok()?;
    let metadata = handle.metadata().ok()?;
    // On overlayfs before Linux 6.8 maps shows the lower inode and stat(2) the overlay's; the path agrees there.
    let same = is_same_file(&metadata, wanted) || read_link(fd_path(&handle)).ok()?.as_os_str() == wanted.name;
    (metadata.is_file() && same).then(|| reopen(&handle).ok())?
}

fn open_by_path(directory: &ProcDir, wanted: FileRef<'_>) -> Option<File> {
    let (plain, marked) = without_deleted_mark(wanted.name);
    path_of(directory, wanted.name, wanted)
        .or_else(|| marked.then(|| path_of(directory, plain, wanted))?)
        .and_then(|handle| reopen(&handle).ok())
}

/// A handle (`O_PATH`) on the file of this name, if it is the wanted one.
fn path_of(directory: &ProcDir, name: &OsStr, wanted: FileRef<'_>) -> Option<File> {
    let relative = name.as_encoded_bytes().starts_with(b"/").then(|| below("root", name))?;
    let in_ours =
        || open(&below("/proc/self/root", name), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map(File::from);
    let handle = directory.open_file(&relative, OFlag::O_PATH).or_else(|_| in_ours()).ok()?;
    let metadata = handle.metadata().ok()?;
    (metadata.is_file() && is_same_file(&metadata, wanted)).then_some(handle)
}

/// Inode numbers must agree. Devices must too unless one of them is anonymous (major number 0), as btrfs and
/// overlayfs have: there maps and stat(2) state different ones for the same file.
fn is_same_file(metadata: &Metadata, wanted: FileRef<'_>) -> bool {
    let anonymous = libc::major(metadata.dev()) == 0 || libc::major(wanted.device) == 0;
    metadata.ino() == wanted.inode && (anonymous || metadata.dev() == wanted.device)
}

fn fd_path(handle: &File) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

fn reopen(handle: &File) -> io::Result<File> {
    File::open(fd_path(handle))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn wanted<'a>(path: &'a Path, metadata: &Metadata) -> FileRef<'a> {
        FileRef { name: path.as_os_str(), device: metadata.dev(), inode: metadata.ino() }
    }

    /// A file that was replaced under its name is not taken for the mapped one.
    #[test]
    fn replaced_file_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lib.so");
        fs::write(&path, "old").unwrap();
        let old = fs::metadata(&path).unwrap();
        let own = ProcDir::open(std::process::id()).unwrap();
        assert!(open_by_path(&own, wanted(&path, &old)).is_some());
        let next = directory.path().join("next");
        fs::write(&next, "new").unwrap();
        fs::rename(&next, &path).unwrap();
        assert!(open_by_path(&own, wanted(&path, &old)).is_none());
    }

    /// A file whose name really ends like the kernel's mark is found under that name and is not deleted.
    #[test]
    fn literal_deleted_suffix_is_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lib.so (deleted)");
        fs::write(&path, "").unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let own = ProcDir::open(std::process::id()).unwrap();
        assert!(open_by_path(&own, wanted(&path, &metadata)).is_some());
        assert!(!is_deleted(&own, wanted(&path, &metadata)));
        fs::remove_file(&path).unwrap();
        assert!(is_deleted(&own, wanted(&path, &metadata)));
    }

    /// A fifo in the place of a library must not block memtrace.
    #[test]
    fn fifo_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lib.so");
        nix::unistd::mkfifo(&path, Mode::S_IRUSR).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let own = ProcDir::open(std::process::id()).unwrap();
        assert!(open_by_path(&own, wanted(&path, &metadata)).is_none());
    }
}
