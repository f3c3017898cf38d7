//! Finds where a C library without unwind information (musl) calls a program's `main` or a thread's function: what these return
//! is handed to `exit` or `pthread_exit` at once. Nobody is behind these calls, so a stack that comes here is whole.

use std::ops::Range;

use super::image::Machine;

/// The functions that what has been returned is handed to.
pub(super) const ENDS: [&str; 2] = ["exit", "pthread_exit"];

/// How a result becomes an argument on `x86_64`: `mov %eax,%edi`, `mov %rax,%rdi`, `movslq %eax,%rdi`, `cltq; mov %rax,%rdi`. The
/// longest first, as one ends like another.
const X86_64: [&[u8]; 4] = [&[0x48, 0x98, 0x48, 0x89, 0xc7], &[0x48, 0x89, 0xc7], &[0x48, 0x63, 0xf8], &[0x89, 0xc7]];
/// `sxtw x0, w0`; a result of 64 bits is the argument already.
const AARCH64: [u8; 4] = 0x9340_7c00_u32.to_le_bytes();

/// Ranges of what comes after such calls, as places in the code, which begins at the address `start`. `ends` are the addresses of
/// [`ENDS`].
pub(super) fn find(machine: Machine, start: u64, code: &[u8], ends: &[u64]) -> Vec<Range<usize>> {
    if ends.is_empty() {
        return Vec::new();
    }
    match machine {
        Machine::X86_64 => (0..code.len()).filter_map(|at| x86_64(start, code, at, ends)).collect(),
        Machine::Aarch64 => (0..code.len()).step_by(4).filter_map(|at| aarch64(start, code, at, ends)).collect(),
    }
}

/// The range that ends with `call END` at a place.
fn x86_64(start: u64, code: &[u8], at: usize, ends: &[u64]) -> Option<Range<usize>> {
    if code[at] != 0xe8 {
        return None;
    }
    let distance = i32::from_le_bytes(*code.get(at + 1..)?.first_chunk()?);
    let behind = at + 5;
    let target = start.wrapping_add(behind as u64).wrapping_add_signed(distance.into());
    let handed = X86_64.iter().find(|handed| code[..at].ends_with(handed)).filter(|_| ends.contains(&target))?;
    let first = at - handed.len();
    is_behind_call(&code[..first]).then_some(first..behind)
}

/// Whether code ends with `call *REGISTER`, `call *(REGISTER)` or `call *8-BITS(REGISTER)`. What is called by name is a function of
/// the program's own, as in `exit(run())`.
fn is_behind_call(code: &[u8]) -> bool {
    match code {
        [.., 0xff, operand] if matches!(operand & 0xf8, 0xd0 | 0x10) => true,
        [.., 0xff, operand, _] => operand & 0xf8 == 0x50,
        _ => false,
    }
}

/// The same of `bl END`, behind `blr`.
fn aarch64(start: u64, code: &[u8], at: usize, ends: &[u64]) -> Option<Range<usize>> {
    let word = |at: usize| code.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let branch = word(at).filter(|word| word >> 26 == 0b10_0101)?;
    // Of its 26 bits the highest is the sign; they count instructions.
    let distance = i64::from((branch << 6).cast_signed() >> 6) * 4;
    if !ends.contains(&start.wrapping_add(at as u64).wrapping_add_signed(distance)) {
        return None;
    }
    let first = if code[..at].ends_with(&AARCH64) { at - 4 } else { at };
    let is_call = |word: u32| word & 0xffff_fc1f == 0xd63f_0000;
    word(first.checked_sub(4)?).is_some_and(is_call).then_some(first..at + 4)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    const START: u64 = 0x1_0000;

    /// `call *%rbx; mov %eax,%edi; call exit` is such a place, from the move on; not if another function is called, if what is
    /// handed on is something else, or if it is not the result of such a call.
    #[test]
    fn main_s_call_is_found_on_x86_64() {
        let code = [0x90, 0xff, 0xd3, 0x89, 0xc7, 0xe8, 0xf6, 0x0f, 0, 0, 0x90];
        let found = |code: &[u8], end: u64| find(Machine::X86_64, START, code, &[end]);
        assert_eq!(found(&code, START + 0x1000), from_ref(&(3..10)));
        assert!(found(&code, START + 0x1001).is_empty() && found(&code[..8], START + 0x1000).is_empty());
        for changed in [1, 3] {
            let mut other = code;
            other[changed] = 0x90;
            assert!(found(&other, START + 0x1000).is_empty());
        }
    }

    /// `blr x21; bl exit`, and the same with `sxtw x0, w0` between them; not behind another instruction.
    #[test]
    fn main_s_call_is_found_on_aarch64() {
        let found = |words: &[u32]| {
            let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            find(Machine::Aarch64, START, &code, &[START - 8])
        };
        assert_eq!(found(&[0xd503_201f, 0xd63f_02a0, 0x97ff_fffc]), from_ref(&(8..12)));
        assert_eq!(found(&[0xd63f_02a0, 0x9340_7c00, 0x97ff_fffc]), from_ref(&(4..12)));
        assert!(found(&[0xd503_201f, 0x97ff_fffd]).is_empty() && found(&[0xd63f_02a0, 0x97ff_fffc]).is_empty());
    }
}
