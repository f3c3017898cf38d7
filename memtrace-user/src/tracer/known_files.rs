//! Unwind tables by file, for processes whose mappings user space has not told yet: see memtrace-ebpf/src/stack/told.rs.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::OwnedFd,
};

use aya::maps::{HashMap as BpfHashMap, Map, MapData};
use memtrace_common::unwind::{FileKey, FileRecord};

use super::{TABLES_DROPPED, mapped::MappedArray, unwind_store::FileId};

/// The map, and what is in it.
#[derive(Debug)]
pub struct KnownFiles {
    map: BpfHashMap<MapData, FileKey, FileRecord>,
    cursors: MappedArray<u64>,
    /// The names by which the kernel knows each file.
    names: HashMap<FileId, HashSet<FileId>>,
}

impl KnownFiles {
    /// With nothing in it.
    ///
    /// # Errors
    /// When the map is of another kind.
    pub fn new(map: OwnedFd, cursors: MappedArray<u64>) -> io::Result<Self> {
        let data = MapData::from_fd(map).map_err(io::Error::other)?;
        let map = Map::HashMap(data).try_into().map_err(io::Error::other)?;
        Ok(Self { map, cursors, names: HashMap::new() })
    }

    /// Tells the programs where the table of a file is, under a name of it. Without room, or a record, user space's lists
    /// of mappings must do.
    pub fn add(&mut self, file: FileId, name: FileId, record: Option<FileRecord>) {
        let Some(record) = record.filter(|_| name.1 != 0) else { return };
        if self.names.entry(file).or_default().insert(name)
            && let Err(error) = self.map.insert(key(name), record, 0)
        {
            log::debug!("file {name:?} is known by lists of mappings alone: {error}");
        }
    }

    /// A file's table goes. When this returns, a walk that has found it before knows at its end.
    pub fn remove(&mut self, file: FileId) {
        let names = self.names.remove(&file).unwrap_or_default();
        if names.is_empty() {
            return;
        }
        for name in names {
            if let Err(error) = self.map.remove(&key(name)) {
                log::debug!("file {name:?}: {error}");
            }
        }
        let dropped = self.cursors.load(TABLES_DROPPED, 0);
        self.cursors.store(TABLES_DROPPED, 0, dropped + 1);
    }
}

/// The kernel's own number of a device has the major number above 20 bits of the minor one (`include/linux/kdev_t.h`).
fn key((device, inode): FileId) -> FileKey {
    let (major, minor) = (libc::major(device), libc::minor(device));
    FileKey { device: u64::from(major << 20 | minor & 0xf_ffff), inode }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device has the kernel's number, not the C library's.
    #[test]
    fn devices_have_the_kernels_number() {
        let name = (libc::makedev(259, 70_000), 12);
        assert_eq!(key(name), FileKey { device: (259 << 20) + 70_000, inode: 12 });
    }
}
