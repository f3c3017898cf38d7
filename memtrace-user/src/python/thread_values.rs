//! Where a C library keeps a thread's values by key (`pthread_getspecific`), as it tells debuggers itself.

use std::fs::File;

use crate::process::elf::ElfFile;

/// What glibc exports for `libthread_db` (`nptl_db/structs.def`): of a field three numbers of 32 bits, the last of which is its
/// offset in bytes, and the size of a thread's descriptor.
const DATA: [&str; 2] = ["_thread_db_pthread_specific", "_thread_db_sizeof_pthread"];
/// Values in the first block, which lies before the pointers to all blocks; 16 bytes each.
const FIRST_BLOCK: u64 = 32 * 16;

/// On `x86_64` since glibc 2.4. To 2.33 it does not tell.
const OLDER: ThreadValues = ThreadValues { values: 0x310, below: 0 };

/// Of a C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadValues {
    /// Bytes from a thread's id to its first block of values.
    pub values: u64,
    /// Bytes from a thread's id to its thread pointer.
    pub below: u64,
}

impl ThreadValues {
    /// Of a file; `None` where it is no C library of this kind.
    #[must_use]
    pub fn of(file: &File, path: &str) -> Option<Self> {
        let elf = ElfFile::new(file.try_clone().ok()?, path).ok()?;
        let [Some(field), size] = elf.data_addresses(DATA).ok()? else {
            let is_glibc = elf.functions(["gnu_get_libc_version"]).is_ok_and(|functions| !functions.found.is_empty());
            return (is_glibc && cfg!(target_arch = "x86_64")).then_some(OLDER);
        };
        let number = |address: u64| {
            let bytes = elf.bytes_at(address, 4).ok()?;
            bytes.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
        };
        let blocks = number(field + 8)?;
        // On aarch64 the thread pointer is behind the descriptor.
        let below = if cfg!(target_arch = "aarch64") { number(size?)? } else { 0 };
        Some(Self { values: blocks.checked_sub(FIRST_BLOCK)?, below })
    }
}

#[cfg(all(test, target_env = "gnu", target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// The C library that this test runs with says where the values are: where they have been since glibc 2.4.
    #[test]
    fn own_c_library_tells() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("own mappings");
        let path = maps.lines().find_map(|line| line.ends_with("/libc.so.6").then(|| line.split(' ').next_back()));
        let path = path.flatten().expect("a C library");
        let values = ThreadValues::of(&File::open(path).expect("a file"), path);
        assert_eq!(values, Some(ThreadValues { values: 0x310, below: 0 }));
    }
}
