//! The live blocks of call stacks, looked at one by one: how large they are, how old, and which have survived.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

/// Sizes told apart: powers of two, from blocks of no bytes up.
pub const SIZE_CLASSES: usize = 49;

/// What is asked of the live blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlockQuery {
    /// Of these stacks, named as by [`super::RawStack::id`]; `None` means all.
    pub stacks: Option<HashSet<u32>>,
    /// Moments, as time since tracing began: the blocks that were allocated since are counted.
    pub moments: Vec<Duration>,
}

/// What the live blocks of some call stacks are like at one moment. Freed blocks are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSummary {
    /// Number of blocks by size: class 0 is blocks of no bytes, class n those of 2^(n-1) to 2^n - 1 bytes.
    pub sizes: [u64; SIZE_CLASSES],
    /// How many blocks there are.
    pub blocks: u64,
    /// Age of the oldest one; `None` when there is none.
    pub oldest: Option<Duration>,
    /// Half of the blocks are at least this old, the others at most.
    pub median: Option<Duration>,
    /// By stack, how many blocks were allocated since each moment that was asked for, to a tick of the kernel's clock.
    pub survivors: HashMap<u32, Vec<u64>>,
}

impl Default for BlockSummary {
    fn default() -> Self {
        Self { sizes: [0; SIZE_CLASSES], blocks: 0, oldest: None, median: None, survivors: HashMap::new() }
    }
}

impl BlockSummary {
    /// Class of a size in bytes.
    #[must_use]
    pub fn class(size: u64) -> usize {
        usize::try_from(u64::BITS - size.leading_zeros()).unwrap_or(SIZE_CLASSES).min(SIZE_CLASSES - 1)
    }

    /// Smallest and greatest size of a class in bytes.
    #[must_use]
    pub fn bounds(class: usize) -> (u64, u64) {
        match class {
            0 => (0, 0),
            class => (1 << (class - 1), (1 << class) - 1),
        }
    }

    /// Looks at blocks, each given by its stack, size in bytes and age, at a time since tracing began. Keeps every age
    /// for the median: 4 bytes a block, a sixth of what the blocks take in the table that they come from.
    #[must_use]
    pub fn of(query: &BlockQuery, now: Duration, blocks: impl Iterator<Item = (u32, u64, Duration)>) -> Self {
        let limits: Vec<Duration> = query.moments.iter().map(|moment| now.saturating_sub(*moment)).collect();
        let mut summary = Self::default();
        let mut ages: Vec<u32> = Vec::new();
        for (stack, size, age) in blocks {
            if query.stacks.as_ref().is_some_and(|stacks| !stacks.contains(&stack)) {
                continue;
            }
            summary.blocks += 1;
            summary.sizes[Self::class(size)] += 1;
            summary.oldest = summary.oldest.max(Some(age));
            ages.push(u32::try_from(age.as_millis()).unwrap_or(u32::MAX));
            if !limits.is_empty() {
                let counts = summary.survivors.entry(stack).or_insert_with(|| vec![0; limits.len()]);
                for (count, limit) in counts.iter_mut().zip(&limits) {
                    *count += u64::from(age <= *limit);
                }
            }
        }
        let middle = ages.len() / 2;
        if middle < ages.len() {
            let (_, median, _) = ages.select_nth_unstable(middle);
            summary.median = Some(Duration::from_millis((*median).into()));
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every size lies within the bounds of its class.
    #[test]
    fn sizes_lie_in_their_class() {
        for size in [0, 1, 2, 3, 4, 7, 8, 1023, 1024, 1 << 40] {
            let (least, most) = BlockSummary::bounds(BlockSummary::class(size));
            assert!((least..=most).contains(&size), "{size}");
        }
        assert_eq!(BlockSummary::class(u64::MAX), SIZE_CLASSES - 1);
    }

    /// Blocks of other stacks are left out; survivors are counted from each moment on.
    #[test]
    fn blocks_are_counted_by_stack_and_moment() {
        let seconds = Duration::from_secs;
        let blocks = [(1, 100, seconds(9)), (1, 200, seconds(5)), (1, 100, seconds(1)), (2, 100, seconds(50))];
        let query = BlockQuery { stacks: Some([1].into()), moments: vec![seconds(0), seconds(92), seconds(98)] };
        let summary = BlockSummary::of(&query, seconds(100), blocks.into_iter());
        assert_eq!((summary.blocks, summary.oldest, summary.median), (3, Some(seconds(9)), Some(seconds(5))));
        assert_eq!(summary.sizes[BlockSummary::class(100)], 2);
        assert_eq!(summary.survivors, [(1, vec![3, 2, 1])].into());
        let all = BlockSummary::of(&BlockQuery::default(), seconds(100), blocks.into_iter());
        assert_eq!((all.blocks, all.survivors.len()), (4, 0));
        assert_eq!(BlockSummary::of(&query, seconds(1), std::iter::empty()).median, None);
    }
}
