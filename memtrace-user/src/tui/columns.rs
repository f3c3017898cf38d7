//! The columns of the table: one line a column, with the number that it shows and is sorted by.

use std::cmp::Reverse;

use super::{
    heading::{Heading, Order},
    marks::Growth,
};
use crate::{
    profile::{AllocRates, AllocStats, SortBy},
    report::{groups_text::signed, units},
};

/// The numbers of one row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowNumbers {
    pub(super) stats: AllocStats,
    /// Since the last mark, or since tracing began.
    pub(super) change: Growth,
    pub(super) rates: AllocRates,
}

impl RowNumbers {
    /// How far live bytes may be from the truth in 95 of 100 cases; 0 where they are exact.
    pub(super) fn live_error(&self) -> u64 {
        self.stats.live_interval().map_or(0, |interval| interval.high.saturating_sub(interval.low) / 2)
    }

    /// Short-lived blocks per allocated block, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
    pub(super) fn short_lived(&self) -> f64 {
        let AllocStats { allocated_blocks, short_lived_blocks, .. } = self.stats;
        if allocated_blocks == 0 { 0.0 } else { short_lived_blocks as f64 / allocated_blocks as f64 }
    }
}

/// One column of numbers.
pub(super) struct Column {
    pub(super) heading: Heading,
    pub(super) value: fn(&RowNumbers) -> f64,
    pub(super) cell: fn(&RowNumbers) -> String,
    /// The number adds up over all rows to something that shares can be taken of.
    pub(super) adds_up: bool,
}

/// From left to right; the site's name takes what is left.
#[rustfmt::skip]
pub(super) const COLUMNS: &[Column] = &[
    Column { heading: Heading { title: "Live", meaning: "bytes allocated and not freed", widths: (7, 10), from_width: 0, key: '1' },
        value: |row| float(row.stats.live_bytes()), cell: |row| units::bytes(row.stats.live_bytes()), adds_up: true },
    Column { heading: Heading { title: "±Live", meaning: "live bytes may be so many more or less (95 %)", widths: (7, 10), from_width: 50, key: '-' },
        value: |row| float(row.live_error()), cell: |row| units::bytes(row.live_error()), adds_up: false },
    Column { heading: Heading { title: "ΔMark", meaning: "live bytes more or less than at the last mark", widths: (8, 11), from_width: 60, key: '2' },
        value: |row| negative_too(row.change.bytes), cell: |row| signed(SortBy::LiveBytes, row.change.bytes.into()), adds_up: false },
    Column { heading: Heading { title: "Blocks", meaning: "blocks allocated and not freed", widths: (8, 10), from_width: 50, key: '3' },
        value: |row| float(row.stats.live_blocks()), cell: |row| units::count(row.stats.live_blocks()), adds_up: true },
    Column { heading: Heading { title: "Alloc/s", meaning: "blocks allocated a second", widths: (7, 9), from_width: 70, key: '4' },
        value: |row| row.rates.allocated_blocks, cell: |row| rate(row.rates.allocated_blocks), adds_up: true },
    Column { heading: Heading { title: "Bytes/s", meaning: "bytes allocated a second", widths: (7, 10), from_width: 130, key: '5' },
        value: |row| row.rates.allocated_bytes, cell: |row| units::byte_rate(row.rates.allocated_bytes).replace("/s", ""), adds_up: true },
    Column { heading: Heading { title: "Short", meaning: "part of the blocks that was freed within 10 ms", widths: (6, 6), from_width: 70, key: '6' },
        value: RowNumbers::short_lived, cell: |row| units::percent(row.short_lived()), adds_up: false },
    Column { heading: Heading { title: "Average", meaning: "mean bytes of a live block", widths: (7, 9), from_width: 150, key: '7' },
        value: |row| float(row.stats.average_bytes()), cell: |row| units::bytes(row.stats.average_bytes()), adds_up: false },
    Column { heading: Heading { title: "Alloced", meaning: "bytes allocated since tracing began", widths: (7, 10), from_width: 165, key: '8' },
        value: |row| float(row.stats.allocated_bytes), cell: |row| units::bytes(row.stats.allocated_bytes), adds_up: true },
    Column { heading: Heading { title: "Allocs", meaning: "blocks allocated since tracing began", widths: (8, 12), from_width: 180, key: '9' },
        value: |row| float(row.stats.allocated_blocks), cell: |row| units::count(row.stats.allocated_blocks), adds_up: true },
    Column { heading: Heading { title: "Freed", meaning: "bytes freed since tracing began", widths: (7, 10), from_width: 200, key: '0' },
        value: |row| float(row.stats.freed_bytes), cell: |row| units::bytes(row.stats.freed_bytes), adds_up: true },
];

/// The column of what estimates may be wrong by, which is shown where numbers are estimates.
pub(super) const ERROR: usize = 1;

/// The heads of the columns.
pub(super) fn headings() -> impl Iterator<Item = &'static Heading> {
    COLUMNS.iter().map(|column| &column.heading)
}

#[expect(clippy::cast_precision_loss, reason = "compared, and shown with three digits")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "compared, and shown with three digits")]
const fn negative_too(number: i64) -> f64 {
    number as f64
}

fn rate(rate: f64) -> String {
    units::rate(rate).replace("/s", "")
}

impl From<SortBy> for Order {
    fn from(sort: SortBy) -> Self {
        let title = match sort {
            SortBy::LiveBytes => "Live",
            SortBy::LiveBlocks => "Blocks",
            SortBy::AllocatedBytes => "Alloced",
            SortBy::AllocatedBlocks => "Allocs",
            SortBy::FreedBytes => "Freed",
        };
        COLUMNS.iter().position(|column| column.heading.title == title).map_or(Self::Name, Self::Column)
    }
}

impl Order {
    pub(super) fn column(self) -> Option<&'static Column> {
        match self {
            Self::Column(index) => COLUMNS.get(index),
            Self::Name => None,
        }
    }
}

/// A key that sorts floats from the greatest down; the numbers here are never NaN.
pub(super) fn descending(value: f64) -> Reverse<u64> {
    let bits = value.to_bits();
    // The usual trick: of negative floats the order of the bits is turned around.
    Reverse(if bits >> 63 == 1 { !bits } else { bits | 1 << 63 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every order of the command line has a column, every column a digit of its own.
    #[test]
    fn every_order_has_a_column() {
        for sort in SortBy::all() {
            assert!(Order::from(sort).column().is_some(), "{}", sort.label());
        }
        let keys: std::collections::HashSet<char> = COLUMNS.iter().map(|column| column.heading.key).collect();
        assert_eq!(keys.len(), COLUMNS.len());
        assert_eq!(COLUMNS[ERROR].heading.title, "±Live");
        let count = COLUMNS.len();
        for order in (0..count).map(Order::Column).chain([Order::Name]) {
            assert_eq!(order.step_among(count, true).step_among(count, false), order);
        }
    }

    proptest! {
        /// The key orders as the numbers do.
        #[test]
        fn keys_order_as_numbers(a in -1e18..1e18_f64, b in -1e18..1e18_f64) {
            prop_assert_eq!(descending(a).cmp(&descending(b)), b.total_cmp(&a));
        }
    }
}
