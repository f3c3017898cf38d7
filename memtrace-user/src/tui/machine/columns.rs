//! The columns of the table of processes: one line a column.

use crate::{
    profile::{MachineProcess, ProcessOrder, SortBy},
    report::{groups_text::signed, units},
    tui::heading::{Heading, Order},
};

/// One column of numbers.
pub(super) struct Column {
    pub(super) heading: Heading,
    pub(super) order: ProcessOrder,
    pub(super) cell: fn(&MachineProcess) -> String,
}

/// From left to right; the process's name takes what is left.
#[rustfmt::skip]
pub(super) const COLUMNS: &[Column] = &[
    Column { heading: Heading { title: "Live", meaning: "bytes allocated since tracing began and not freed", widths: (7, 10), from_width: 0, key: '1' },
        order: ProcessOrder::Live, cell: |process| units::bytes(process.live_bytes()) },
    Column { heading: Heading { title: "Growth", meaning: "live bytes more or less than a minute ago", widths: (8, 11), from_width: 46, key: '2' },
        order: ProcessOrder::Growth, cell: |process| signed(SortBy::LiveBytes, process.growth_bytes.into()) },
    Column { heading: Heading { title: "Bytes/s", meaning: "bytes allocated a second", widths: (8, 10), from_width: 56, key: '3' },
        order: ProcessOrder::Rate, cell: |process| units::byte_rate(process.rates.allocated_bytes).replace("/s", "") },
    Column { heading: Heading { title: "Alloc/s", meaning: "blocks allocated a second", widths: (8, 9), from_width: 100, key: '4' },
        order: ProcessOrder::Calls, cell: |process| units::rate(process.rates.allocated_blocks).replace("/s", "") },
    Column { heading: Heading { title: "Blocks", meaning: "blocks allocated and not freed", widths: (8, 10), from_width: 120, key: '5' },
        order: ProcessOrder::Blocks, cell: |process| units::count(process.totals.stats.live_blocks()) },
    Column { heading: Heading { title: "RSS", meaning: "resident memory", widths: (7, 10), from_width: 68, key: '6' },
        order: ProcessOrder::Rss, cell: |process| process.rss_bytes.map_or_else(|| "-".into(), units::bytes) },
    Column { heading: Heading { title: "Alloced", meaning: "bytes allocated since tracing began", widths: (7, 10), from_width: 130, key: '7' },
        order: ProcessOrder::Allocated, cell: |process| units::bytes(process.totals.stats.allocated_bytes) },
    Column { heading: Heading { title: "Lost", meaning: "blocks and stacks beyond its share of the tables, not recorded", widths: (7, 9), from_width: 0, key: '8' },
        order: ProcessOrder::Lost, cell: |process| units::count(process.lost()) },
];

/// The column of what could not be recorded, which is shown when there is something.
pub(super) const LOST: usize = 7;

/// The heads of the columns.
pub(super) fn headings() -> impl Iterator<Item = &'static Heading> {
    COLUMNS.iter().map(|column| &column.heading)
}

/// The column of an order.
pub(super) fn column_of(order: ProcessOrder) -> Order {
    COLUMNS.iter().position(|column| column.order == order).map_or(Order::Name, Order::Column)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of the command line has a column, every column a digit of its own, and steps lead round.
    #[test]
    fn every_order_has_a_column() {
        for order in ProcessOrder::all() {
            let column = column_of(order);
            assert_ne!(column, Order::Name, "{}", order.word());
            assert_eq!(column.step_among(COLUMNS.len(), true).step_among(COLUMNS.len(), false), column);
        }
        let keys: std::collections::HashSet<char> = COLUMNS.iter().map(|column| column.heading.key).collect();
        assert_eq!(keys.len(), COLUMNS.len());
        assert_eq!(COLUMNS[LOST].order, ProcessOrder::Lost);
    }
}
