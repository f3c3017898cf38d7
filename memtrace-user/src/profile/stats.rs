//! The four counters of a call site, and what follows from them.

use std::ops::{Add, AddAssign};

/// Counters that only grow. Blocks are allocator calls that returned memory; bytes are what the program asked for,
/// not what the allocator rounded it up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllocStats {
    /// Blocks allocated since tracing began.
    pub allocated_blocks: u64,
    /// Bytes of [`Self::allocated_blocks`].
    pub allocated_bytes: u64,
    /// Blocks of those that were freed, or moved away by `realloc`.
    pub freed_blocks: u64,
    /// Bytes of [`Self::freed_blocks`].
    pub freed_bytes: u64,
    /// Blocks of [`Self::freed_blocks`] that lived for 10 ms or less, give or take a tick of the kernel's clock (1 to
    /// 10 ms, 4 ms with most distributions); 0 where nobody has counted them.
    pub short_lived_blocks: u64,
    /// Variance of [`Self::allocated_bytes`] in square bytes, where they are an estimate; 0 where they are exact.
    pub allocated_variance: u128,
    /// The part of it that belongs to [`Self::freed_bytes`]; live bytes have the rest.
    pub freed_variance: u128,
}

impl AllocStats {
    /// Blocks allocated and not yet freed (pprof: `inuse_objects`).
    #[must_use]
    pub const fn live_blocks(&self) -> u64 {
        self.allocated_blocks.saturating_sub(self.freed_blocks)
    }

    /// Bytes allocated and not yet freed (pprof: `inuse_space`).
    #[must_use]
    pub const fn live_bytes(&self) -> u64 {
        self.allocated_bytes.saturating_sub(self.freed_bytes)
    }

    /// Mean size in bytes of a live block, or of an allocated one when none is live.
    #[must_use]
    pub const fn average_bytes(&self) -> u64 {
        match (self.live_blocks(), self.allocated_blocks) {
            (0, 0) => 0,
            (0, allocated) => self.allocated_bytes / allocated,
            (live, _) => self.live_bytes() / live,
        }
    }

    /// The same when nothing lives any more.
    #[must_use]
    pub const fn released(self) -> Self {
        Self {
            freed_blocks: self.allocated_blocks,
            freed_bytes: self.allocated_bytes,
            freed_variance: self.allocated_variance,
            ..self
        }
    }
}

impl Add for AllocStats {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for AllocStats {
    /// Stays at the greatest number instead of overflowing: several files, each as large as can be, may be added up.
    fn add_assign(&mut self, other: Self) {
        self.allocated_blocks = self.allocated_blocks.saturating_add(other.allocated_blocks);
        self.allocated_bytes = self.allocated_bytes.saturating_add(other.allocated_bytes);
        self.freed_blocks = self.freed_blocks.saturating_add(other.freed_blocks);
        self.freed_bytes = self.freed_bytes.saturating_add(other.freed_bytes);
        self.short_lived_blocks = self.short_lived_blocks.saturating_add(other.short_lived_blocks);
        self.allocated_variance = self.allocated_variance.saturating_add(other.allocated_variance);
        self.freed_variance = self.freed_variance.saturating_add(other.freed_variance);
    }
}

impl std::iter::Sum for AllocStats {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The average is over live blocks while there are any, and over all allocated ones once all are freed.
    #[test]
    fn average_falls_back_to_allocated_blocks() {
        let live = AllocStats {
            allocated_blocks: 4,
            allocated_bytes: 100,
            freed_blocks: 2,
            freed_bytes: 20,
            ..AllocStats::default()
        };
        assert_eq!(live.average_bytes(), 40);
        let freed = AllocStats { freed_blocks: 4, freed_bytes: 100, ..live };
        assert_eq!(freed.average_bytes(), 25);
        assert_eq!(AllocStats::default().average_bytes(), 0);
    }
}
