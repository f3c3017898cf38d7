//! Finds the instructions to which signal handlers return, by their bytes: musl's `__restore_rt` and aarch64's
//! `__kernel_rt_sigreturn` have no unwind information. gdb and libgcc know them by the same bytes.

use std::ops::Range;

use super::image::Machine;

/// `mov $15,%rax; syscall`.
const X86_64: &[u8] = &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05];
/// `mov x8, #139; svc #0`.
const AARCH64: &[u8] = &[0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// Ranges of the instructions, as places in the code.
pub(super) fn find(machine: Machine, code: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let pattern = match machine {
        Machine::X86_64 => X86_64,
        Machine::Aarch64 => AARCH64,
    };
    let places = (0..code.len()).filter(move |at| code[*at] == pattern[0] && code[*at..].starts_with(pattern));
    places.map(|at| at..at + pattern.len())
}
