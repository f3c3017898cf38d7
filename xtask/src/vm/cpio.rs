//! Writes the archive that a kernel unpacks as its first file system: cpio, "newc" (the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// An archive that is being written.
#[derive(Debug)]
pub struct Cpio<W> {
    to: W,
    inode: u32,
    /// Directories that are in it.
    directories: BTreeSet<PathBuf>,
}

const DIRECTORY: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_000;

impl<W: Write> Cpio<W> {
    /// Begins an archive.
    pub const fn new(to: W) -> Self {
        Self { to, inode: 0, directories: BTreeSet::new() }
    }

    /// Adds all that a directory holds, but for what `leave_out` says yes to, given the place in the archive.
    ///
    /// # Errors
    /// Of reading and writing.
    pub fn tree(&mut self, from: &Path, leave_out: &dyn Fn(&Path) -> bool) -> io::Result<()> {
        self.subtree(from, Path::new(""), leave_out)
    }

    fn subtree(&mut self, from: &Path, at: &Path, leave_out: &dyn Fn(&Path) -> bool) -> io::Result<()> {
        let mut entries: Vec<_> = fs::read_dir(from.join(at))?.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (place, kind) = (at.join(entry.file_name()), entry.file_type()?);
            if leave_out(&place) {
                continue;
            }
            if kind.is_dir() {
                self.directory(&place)?;
                self.subtree(from, &place, leave_out)?;
            } else if kind.is_symlink() {
                self.entry(&place, LINK, fs::read_link(entry.path())?.as_os_str().as_bytes())?;
            } else if kind.is_file() {
                self.copy(&entry.path(), &place)?;
            }
        }
        Ok(())
    }

    /// Adds a directory and those above it, each once.
    ///
    /// # Errors
    /// Of writing.
    pub fn directory(&mut self, place: &Path) -> io::Result<()> {
        if place.as_os_str().is_empty() || self.directories.contains(place) {
            return Ok(());
        }
        self.directory(place.parent().unwrap_or(Path::new("")))?;
        self.directories.insert(place.to_owned());
        self.entry(place, DIRECTORY, &[])
    }

    /// Adds a file of this machine under another name, absolute or not.
    ///
    /// # Errors
    /// Of reading and writing.
    pub fn copy(&mut self, from: &Path, place: &Path) -> io::Result<()> {
        let mode = fs::metadata(from)?.permissions().mode() & 0o777;
        self.file(place, mode, &fs::read(from)?)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// Of writing.
    pub fn file(&mut self, place: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        let place = place.strip_prefix("/").unwrap_or(place);
        self.directory(place.parent().unwrap_or(Path::new("")))?;
        self.entry(place, FILE | mode, content)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// Of writing.
    pub fn finish(mut self) -> io::Result<()> {
        self.entry(Path::new("TRAILER!!!"), 0, &[])?;
        self.to.flush()
    }

    fn entry(&mut self, place: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        let name = place.as_os_str().as_bytes();
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let name_size = u32::try_from(name.len() + 1).map_err(io::Error::other)?;
        // Inode, mode, owner, group, links, time, size, device (2), device that it stands for (2), name, checksum.
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.to.write_all(b"070701")?;
        for field in fields {
            write!(self.to, "{field:08x}")?;
        }
        self.to.write_all(name)?;
        self.to.write_all(&[0])?;
        self.pad(6 + fields.len() * 8 + name.len() + 1)?;
        self.to.write_all(content)?;
        self.pad(content.len())
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.to.write_all(&[0; 3][..written.next_multiple_of(4) - written])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries are padded to four bytes, and a file's directories come before it, once.
    #[test]
    fn archive_is_laid_out() -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut cpio = Cpio::new(&mut bytes);
        cpio.file(Path::new("/a/b"), 0o755, b"hello")?;
        cpio.file(Path::new("a/c"), 0o644, b"")?;
        cpio.finish()?;
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(bytes.len() % 4, 0);
        let names: Vec<_> = text.split("070701").skip(1).map(|entry| entry[104..].split('\0').next()).collect();
        assert_eq!(names, [Some("a"), Some("a/b"), Some("a/c"), Some("TRAILER!!!")]);
        assert!(text.contains("hello\0\0\x00070701"));
        Ok(())
    }
}
