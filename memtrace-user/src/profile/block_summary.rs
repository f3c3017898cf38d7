//! The live blocks of a call site, looked at one by one: how large they are and how old.

use std::time::Duration;

/// Sizes told apart: powers of two, from blocks of no bytes up.
pub const SIZE_CLASSES: usize = 49;

/// What the live blocks of some call stacks are like at one moment. Freed blocks are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSummary {
    /// Number of blocks by size: class 0 is blocks of no bytes, class n those of 2^(n-1) to 2^n - 1 bytes.
    pub sizes: [u64; SIZE_CLASSES],
    /// How many blocks there are.
    pub blocks: u64,
    /// Age of the oldest one; `None` when there is none, or the clock cannot be read.
    pub oldest: Option<Duration>,
    /// Half of the blocks are at least this old, the others at most.
    pub median: Option<Duration>,
    /// Blocks that were allocated since a moment asked for, moment by moment.
    pub since: Vec<u64>,
}

impl Default for BlockSummary {
    fn default() -> Self {
        Self { sizes: [0; SIZE_CLASSES], blocks: 0, oldest: None, median: None, since: Vec::new() }
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
}
