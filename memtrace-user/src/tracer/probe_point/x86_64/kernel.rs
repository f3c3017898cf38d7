//! What the kernel does with a uprobe on an instruction, `x86_64`.
//!
//! Source: `arch/x86/kernel/uprobes.c` of Linux: `branch_setup_xol_ops`, `push_setup_xol_ops` (emulation),
//! `uprobe_init_insn`, `is_prefix_bad`, `good_insns_64` (refusal); `insn_masking_exception` in
//! `arch/x86/include/asm/insn.h`. Emulation of `push` came in 4.16; all the rest is older than 5.15.
//!
//! Left out of [`EMULATED`] on purpose:
//! - `call rel32`: it pushes a return address that the shadow stack did not see, before abf08854d224 (2026);
//! - nops of several bytes: emulated since 6.18 only, and rewritten to a call that overwrites the red zone in 6.18-7.2;
//! - prefixed forms: `66` before a branch is refused, and `f3 90` (pause) depends on the version.

/// The bytes of an instruction, as (mask, value), that the kernel emulates. The length must match, too, which leaves
/// no room for prefixes.
struct Emulated {
    length: usize,
    bytes: &'static [(u8, u8)],
}

const EMULATED: &[Emulated] = &[
    // push %rax .. %rdi
    Emulated { length: 1, bytes: &[(0xf8, 0x50)] },
    // push %r8 .. %r15
    Emulated { length: 2, bytes: &[(0xff, 0x41), (0xf8, 0x50)] },
    // jcc rel8
    Emulated { length: 2, bytes: &[(0xf0, 0x70)] },
    // jcc rel32
    Emulated { length: 6, bytes: &[(0xff, 0x0f), (0xf0, 0x80)] },
    // jmp rel8
    Emulated { length: 2, bytes: &[(0xff, 0xeb)] },
    // jmp rel32
    Emulated { length: 5, bytes: &[(0xff, 0xe9)] },
    // nop
    Emulated { length: 1, bytes: &[(0xff, 0x90)] },
];

/// Whether the kernel emulates `instruction` (its bytes and no more).
pub(super) fn emulates(instruction: &[u8]) -> bool {
    EMULATED.iter().any(|rule| {
        rule.length == instruction.len()
            && rule.bytes.iter().zip(instruction).all(|((mask, value), byte)| byte & mask == *value)
    })
}

/// Prefixes that `is_prefix_bad` refuses: ES, CS, SS, DS, LOCK.
const BAD_PREFIXES: [u8; 5] = [0x26, 0x2e, 0x36, 0x3e, 0xf0];
/// The other legacy prefixes: FS, GS, operand size, address size, REPNE, REP.
const GOOD_PREFIXES: [u8; 6] = [0x64, 0x65, 0x66, 0x67, 0xf2, 0xf3];

/// `good_insns_64`: one word for 16 opcodes, bit 0 for the first of them.
///
/// 0f is good whatever follows it, so the kernel never comes to ask its second table, `good_2byte_insns`.
const GOOD: [u16; 16] = [
    row(b"1111110011111101"), // 00
    row(b"1111110011111100"), // 10
    row(b"1111111011111110"), // 20
    row(b"1111111011111110"), // 30
    row(b"1111111111111111"), // 40
    row(b"1111111111111111"), // 50
    row(b"0001111111110000"), // 60
    row(b"1111111111111111"), // 70
    row(b"1101111111111111"), // 80
    row(b"1111111111011111"), // 90
    row(b"1111111111111111"), // a0
    row(b"1111111111111111"), // b0
    row(b"1111111111110000"), // c0
    row(b"1111000111111111"), // d0
    row(b"1111000011010000"), // e0
    row(b"1011011111001111"), // f0
];

/// Whether the kernel takes a uprobe on `instruction` at all.
///
/// Without this question a probe that nobody maps yet registers well and never fires.
pub(super) fn accepts(instruction: &[u8]) -> bool {
    let prefixes = instruction.iter().take_while(|b| BAD_PREFIXES.contains(b) || GOOD_PREFIXES.contains(b)).count();
    if instruction[..prefixes].iter().any(|byte| BAD_PREFIXES.contains(byte)) {
        return false;
    }
    let rex = usize::from(matches!(instruction.get(prefixes), Some(0x40..=0x4f)));
    let rest = &instruction[prefixes + rex..];
    // mov to %ss: the next instruction is not interrupted, so not stepped.
    if matches!(rest, [0x8e, modrm, ..] if modrm >> 3 & 7 == 2) {
        return false;
    }
    // VEX has one opcode byte of its own, which the kernel looks up among the one-byte opcodes all the same.
    let opcode = match rest.first() {
        Some(0xc5) => rest.get(2),
        Some(0xc4) => rest.get(3),
        first => first,
    };
    opcode.is_some_and(|opcode| good(*opcode))
}

fn good(opcode: u8) -> bool {
    GOOD[usize::from(opcode >> 4)] >> (opcode & 0xf) & 1 == 1
}

/// A row as the kernel's source writes it: the first digit stands for the first opcode.
const fn row(digits: &[u8; 16]) -> u16 {
    let mut word = 0;
    let mut column = 0;
    while column < 16 {
        if digits[column] == b'1' {
            word |= 1 << column;
        }
        column += 1;
    }
    word
}
