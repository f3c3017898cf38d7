//! What call sites are ranked by.

use super::AllocStats;

/// A number of a call site to rank by, the greatest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SortBy {
    /// Bytes allocated and not freed.
    #[default]
    LiveBytes,
    /// Blocks allocated and not freed.
    LiveBlocks,
    /// Bytes allocated since tracing began.
    AllocatedBytes,
    /// Blocks allocated since tracing began.
    AllocatedBlocks,
    /// Bytes freed since tracing began.
    FreedBytes,
}

/// One line an order: its word on the command line, its words in a heading, the title of its column, what it means, and its
/// value.
type Order = (SortBy, &'static str, &'static str, &'static str, &'static str, fn(&AllocStats) -> u64);
const ORDERS: [Order; 5] = [
    (SortBy::LiveBytes, "live-bytes", "live bytes", "Live", "Bytes allocated and not freed", AllocStats::live_bytes),
    (
        SortBy::LiveBlocks,
        "live-blocks",
        "live blocks",
        "Blocks",
        "Blocks allocated and not freed",
        AllocStats::live_blocks,
    ),
    (
        SortBy::AllocatedBytes,
        "alloc-bytes",
        "allocated bytes",
        "Allocated",
        "Bytes allocated since tracing began",
        |stats| stats.allocated_bytes,
    ),
    (
        SortBy::AllocatedBlocks,
        "alloc-blocks",
        "allocated blocks",
        "Allocs",
        "Blocks allocated since tracing began",
        |stats| stats.allocated_blocks,
    ),
    (SortBy::FreedBytes, "freed-bytes", "freed bytes", "Freed", "Bytes freed since tracing began", |stats| {
        stats.freed_bytes
    }),
];

impl SortBy {
    /// Every order, as they are stepped through.
    pub fn all() -> impl Iterator<Item = Self> {
        ORDERS.iter().map(|(order, ..)| *order)
    }

    /// Its word on the command line and in files: `live-bytes`.
    #[must_use]
    pub fn word(self) -> &'static str {
        ORDERS[self as usize].1
    }

    /// A few words for a heading: `live bytes`.
    #[must_use]
    pub fn label(self) -> &'static str {
        ORDERS[self as usize].2
    }

    /// Title of the column that holds the value.
    #[must_use]
    pub fn title(self) -> &'static str {
        ORDERS[self as usize].3
    }

    /// What it counts, for the help.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        ORDERS[self as usize].4
    }

    /// The number of a site, in bytes or blocks.
    #[must_use]
    pub fn value(self, stats: &AllocStats) -> u64 {
        (ORDERS[self as usize].5)(stats)
    }

    /// Bytes and blocks of what the number counts: live, allocated or freed ones.
    #[must_use]
    pub fn sizes(self, stats: &AllocStats) -> (u64, u64) {
        match self {
            Self::LiveBytes | Self::LiveBlocks => (stats.live_bytes(), stats.live_blocks()),
            Self::AllocatedBytes | Self::AllocatedBlocks => (stats.allocated_bytes, stats.allocated_blocks),
            Self::FreedBytes => (stats.freed_bytes, stats.freed_blocks),
        }
    }

    /// Whether the number counts bytes; else it counts blocks.
    #[must_use]
    pub fn is_bytes(self) -> bool {
        !matches!(self, Self::LiveBlocks | Self::AllocatedBlocks)
    }

    /// The order after this one; the first after the last.
    #[must_use]
    pub fn next(self) -> Self {
        ORDERS[(self as usize + 1) % ORDERS.len()].0
    }

    /// The order before this one; the last before the first.
    #[must_use]
    pub fn previous(self) -> Self {
        ORDERS[(self as usize + ORDERS.len() - 1) % ORDERS.len()].0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is indexed by the order, so its lines must be in the order of the enum.
    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, order) in SortBy::all().enumerate() {
            assert_eq!(order as usize, index);
            assert_eq!(order.next().previous(), order);
        }
    }
}
