//! How far an estimate may be from the truth.

use super::{AllocStats, SortBy};

/// Standard deviations that 95 of 100 cases lie within.
const DEVIATIONS: f64 = 1.959_964;

/// Bytes between which the truth lies in 95 of 100 cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// Least.
    pub low: u64,
    /// Most.
    pub high: u64,
}

impl Interval {
    /// Least and most.
    #[must_use]
    pub const fn ends(self) -> (u64, u64) {
        (self.low, self.high)
    }
}

impl AllocStats {
    /// The interval of live bytes; `None` where they are exact.
    #[must_use]
    pub fn live_interval(&self) -> Option<Interval> {
        self.estimated(self.live_bytes(), self.allocated_variance.saturating_sub(self.freed_variance))
    }

    /// The interval of allocated bytes; `None` where they are exact.
    #[must_use]
    pub fn allocated_interval(&self) -> Option<Interval> {
        self.estimated(self.allocated_bytes, self.allocated_variance)
    }

    /// The interval of a number of bytes; `None` where it is exact, and for blocks.
    #[must_use]
    pub fn interval(&self, of: SortBy) -> Option<Interval> {
        match of {
            SortBy::LiveBytes => self.live_interval(),
            SortBy::AllocatedBytes => self.allocated_interval(),
            SortBy::FreedBytes => self.estimated(self.freed_bytes, self.freed_variance),
            SortBy::LiveBlocks | SortBy::AllocatedBlocks => None,
        }
    }

    /// The interval of a change in bytes, from least to most; `None` where it is exact, and for blocks. Both sides count as
    /// independent of each other: that of two readings of one run is narrower.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate's error needs few digits")]
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^127")]
    pub fn change_interval(before: &Self, after: &Self, of: SortBy) -> Option<(i128, i128)> {
        let variance = before.variance(of)?.saturating_add(after.variance(of)?);
        if before.allocated_variance == 0 && after.allocated_variance == 0 {
            return None;
        }
        let change = i128::from(of.value(after)) - i128::from(of.value(before));
        let reach = (DEVIATIONS * (variance as f64).sqrt()).round() as i128;
        Some((change - reach, change + reach))
    }

    /// The variance of a number of bytes; `None` for blocks.
    const fn variance(&self, of: SortBy) -> Option<u128> {
        match of {
            SortBy::LiveBytes => Some(self.allocated_variance.saturating_sub(self.freed_variance)),
            SortBy::AllocatedBytes => Some(self.allocated_variance),
            SortBy::FreedBytes => Some(self.freed_variance),
            SortBy::LiveBlocks | SortBy::AllocatedBlocks => None,
        }
    }

    fn estimated(&self, bytes: u64, variance: u128) -> Option<Interval> {
        (self.allocated_variance > 0).then(|| interval(bytes, variance))
    }
}

