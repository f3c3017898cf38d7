//! What the kernel does with a uprobe on an instruction, aarch64.
//!
//! Source: `arch/arm64/kernel/probes/decode-insn.c` of Linux: `arm_probe_decode_insn` (simulation) and
//! `aarch64_insn_is_steppable` (refusal); masks from `arch/arm64/include/asm/insn.h`.
//!
//! Left out of [`SIMULATED`] on purpose:
//! - `nop`: simulated since 6.13 only;
//! - `bl`, `blr`, `ret`: simulated, but they concern the guarded control stack, and no function of use begins so;
//! - load of a literal: simulated for kprobes only, and refused for uprobes.

/// An instruction as mask and value of its 32 bits, with its name in assembler.
pub(super) struct Pattern {
    mask: u32,
    value: u32,
    pub(super) name: &'static str,
}

impl Pattern {
    const fn new(mask: u32, value: u32, name: &'static str) -> Self {
        Self { mask, value, name }
    }

    pub(super) fn matches(&self, word: u32) -> bool {
        word & self.mask == self.value
    }
}

/// Simulated on every kernel asked: one trap.
const SIMULATED: &[Pattern] = &[
    Pattern::new(0xff00_0010, 0x5400_0000, "b.cond"),
    Pattern::new(0x7f00_0000, 0x3400_0000, "cbz"),
    Pattern::new(0x7f00_0000, 0x3500_0000, "cbnz"),
    Pattern::new(0x7f00_0000, 0x3600_0000, "tbz"),
    Pattern::new(0x7f00_0000, 0x3700_0000, "tbnz"),
    Pattern::new(0x9f00_0000, 0x1000_0000, "adr"),
    Pattern::new(0x9f00_0000, 0x9000_0000, "adrp"),
    Pattern::new(0xfc00_0000, 0x1400_0000, "b"),
    Pattern::new(0xffff_fc1f, 0xd61f_0000, "br"),
];

/// Not simulated and not to be stepped.
const REFUSED: &[Pattern] = &[
    Pattern::new(0xff00_0000, 0xd400_0000, "exception"),
    Pattern::new(0xfff8_f01f, 0xd500_401f, "msr immediate"),
    Pattern::new(0xfff0_0000, 0xd510_0000, "msr"),
    Pattern::new(0xffff_f000, 0xd69f_0000, "eret"),
    Pattern::new(0xfeff_f800, 0xd61f_0800, "braa, brab"),
    Pattern::new(0xfeff_f800, 0xd63f_0800, "blraa, blrab"),
    Pattern::new(0xffff_fbff, 0xd65f_0bff, "retaa, retab"),
    Pattern::new(0x3b00_0000, 0x1800_0000, "load of a literal"),
    Pattern::new(0x3f00_0000, 0x0800_0000, "exclusive load or store"),
    Pattern::new(0x3b20_0c00, 0x1900_0400, "memory copy or set"),
    // What is in no class of instructions at all.
    Pattern::new(0x1e00_0000, 0x0000_0000, "undefined"),
];

/// The hints that may be stepped; all others are refused (`aarch64_insn_is_steppable_hint`).
const STEPPABLE_HINTS: &[Pattern] = &[
    Pattern::new(0xffff_ffff, 0xd503_201f, "nop"),
    Pattern::new(0xffff_ff3f, 0xd503_241f, "bti"),
    Pattern::new(0xffff_ffff, 0xd503_233f, "paciasp"),
    Pattern::new(0xffff_ffff, 0xd503_237f, "pacibsp"),
    Pattern::new(0xffff_ffff, 0xd503_231f, "paciaz"),
    Pattern::new(0xffff_ffff, 0xd503_235f, "pacibz"),
    Pattern::new(0xffff_ffff, 0xd503_211f, "pacia1716"),
    Pattern::new(0xffff_ffff, 0xd503_215f, "pacib1716"),
    Pattern::new(0xffff_ffff, 0xd503_20ff, "xpaclri"),
];

const HINT: Pattern = Pattern::new(0xffff_f01f, 0xd503_201f, "hint");

/// Whether the kernel simulates `word`.
pub(super) fn simulates(word: u32) -> bool {
    SIMULATED.iter().any(|pattern| pattern.matches(word))
}

/// Whether the kernel takes a uprobe on `word` at all.
pub(super) fn accepts(word: u32) -> bool {
    if HINT.matches(word) {
        return STEPPABLE_HINTS.iter().any(|hint| hint.matches(word));
    }
    !REFUSED.iter().any(|pattern| pattern.matches(word))
}

/// The instruction for people: its name where a table has it, and its bits.
pub(super) fn describe(word: u32) -> String {
    match SIMULATED.iter().chain(STEPPABLE_HINTS).chain(REFUSED).find(|pattern| pattern.matches(word)) {
        Some(pattern) => format!("{} ({word:#010x})", pattern.name),
        None => format!(".inst {word:#010x}"),
    }
}
