//! The walk through a function of aarch64.
//!
//! A return probe replaces the return address in x30 (`arch_uretprobe_hijack_return_addr`), so its place must be
//! before x30 is saved, and before `paciasp` signs it: signed after the change, the new address is checked with
//! success; changed after the signing, it fails the check and the process dies. A function that begins with
//! `paciasp` or `stp x29, x30, [sp, ..]!` is therefore probed at that instruction, which is single-stepped.

mod kernel;

use super::{Code, Place, Price, ProbePoint, ProbePointError, Purpose, Reason};

/// Frame pointer, return address, stack pointer (or the zero register: not worth telling apart).
const KEPT: [u32; 3] = [29, 30, 31];

/// What an instruction writes.
enum Writes {
    /// Nothing but flags.
    Nothing,
    /// The register that its lowest five bits name.
    Register,
}

/// Instructions that only compute or load, as (mask, value): no store, no write-back, no branch.
const HARMLESS: &[(u32, u32, Writes)] = &[
    // nop
    (0xffff_ffff, 0xd503_201f, Writes::Nothing),
    // bti
    (0xffff_ff3f, 0xd503_241f, Writes::Nothing),
    // cmp, cmn with a constant; with a shifted register; with an extended one
    (0x3f80_001f, 0x3100_001f, Writes::Nothing),
    (0x3f20_001f, 0x2b00_001f, Writes::Nothing),
    (0x3fe0_001f, 0x2b20_001f, Writes::Nothing),
    // data processing with a constant
    (0x1c00_0000, 0x1000_0000, Writes::Register),
    // data processing with registers
    (0x0e00_0000, 0x0a00_0000, Writes::Register),
    // ldrb, ldrh, ldr with a constant offset and no write-back
    (0xffc0_0000, 0x3940_0000, Writes::Register),
    (0xffc0_0000, 0x7940_0000, Writes::Register),
    (0xffc0_0000, 0xb940_0000, Writes::Register),
    (0xffc0_0000, 0xf940_0000, Writes::Register),
    // mrs, which reads the thread pointer
    (0xfff0_0000, 0xd530_0000, Writes::Register),
];

pub(super) fn choose(code: Code<'_>, purpose: &Purpose) -> Result<ProbePoint, ProbePointError> {
    let words: Vec<u32> = code.bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    if words.is_empty() {
        return Err(ProbePointError::NotCode(code.bytes.to_vec()));
    }
    let at_entry = |reason| Place { offset: 0, reason };
    let place = match (code.whole, code.bytes.len().is_multiple_of(4)) {
        (false, _) => at_entry(Reason::CodeUnknown),
        (true, false) => at_entry(Reason::CodeUndecodable),
        (true, true) => walk(&words, purpose).unwrap_or(at_entry(Reason::NothingEmulated)),
    };
    let word = words[place.offset / 4];
    let instruction = kernel::describe(word);
    if !kernel::accepts(word) {
        return Err(ProbePointError::Refused(instruction));
    }
    let price = if kernel::simulates(word) { Price::Emulated } else { Price::Stepped };
    Ok(ProbePoint { offset_in_function: place.offset as u64, instruction, price, reason: place.reason })
}

/// The first place that qualifies. Offsets in bytes.
fn walk(words: &[u32], purpose: &Purpose) -> Option<Place> {
    let targets = words.iter().enumerate().filter_map(|(index, word)| target(index * 4, *word));
    let limit = targets.filter(|target| *target > 0).min().unwrap_or(usize::MAX);
    let mut null_check = None;
    for (index, word) in words.iter().enumerate().take_while(|(index, _)| index * 4 < limit) {
        if kernel::simulates(*word) {
            let reason = if null_check.is_some() { Reason::AfterNullCheck } else { Reason::FirstEmulated };
            let here = Place { offset: index * 4, reason };
            if null_check.is_some() || !is_null_check(*word, purpose) {
                return Some(here);
            }
            null_check = Some(Place { reason: Reason::NullCheck, ..here });
        } else if !leaves_alone(*word, purpose) {
            break;
        }
    }
    null_check
}

/// `cbz xN`, where xN is the block given back.
fn is_null_check(word: u32, purpose: &Purpose) -> bool {
    let register = usize::try_from(word & 0x1f).ok();
    word & 0xff00_0000 == 0xb400_0000 && purpose.skip_null.is_some() && purpose.skip_null == register
}

/// Neither memory nor a register that must be as at entry is written, and the next instruction follows.
fn leaves_alone(word: u32, purpose: &Purpose) -> bool {
    HARMLESS.iter().find(|(mask, value, _)| word & mask == *value).is_some_and(|(_, _, writes)| match writes {
        Writes::Nothing => true,
        Writes::Register => {
            let register = word & 0x1f;
            // Arguments are passed in x0, x1, ..: their index is their register.
            let is_argument = usize::try_from(register).is_ok_and(|register| purpose.arguments.contains(&register));
            !is_argument && !KEPT.contains(&register)
        }
    })
}

/// Where a direct branch at `offset` leads, in bytes from the entry, if not before it.
fn target(offset: usize, word: u32) -> Option<usize> {
    offset.checked_add_signed(isize::try_from(branch_distance(word)?).ok()?)
}

/// How many bytes behind itself a direct branch leads.
pub(in crate::tracer) fn branch_distance(word: u32) -> Option<i64> {
    let (bits, shift) = if word & 0x7c00_0000 == 0x1400_0000 {
        (26, 0) // b, bl
    } else if word & 0xff00_0000 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        (19, 5) // b.cond, bc.cond, cbz, cbnz
    } else if word & 0x7e00_0000 == 0x3600_0000 {
        (14, 5) // tbz, tbnz
    } else {
        return None;
    };
    // Up to the top and down again, to carry the sign.
    let words = (word << (32 - bits - shift)).cast_signed() >> (32 - bits);
    Some(i64::from(words) * 4)
}
