//! Finds the instructions to which signal handlers return, by their bytes: musl's `__restore_rt` and aarch64's
//! `__kernel_rt_sigreturn` have no unwind information. gdb and libgcc know them by the same bytes.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf;

use super::error::UnwindProblem;
use super::image::{Image, Machine};

/// `mov $15,%rax; syscall`.
const X86_64: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
/// `mov x8, #139; svc #0`.
const AARCH64: &[u8] = &[0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
/// Bytes of code that are searched: a C library is smaller, also within a static executable.
const MAX_CODE: u64 = 16 << 20;
/// Bytes of the dynamic section.
const MAX_DYNAMIC: u64 = 1 << 16;

/// Address ranges of the instructions. Only files that need no other are searched: a C library, a static executable or
/// the vDSO.
pub(super) fn find(image: &Image<'_>) -> Result<Vec<Range<u64>>, UnwindProblem> {
    if needs_libraries(image)? {
        return Ok(Vec::new());
    }
    let pattern = match image.machine {
        Machine::X86_64 => X86_64,
        Machine::Aarch64 => AARCH64,
    };
    let mut found = Vec::new();
    let mut left = MAX_CODE;
    for range in image.code() {
        let Some((offset, length)) = image.place_of(range.start) else { continue };
        let length = length.min(range.end - range.start).min(left);
        left -= length;
        let length = usize::try_from(length).unwrap_or_default();
        let code = image.read(offset, length, "code")?;
        let places = (0..code.len()).filter(|at| code[*at] == pattern[0] && code[*at..].starts_with(pattern));
        found.extend(places.map(|at| range.start + at as u64..range.start + (at + pattern.len()) as u64));
    }
    Ok(found)
}

fn needs_libraries(image: &Image<'_>) -> Result<bool, UnwindProblem> {
    let Some(dynamic) = image.programs_of(elf::PT_DYNAMIC).next() else { return Ok(false) };
    let count = usize::try_from(dynamic.p_filesz.get(LE).min(MAX_DYNAMIC)).unwrap_or_default() / 16;
    let entries: Vec<elf::Dyn64<LE>> = image.many(dynamic.p_offset.get(LE), count, "dynamic section")?;
    Ok(entries.iter().any(|entry| entry.d_tag.get(LE) == elf::DT_NEEDED))
}
