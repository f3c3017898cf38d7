//! Sampling by bytes; what it is, and its arithmetic, is in `memtrace_common::sampling`.
//!
//! With it, most blocks are in no table. So that their frees cost next to nothing, `SAMPLED` counts the blocks that are in
//! the table by a hash of their address: where it has none, there is nothing to look for.

use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use memtrace_common::{
    live::ADDRESS_BITS,
    sampling::{self, PLACE_BITS, Weight},
    steps,
};

use crate::{
    atomic,
    maps::{CURSORS, SAMPLE_BYTES, SAMPLED, SAMPLING_STEP, VARIANCE_SHIFT, WITH_STEPS},
    stack::opaque,
    thread::Thread,
};

/// Whether blocks are sampled, or may come to be. Constant in the loaded program.
#[inline(always)]
pub fn is_on() -> bool {
    SAMPLE_BYTES.load() != 0
}

/// How blocks are chosen at this moment: see `memtrace_common::steps`. Asked once in a call, so that a block stands for
/// what it was chosen by.
#[inline(always)]
pub fn step() -> u64 {
    if !is_on() {
        return steps::ALL;
    }
    if WITH_STEPS.load() == 0 {
        return 1;
    }
    // SAFETY: a map value, written by user space alone; volatile for that.
    CURSORS.get_ptr(SAMPLING_STEP).map_or(1, |word| unsafe { core::ptr::read_volatile(word) })
}

/// Whether a block of so many bytes that the running thread asks for is chosen.
#[inline(always)]
pub fn falls_on(thread: &mut Thread, size: u64, step: u64) -> bool {
    if step == steps::ALL {
        return true;
    }
    let size = if size == 0 { 1 } else { size };
    if thread.to_next_point == 0 || thread.point_step != step {
        thread.to_next_point = next_distance(step);
        thread.point_step = step;
    }
    if thread.to_next_point > size {
        thread.to_next_point -= size;
        return false;
    }
    // From the end of the block on: the process has no memory.
    thread.to_next_point = next_distance(step);
    true
}

#[inline(never)]
fn next_distance(step: u64) -> u64 {
    // SAFETY: the helper takes nothing and returns a number.
    let random = unsafe { bpf_get_prandom_u32() } as u32;
    sampling::distance(random, steps::mean(base(), step))
}

/// Not 0, which the verifier wants to see.
#[inline(always)]
fn base() -> u64 {
    let base = SAMPLE_BYTES.load();
    if base == 0 { 1 } else { base }
}

/// Size and step of a block that was chosen, as the table keeps them.
#[inline(always)]
pub fn packed(size: u64, step: u64) -> u64 {
    if WITH_STEPS.load() == 0 { size } else { steps::pack(size, step) }
}

/// What a block in the table stands for, by its word there.
#[inline(always)]
pub fn weight(word: u64) -> Weight {
    if !is_on() {
        return Weight { blocks: 1, bytes: word, variance: 0 };
    }
    let mut weight = Weight::default();
    weigh(word, &mut weight);
    weight
}

#[inline(never)]
fn weigh(word: u64, weight: &mut Weight) -> u32 {
    let word = opaque(word);
    let (size, step) = if WITH_STEPS.load() == 0 { (word, 1) } else { (steps::size(word), steps::step(word)) };
    *weight = steps::weight(size, base(), step, VARIANCE_SHIFT.load());
    0
}

/// A place: its word, and its lowest bit there.
#[inline(always)]
fn place(key: u64) -> Option<(*mut u64, u32)> {
    let (word, bit) = sampling::place(key & ((1 << ADDRESS_BITS) - 1));
    Some((SAMPLED.get_ptr_mut(word)?, bit))
}

/// A block is about to be entered into the table.
#[inline(always)]
pub fn note(key: u64) {
    if is_on()
        && let Some((word, bit)) = place(key)
    {
        atomic::add(word, 1 << bit);
    }
}

/// A block has been taken out of the table, or not been entered.
#[inline(always)]
pub fn unnote(key: u64) {
    if is_on()
        && let Some((word, bit)) = place(key)
    {
        atomic::add(word, (1_u64 << bit).wrapping_neg());
    }
}

/// Whether a block may be in the table.
#[inline(always)]
pub fn may_hold(address: u64) -> bool {
    const PLACE: u64 = (1 << PLACE_BITS) - 1;
    // SAFETY: a map value; volatile, as other CPUs write it.
    !is_on() || place(address).is_some_and(|(word, bit)| unsafe { core::ptr::read_volatile(word) } >> bit & PLACE != 0)
}
