//! What an instruction of aarch64 does to the flow of control.

use super::exits::{Exit, ExitsError};
use super::{Called, CodeWalk, Step};
use crate::tracer::probe_point::aarch64::branch_distance;

/// `br` and its authenticating forms, `blr` and its, `ret` and its, `b` and `bl`, as (mask, value).
const JUMPS: [(u32, u32); 2] = [(0xffff_fc1f, 0xd61f_0000), (0xfeff_f800, 0xd61f_0800)];
const CALLS: [(u32, u32); 2] = [(0xffff_fc1f, 0xd63f_0000), (0xfeff_f800, 0xd63f_0800)];
const RETURNS: [(u32, u32); 2] = [(0xffff_fc1f, 0xd65f_0000), (0xffff_fbff, 0xd65f_0bff)];
const BRANCH: (u32, u32) = (0xfc00_0000, 0x1400_0000);
const BRANCH_WITH_LINK: (u32, u32) = (0xfc00_0000, 0x9400_0000);
/// `brk`, `hlt`, and what is undefined for good: control does not come past them.
const ENDS: [(u32, u32); 3] = [(0xffe0_001f, 0xd420_0000), (0xffe0_001f, 0xd440_0000), (0xffff_0000, 0)];
/// `bti`.
const MARK: (u32, u32) = (0xffff_ff3f, 0xd503_241f);

pub(super) fn step(walk: &mut CodeWalk<'_>, at: u64) -> Result<Step, ExitsError> {
    let words = walk.bytes(at)?.as_chunks::<4>().0;
    let words: Vec<u32> = words.iter().take(4).map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let word = *words.first().ok_or(ExitsError::Undecodable(at))?;
    let is = |(mask, value): (u32, u32)| word & mask == value;
    let target = branch_distance(word).map(|distance| at.wrapping_add_signed(distance));
    let next = Some(at.wrapping_add(4));
    Ok(if let Some(slot) = slot(&words, at) {
        walk.jump_through(slot, at)
    } else if RETURNS.into_iter().any(is) {
        Step { exit: Some(Exit { at, result_in_argument: false }), ..Step::default() }
    } else if is(BRANCH) {
        Step { branch: target, ..Step::default() }
    } else if is(BRANCH_WITH_LINK) {
        Step { next, call: target.map(Called::At), ..Step::default() }
    } else if CALLS.into_iter().any(is) {
        Step { next, call: Some(Called::Computed), ..Step::default() }
    } else if JUMPS.into_iter().chain(ENDS).any(is) {
        Step::default()
    } else {
        Step { next, branch: target, is_mark: is(MARK), ..Step::default() }
    })
}

/// The place of the address that an entry of the linkage table goes to: `adrp x16, page; ldr x17, [x16, offset];
/// add x16, x16, offset; br x17`, for which x16 and x17 are reserved.
fn slot(words: &[u32], at: u64) -> Option<u64> {
    let [adrp, ldr, .., last] = *words else { return None };
    let is_entry = adrp & 0x9f00_001f == 0x9000_0010 && ldr & 0xffc0_03ff == 0xf940_0211 && last == 0xd61f_0220;
    if !is_entry {
        return None;
    }
    let pages = (adrp >> 29 & 3 | (adrp >> 5 & 0x7_ffff) << 2) << 11;
    let distance = i64::from(pages.cast_signed() >> 11) << 12;
    let page = (at & !0xfff).wrapping_add_signed(distance);
    Some(page.wrapping_add(u64::from(ldr >> 10 & 0xfff) * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of the linkage table leads through its slot, also to pages before it.
    #[test]
    fn slots_are_found() {
        // adrp x16, 3 pages on; ldr x17, [x16, 0xf98]; add x16, x16, 0xf98; br x17
        let entry = [0xf000_0010, 0xf947_ce11, 0x913e_6210, 0xd61f_0220];
        assert_eq!(slot(&entry, 0x1_2340), Some(0x1_5f98));
        // adrp x16, 1 page back
        assert_eq!(slot(&[0xf0ff_fff0, entry[1], entry[2], entry[3]], 0x1_2340), Some(0x1_1f98));
        // br x16
        assert_eq!(slot(&[entry[0], entry[1], entry[2], 0xd61f_0200], 0x1_2340), None);
    }
}
