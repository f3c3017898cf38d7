//! Where a C library keeps a thread's values by key (`pthread_getspecific`): glibc tells debuggers, of musl its code does.

use std::fs::File;

use crate::process::elf::{ElfFile, Machine};

/// What glibc exports for `libthread_db` (`nptl_db/structs.def`): of a field three numbers of 32 bits, the last of which is its
/// offset in bytes, and the size of a thread's descriptor.
const DATA: [&str; 2] = ["_thread_db_pthread_specific", "_thread_db_sizeof_pthread"];
/// Values in the first block, which lies before the pointers to all blocks; 16 bytes each.
const FIRST_BLOCK: u64 = 32 * 16;

/// Of glibc on `x86_64` since 2.4. To 2.33 it does not tell.
const OLDER: ThreadValues = ThreadValues { values: 0x310, below: 0, are_behind: false };

/// Of a C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadValues {
    /// Bytes from a thread's id to its first block of values, or to the pointer to all of them.
    pub values: u64,
    /// Bytes from a thread's id to its thread pointer.
    pub below: u64,
    /// They lie behind a pointer, a word each (musl).
    pub are_behind: bool,
}

impl ThreadValues {
    /// Of a file; `None` where it is no C library of these kinds.
    #[must_use]
    pub fn of(file: &File, path: &str) -> Option<Self> {
        let elf = ElfFile::new(file.try_clone().ok()?, path).ok()?;
        let [Some(field), size] = elf.data_addresses(DATA).ok()? else {
            let is_glibc = elf.functions(["gnu_get_libc_version"]).is_ok_and(|functions| !functions.found.is_empty());
            return if is_glibc { cfg!(target_arch = "x86_64").then_some(OLDER) } else { Self::of_musl(&elf) };
        };
        let number = |address: u64| {
            let bytes = elf.bytes_at(address, 4).ok()?;
            bytes.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes)))
        };
        let blocks = number(field + 8)?;
        // On aarch64 the thread pointer is behind the descriptor.
        let below = if cfg!(target_arch = "aarch64") { number(size?)? } else { 0 };
        Some(Self { values: blocks.checked_sub(FIRST_BLOCK)?, below, are_behind: false })
    }

    /// By the functions that read a value and the thread's id.
    fn of_musl(elf: &ElfFile) -> Option<Self> {
        let code = |name| Some(elf.functions([name]).ok()?.found.into_iter().next()?.code);
        let (value, own) = (code("pthread_getspecific")?, code("pthread_self")?);
        match elf.machine() {
            Machine::X86_64 => Some(Self { values: x86_64_offset(&value)?, below: 0, are_behind: true }),
            Machine::Aarch64 => {
                let below = instructions(&own).find_map(aarch64_subtracted)?;
                let values = below.checked_add_signed(instructions(&value).find_map(aarch64_loaded)?)?;
                Some(Self { values, below, are_behind: true })
            }
        }
    }
}

/// The offset in `mov %fs:0,%rax; mov OFFSET(%rax),%rax`, as musl's function begins.
fn x86_64_offset(code: &[u8]) -> Option<u64> {
    let load = code.strip_prefix(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0])?.strip_prefix(&[0x48, 0x8b])?;
    match load {
        [0x40, offset, ..] if *offset < 0x80 => Some(u64::from(*offset)),
        [0x80, offset @ ..] => offset.first_chunk().map(|bytes| u64::from(u32::from_le_bytes(*bytes))),
        _ => None,
    }
}

fn instructions(code: &[u8]) -> impl Iterator<Item = u32> {
    code.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(u32::from_le_bytes)
}

/// Of `ldur x, [x, #offset]`, whose nine bits are signed.
fn aarch64_loaded(instruction: u32) -> Option<i64> {
    let offset = i64::from(instruction >> 12 & 0x1ff);
    (instruction & 0xffe0_0c00 == 0xf840_0000).then_some(if offset < 0x100 { offset } else { offset - 0x200 })
}

/// Of `sub x, x, #number`.
fn aarch64_subtracted(instruction: u32) -> Option<u64> {
    (instruction & 0xffc0_0000 == 0xd100_0000).then_some(u64::from(instruction >> 10 & 0xfff))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The C library that this test runs with says where the values are: where they have been since glibc 2.4.
    #[cfg(all(target_env = "gnu", target_arch = "x86_64"))]
    #[test]
    fn own_c_library_tells() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("own mappings");
        let path = maps.lines().find_map(|line| line.ends_with("/libc.so.6").then(|| line.split(' ').next_back()));
        let path = path.flatten().expect("a C library");
        let values = ThreadValues::of(&File::open(path).expect("a file"), path);
        assert_eq!(values, Some(OLDER));
    }

    /// musl 1.2.3's functions, of either architecture, tell where its threads have the pointer to their values; what looks
    /// otherwise tells nothing.
    #[test]
    fn code_of_musl_tells() {
        let function = [0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8b, 0x80, 0x80, 0, 0, 0, 0x89, 0xff];
        assert_eq!(x86_64_offset(&function), Some(128));
        assert_eq!([x86_64_offset(&function[..12]), x86_64_offset(&function[4..])], [None; 2]);
        // mrs x1, tpidr_el0; ldur x1, [x1, #-88]; ldr x0, [x1, w0, uxtw #3]; ret
        let value = [0xd53b_d041, 0xf85a_8021, 0xf860_5820, 0xd65f_03c0];
        assert_eq!(value.into_iter().find_map(aarch64_loaded), Some(-88));
        // mrs x0, tpidr_el0; sub x0, x0, #0xc8; ret
        let own = [0xd53b_d040, 0xd103_2000, 0xd65f_03c0];
        assert_eq!(own.into_iter().find_map(aarch64_subtracted), Some(200));
        assert_eq!(own.into_iter().find_map(aarch64_loaded), None);
    }
}
