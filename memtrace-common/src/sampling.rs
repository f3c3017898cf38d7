//! Sampling by bytes: which blocks are looked at, and what one stands for.
//!
//! Points lie on the bytes that a thread asks for, one in `mean` bytes on average and independent of each other (a Poisson
//! process). A block is looked at when a point falls on it, which has the probability p = 1 − e^(−size / mean); it then
//! stands for 1/p blocks and size/p bytes. The sums are unbiased, whatever the sizes are, and those of different stacks,
//! threads and times add up (Horvitz and Thompson's estimator). Large blocks stand for little more than themselves.
//!
//! What a block stands for follows from its size alone, so its free takes away exactly what its allocation has added.
//! All is integer arithmetic without 128-bit products, as BPF has no other.

#![expect(clippy::inline_always, reason = "BPF's calling convention returns no pair")]

/// Bits of the fraction in a number of blocks.
pub const BLOCK_BITS: u32 = 16;

/// Least and greatest mean distance of points, in bytes: within them, no product overflows.
pub const LEAST_MEAN: u64 = 1 << 10;
/// See [`LEAST_MEAN`].
pub const GREATEST_MEAN: u64 = 1 << 28;

/// Places in which blocks in the table are counted, by a hash of their address; a power of two. With a block in one of ten,
/// nine of ten frees of other blocks need no search: some 13,000 blocks, which stand for 7 GB at a mean of 512 KiB.
pub const SAMPLED_PLACES: u32 = 1 << 17;

/// Places in a word: as many as leave each a count that cannot run over, and few enough cache lines for a processor to keep.
pub const PLACES_A_WORD: u32 = 4;

/// Bits of a place in its word.
pub const PLACE_BITS: u32 = u64::BITS / PLACES_A_WORD;

/// The place of a block: the number of its word, and its lowest bit there. Blocks of all processes share the places.
#[must_use]
#[inline(always)]
pub const fn place(address: u64) -> (u32, u32) {
    let hash = (address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let number = hash as u32 & (SAMPLED_PLACES - 1);
    (number / PLACES_A_WORD, number % PLACES_A_WORD * PLACE_BITS)
}

/// Sizes of this many means and more are looked at always: 1 − p is 10^−14.
const CERTAIN: u64 = 32;

/// log2(e), with 30 bits of fraction.
const LOG2_E: u64 = 1_549_082_005;
/// ln(2), with 30 bits of fraction.
const LN_2: u64 = 744_261_118;
/// One, with 30 bits of fraction.
const ONE: u64 = 1 << 30;

/// What a block stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weight {
    /// Blocks, with [`BLOCK_BITS`] bits of fraction.
    pub blocks: u64,
    /// Bytes.
    pub bytes: u64,
    /// What it adds to the variance of the sum of bytes, in units of 2^[`variance_shift`] square bytes.
    pub variance: u64,
}

/// log2 of the square bytes of a unit in which variances are counted: at least 20 bits are kept of a small block's.
#[must_use]
pub const fn variance_shift(mean: u64) -> u32 {
    let bits = 2 * mean.ilog2();
    bits.saturating_sub(20)
}

/// What a block of `size` bytes stands for, of those looked at; variances are in units of 2^`variance_shift`.
#[must_use]
#[inline(always)]
pub const fn weight(size: u64, mean: u64, variance_shift: u32) -> Weight {
    if size / CERTAIN >= mean {
        return Weight { blocks: 1 << BLOCK_BITS, bytes: size, variance: 0 };
    }
    let (blocks, bytes) = if size < mean / 4 { of_small(size, mean) } else { of_medium(size, mean) };
    // (size/p)² (1 − p) = W (W − size).
    let variance = (bytes * bytes.saturating_sub(size)) >> variance_shift;
    Weight { blocks, bytes: if size == 0 { 0 } else { bytes }, variance: if size == 0 { 0 } else { variance } }
}

/// 1/p = 1/x + 1/2 + x/12 − …, for x = size/mean below 1/4. A block of no bytes is looked at as if it had one.
#[inline(always)]
const fn of_small(size: u64, mean: u64) -> (u64, u64) {
    let asked = if size == 0 { 1 } else { size };
    let rest = over(asked << BLOCK_BITS, 12 * mean);
    let blocks = over(mean << BLOCK_BITS, asked) + (1 << (BLOCK_BITS - 1)) + rest;
    (blocks, mean + u64::midpoint(size, over(size * size, 6 * mean)))
}

/// For x from 1/4 to [`CERTAIN`].
#[inline(always)]
const fn of_medium(size: u64, mean: u64) -> (u64, u64) {
    let halvings = (over(size << 24, mean) * LOG2_E) >> 30;
    let power = fraction_of_two((halvings & 0xff_ffff) << 6) >> (halvings >> 24);
    let blocks = over(ONE << BLOCK_BITS, ONE - power);
    (blocks, (size * blocks + (1 << (BLOCK_BITS - 1))) >> BLOCK_BITS)
}