/// The score interval of a sum of sampled blocks: all true values from which the sum is no more than 1.96 of *their*
/// standard deviations away. It holds for few samples, too, where the sum's own deviation misleads.
///
/// With V the variance that the samples tell and Y their sum, one point stands for V / Y bytes.
#[expect(clippy::cast_precision_loss, reason = "an estimate's error needs few digits")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not below 0, and `as` stays within bounds"
)]
fn interval(bytes: u64, variance: u128) -> Interval {
    if bytes == 0 {
        return Interval { low: 0, high: 0 };
    }
    let (sum, variance) = (bytes as f64, variance as f64);
    let half = DEVIATIONS * DEVIATIONS * variance / sum / 2.0;
    let reach = DEVIATIONS.mul_add(DEVIATIONS * variance, half * half).sqrt();
    Interval { low: (sum + half - reach).max(0.0).round() as u64, high: (sum + half + reach).round() as u64 }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small numbers of a test")]

    use memtrace_common::{
        sampling::{BLOCK_BITS, distance, variance_shift, weight},
        steps,
    };

    use super::*;

    const MEAN: u64 = 512 << 10;

    /// One site of a workload: how many blocks, and the sizes that they have in turn.
    const SITES: [(u64, &[u64]); 6] = [
        (400_000, &[16, 24, 200]),
        (30_000, &[1_000, 5_000, 20_000]),
        (1_500, &[60_000, 100_000]),
        (400, &[300_000, 700_000]),
        (100, &[2_000_000, 9_000_000]),
        (120_000, &[40, 40, 4_096]),
    ];

    /// A sequence of numbers that pass for random (`SplitMix64`).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u32 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed >> 32) as u32
        }
    }

    /// What sampling finds of a site, by the arithmetic of the BPF programs, and the bytes that there are.
    fn sampled(random: &mut Random, (blocks, sizes): (u64, &[u64])) -> (AllocStats, u64) {
        let (mut stats, mut truth) = (AllocStats::default(), 0);
        let mut left = distance(random.next(), MEAN);
        for size in sizes.iter().cycle().take(blocks as usize) {
            truth += size;
            if left > *size {
                left -= size;
                continue;
            }
            left = distance(random.next(), MEAN);
            let weight = weight(*size, MEAN, variance_shift(MEAN));
            stats.allocated_bytes += weight.bytes;
            stats.allocated_blocks += weight.blocks;
            stats.allocated_variance += u128::from(weight.variance) << variance_shift(MEAN);
        }
        (stats, truth)
    }

    /// Over 200 runs, the mean of the estimates is within 0.5 % of the truth, in bytes and in blocks, and the intervals hold
    /// the truth in 93 to 97 of 100 sites × runs.
    #[test]
    fn estimates_are_unbiased_and_intervals_hold() {
        const RUNS: u32 = 200;
        let mut random = Random(7);
        let (mut bytes, mut blocks, mut truth_bytes, mut held) = (0.0, 0.0, 0.0, 0);
        for _ in 0..RUNS {
            for site in SITES {
                let (stats, truth) = sampled(&mut random, site);
                bytes += stats.allocated_bytes as f64;
                // Each site weighs the same: small blocks would drown the others.
                blocks += stats.allocated_blocks as f64 / 65536.0 / site.0 as f64;
                truth_bytes += truth as f64;
                let interval = stats.allocated_interval().unwrap_or(Interval { low: 0, high: 0 });
                held += u32::from((interval.low..=interval.high).contains(&truth));
            }
        }
        let cases = RUNS * SITES.len() as u32;
        let share = f64::from(held) / f64::from(cases);
        println!("bytes {}, blocks {}, held {share}", bytes / truth_bytes, blocks / f64::from(cases));
        assert!((bytes / truth_bytes - 1.0).abs() < 5e-3, "bytes: {}", bytes / truth_bytes);
        assert!((blocks / f64::from(cases) - 1.0).abs() < 1e-2, "blocks: {}", blocks / f64::from(cases));
        assert!((0.93..=0.97).contains(&share), "{share} of the intervals hold the truth");
    }

    /// Steps that a budget may take, each for a part of the blocks: all of them, then samples of changing means.
    const STEPS: [u64; 5] = [steps::ALL, 4, 9, 6, 7];

    /// The same where the step changes on the way, and every third block is freed at a later step than it was chosen at.
    fn sampled_by_steps(random: &mut Random, (blocks, sizes): (u64, &[u64])) -> (AllocStats, u64, u64) {
        const BASE: u64 = steps::LEAST_BASE;
        let shift = steps::variance_shift(BASE);
        let (mut stats, mut truth, mut live) = (AllocStats::default(), 0, 0);
        let mut left = (0, 0);
        for (number, size) in (0..blocks).zip(sizes.iter().cycle()) {
            let step = STEPS[(number * STEPS.len() as u64 / blocks) as usize];
            let is_freed = number % 3 == 0;
            truth += size;
            live += if is_freed { 0 } else { *size };
            if step != steps::ALL {
                let draw = |random: &mut Random| (distance(random.next(), steps::mean(BASE, step)), step);
                if left.1 != step {
                    left = draw(random);
                }
                if left.0 > *size {
                    left.0 -= size;
                    continue;
                }
                left = draw(random);
            }
            // What the table keeps is all that a free knows.
            let kept = steps::pack(*size, step);
            let weight = steps::weight(steps::size(kept), BASE, steps::step(kept), shift);
            let variance = u128::from(weight.variance) << shift;
            stats.allocated_bytes += weight.bytes;
            stats.allocated_blocks += weight.blocks;
            stats.allocated_variance += variance;
            if is_freed {
                stats.freed_bytes += weight.bytes;
                stats.freed_variance += variance;
            }
        }
        stats.allocated_blocks >>= BLOCK_BITS;
        (stats, truth, live)
    }

    /// A change of the mean while a program runs leaves estimates unbiased and intervals true, of what was allocated and of
    /// what is left of it.
    #[test]
    fn steps_leave_estimates_unbiased() {
        const RUNS: u32 = 200;
        let mut random = Random(11);
        let (mut allocated, mut live, mut held) = (0.0, 0.0, 0);
        for site in (0..RUNS).flat_map(|_| SITES) {
            let (stats, truth, left) = sampled_by_steps(&mut random, site);
            allocated += stats.allocated_bytes as f64 / truth as f64;
            live += stats.live_bytes() as f64 / left as f64;
            for (interval, truth) in [(stats.allocated_interval(), truth), (stats.live_interval(), left)] {
                let interval = interval.expect("an estimate has an interval");
                held += u32::from((interval.low..=interval.high).contains(&truth));
            }
        }
        let cases = RUNS * SITES.len() as u32;
        let share = f64::from(held) / f64::from(2 * cases);
        println!("allocated {}, live {}, held {share}", allocated / f64::from(cases), live / f64::from(cases));
        assert!((allocated / f64::from(cases) - 1.0).abs() < 5e-3 && (live / f64::from(cases) - 1.0).abs() < 5e-3);
        assert!((0.93..=0.97).contains(&share), "{share} of the intervals hold the truth");
    }

    /// A change of estimates has an interval around it, as wide as both sides make it; one of exact numbers has none.
    #[test]
    fn changes_have_intervals() {
        let exact = AllocStats { allocated_bytes: 5000, allocated_blocks: 1, ..AllocStats::default() };
        assert_eq!(AllocStats::change_interval(&exact, &exact, SortBy::LiveBytes), None);
        let estimate = AllocStats { allocated_bytes: 4000, allocated_variance: 800 * 800, ..exact };
        let other = AllocStats { allocated_variance: 600 * 600, ..exact };
        assert_eq!(AllocStats::change_interval(&estimate, &other, SortBy::LiveBytes), Some((-960, 2960)));
        assert_eq!(AllocStats::change_interval(&estimate, &other, SortBy::LiveBlocks), None);
    }

    /// What is exact has no interval, and a site whose blocks are all certain has none to speak of.
    #[test]
    fn exact_numbers_have_no_interval() {
        let exact = AllocStats { allocated_bytes: 10, allocated_blocks: 1, ..AllocStats::default() };
        assert_eq!((exact.live_interval(), exact.allocated_interval()), (None, None));
        assert_eq!(interval(1 << 30, 0), Interval { low: 1 << 30, high: 1 << 30 });
    }
}
