//! Sampling whose mean distance changes while processes run: what the budget of `--max-overhead` moves.
//!
//! A step is a number: at step 0 every block is recorded, at step n one byte in `base · 2^(n−1)` is a point. A block is
//! chosen by the step of the moment, and stands for what it stands for at that step until it is freed: so its step is kept
//! with it, and sums over blocks of different steps are unbiased. The distance to a thread's next point has no memory,
//! so it is drawn anew when the step has changed.

use crate::sampling::{self, BLOCK_BITS, GREATEST_MEAN, Weight};

/// Every block is recorded.
pub const ALL: u64 = 0;

/// The base where recording begins with all blocks: finer sampling would cost hardly less than that.
pub const LEAST_BASE: u64 = 8 << 10;

/// Bits of a block's size in [`pack`]; the step lies above. No address space is larger.
const SIZE_BITS: u32 = 56;

/// Steps that a packed word can hold, less one.
const STEP_MASK: u64 = 0x1f;

/// Bits by which variances are coarser than where the mean is fixed: so that sums at the greatest mean fit, too.
const COARSER_BITS: u32 = 8;

/// The mean distance of points in bytes at a step from 1 on.
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "called by BPF programs")]
pub const fn mean(base: u64, step: u64) -> u64 {
    base << (step.saturating_sub(1) & STEP_MASK)
}

/// The greatest step, for a base from [`sampling::LEAST_MEAN`] to [`GREATEST_MEAN`].
#[must_use]
pub const fn last(base: u64) -> u64 {
    1 + (GREATEST_MEAN / base).ilog2() as u64
}

/// log2 of the square bytes of a unit in which variances are counted, at all steps.
#[must_use]
pub const fn variance_shift(base: u64) -> u32 {
    sampling::variance_shift(base) + COARSER_BITS
}

/// What a block of `size` bytes stands for that was chosen at a step.
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "BPF's calling convention returns no pair")]
pub const fn weight(size: u64, base: u64, step: u64, variance_shift: u32) -> Weight {
    if step == ALL {
        return Weight { blocks: 1 << BLOCK_BITS, bytes: size, variance: 0 };
    }
    sampling::weight(size, mean(base, step), variance_shift)
}

/// A block's size and the step at which it was chosen, in one word. (Where the mean is fixed, the step is 0.)
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "called by BPF programs")]
pub const fn pack(size: u64, step: u64) -> u64 {
    size & ((1 << SIZE_BITS) - 1) | step << SIZE_BITS
}

/// The size in a packed word, in bytes.
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "called by BPF programs")]
pub const fn size(word: u64) -> u64 {
    word & ((1 << SIZE_BITS) - 1)
}

/// The step in a packed word.
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "called by BPF programs")]
pub const fn step(word: u64) -> u64 {
    word >> SIZE_BITS & STEP_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::LEAST_MEAN;

    /// Steps double the mean up to the greatest that sampling knows, whatever the base is.
    #[test]
    fn steps_end_at_the_greatest_mean() {
        for base in [LEAST_MEAN, LEAST_BASE, 1_000_003, GREATEST_MEAN] {
            let last = last(base);
            assert!(last <= STEP_MASK && mean(base, 1) == base, "{base}");
            assert!(mean(base, last) <= GREATEST_MEAN && mean(base, last) > GREATEST_MEAN / 2, "{base}");
        }
    }

    /// A size and its step come out of the word as they went in.
    #[test]
    fn sizes_and_steps_share_a_word() {
        for (bytes, at) in [(0, 0), (100, 1), ((1 << 48) - 1, STEP_MASK)] {
            assert_eq!((size(pack(bytes, at)), step(pack(bytes, at))), (bytes, at));
        }
    }

    /// A block that was recorded when all were stands for itself, and is certain.
    #[test]
    fn blocks_of_step_0_are_exact() {
        let exact = weight(100, LEAST_BASE, ALL, variance_shift(LEAST_BASE));
        assert_eq!(exact, Weight { blocks: 1 << BLOCK_BITS, bytes: 100, variance: 0 });
        let sampled = weight(100, LEAST_BASE, 3, variance_shift(LEAST_BASE));
        assert_eq!(sampled.bytes, sampling::weight(100, 4 * LEAST_BASE, 0).bytes);
    }
}