/// A division that has no panic in it, which the verifier would refuse: no divisor here is ever 0, but the compiler does not
/// know.
#[inline(always)]
const fn over(dividend: u64, divisor: u64) -> u64 {
    match dividend.checked_div(divisor) {
        Some(quotient) => quotient,
        None => 0,
    }
}

/// 2^(−f) for f below one, both with 30 bits of fraction: the series of e^(−f ln 2).
#[inline(always)]
const fn fraction_of_two(f: u64) -> u64 {
    let y = (f * LN_2) >> 30;
    let mut sum = ONE;
    let mut term = 8;
    while term > 0 {
        sum = ONE - over((y * sum) >> 30, term);
        term -= 1;
    }
    sum
}

/// Bytes up to the next point, at least 1: `random` is any 32 bits, evenly distributed.
#[must_use]
#[inline(always)]
pub const fn distance(random: u32, mean: u64) -> u64 {
    // u in (0, 1), with 33 bits of fraction; −ln u = (zeros − 30) · ln 2 − ln m, for m in [1, 2).
    let u = (random as u64) << 1 | 1;
    let zeros = u.leading_zeros();
    let m = (u << zeros) >> 33;
    let logarithm = ((zeros as u64 - 30) * LN_2).saturating_sub(natural_logarithm(m));
    // Rounded up: a block of s bytes has the point if it is at most s bytes away.
    (((logarithm >> 4) * mean) >> 26) + 1
}

/// ln m for m in [1, 2), both with 30 bits of fraction: 2 artanh((m − 1) / (m + 1)).
#[inline(always)]
const fn natural_logarithm(m: u64) -> u64 {
    let z = over((m - ONE) << 30, m + ONE);
    let square = (z * z) >> 30;
    let mut sum = 0;
    let mut odd = 15;
    while odd > 1 {
        odd -= 2;
        sum = ((sum * square) >> 30) + over(ONE, odd);
    }
    2 * ((z * sum) >> 30)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "compared with floating-point arithmetic"
    )]

    extern crate std;

    use std::vec::Vec;

    use super::*;

    const MEANS: [u64; 5] = [LEAST_MEAN, 64 << 10, 512 << 10, 1_000_003, GREATEST_MEAN];

    fn exact(size: u64, mean: u64) -> f64 {
        -(-(size as f64) / mean as f64).exp_m1()
    }

    /// Blocks and bytes that a block stands for are its share of the inverse probability, to a ten-thousandth.
    #[test]
    fn weights_are_inverse_probabilities() {
        for mean in MEANS {
            let steps = (0..600).map(|step| (1.05_f64.powi(step)) as u64).filter(|size| size / 40 < mean);
            for size in steps {
                let p = exact(size, mean);
                let weight = weight(size, mean, variance_shift(mean));
                let near = |value: f64, wanted: f64| (value / wanted - 1.0).abs() < 1e-4;
                assert!(near(weight.blocks as f64 / 65536.0, 1.0 / p), "{size} of {mean}: {weight:?}, {}", 1.0 / p);
                // Half a byte is a ten-thousandth of what the smallest mean's blocks stand for.
                let bytes = size as f64 / p;
                assert!(
                    near(weight.bytes as f64, bytes) || (weight.bytes as f64 - bytes).abs() < 1.0,
                    "{size} of {mean}: {weight:?}, {bytes}"
                );
            }
        }
    }

    /// A block of no bytes stands for blocks, and for no bytes.
    #[test]
    fn empty_blocks_are_blocks() {
        let weight = weight(0, 1 << 19, 0);
        assert_eq!((weight.bytes, weight.variance, weight.blocks >> BLOCK_BITS), (0, 0, 1 << 19));
    }

    /// Distances are distributed exponentially: their mean, and their quantiles.
    #[test]
    fn distances_are_exponential() {
        for mean in MEANS {
            let count = 100_000_u64;
            let distances = (0..count).map(|n| distance(((n << 32) / count) as u32 + 20_000, mean));
            let mut sorted: Vec<u64> = distances.collect();
            sorted.sort_unstable();
            let sum: f64 = sorted.iter().map(|distance| *distance as f64).sum();
            assert!((sum / count as f64 / mean as f64 - 1.0).abs() < 2e-3, "{mean}: {}", sum / count as f64);
            for share in [0.001, 0.01, 0.1, 0.5, 0.9, 0.99] {
                let found = sorted[(share * count as f64) as usize] as f64;
                let wanted = -f64::ln_1p(-share) * mean as f64;
                assert!((found - wanted).abs() < 2.0 + wanted * 6e-3, "{mean}, {share}: {found}, not {wanted}");
            }
        }
    }

    /// The ends of the range are distances, too.
    #[test]
    fn extremes_are_distances() {
        assert_eq!(distance(u32::MAX, 1 << 19), 1);
        let longest = distance(0, GREATEST_MEAN) as f64;
        assert!((longest / GREATEST_MEAN as f64 - 33.0 * std::f64::consts::LN_2).abs() < 1e-4, "{longest}");
    }
}
