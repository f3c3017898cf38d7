//! What is shown, as text and as a table for other programs: all rows of the present order and filter, not only those
//! that the screen has room for.

use std::fmt::Write as _;

use super::{App, columns::RowNumbers, heading::WIDE, view};
use crate::report::{frames::NO_STACK, group_label};

/// Columns of the text.
const WIDTH: u16 = 200;

/// Most rows of the text: it is for people.
const MOST_ROWS: usize = 200;

impl App {
    /// The screen as text, wide and high enough for the first rows.
    #[must_use]
    pub fn to_text(&self) -> String {
        const { assert!(WIDTH as usize >= WIDE) };
        let rows = u16::try_from(self.table.order().len().min(MOST_ROWS)).unwrap_or(u16::MAX);
        let mut text = view::text(self, (WIDTH, rows + 60));
        let left = self.table.order().len().saturating_sub(usize::from(rows));
        if left > 0 && self.view == super::app::View::Table {
            let _ = writeln!(text, "and {left} more, see the CSV file");
        }
        text
    }

    /// Every row, numbers as they are: bytes, blocks, and per second.
    ///
    /// # Errors
    /// None that memory does not give: names are UTF-8.
    pub fn to_csv(&self) -> csv::Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record(CELLS.iter().map(|(title, _)| *title).chain(["name", "thread", "domain"]))?;
        for group in self.table.order() {
            let row = self.table.row(*group);
            let named = self.table.group(*group);
            let name = group_label::full(&named.name, self.table.by());
            let name = if name.is_empty() { NO_STACK.to_owned() } else { name };
            let thread = named.thread.as_ref().map(|(name, tid)| format!("{name} ({tid})")).unwrap_or_default();
            let domain = self.table.any_stack(*group).map(|stack| self.table.stack(stack).0.domain.name());
            let domain = domain.unwrap_or_default().to_owned();
            csv.write_record(CELLS.iter().map(|(_, cell)| cell(row)).chain([name, thread, domain]))?;
        }
        csv.into_inner().map_err(|error| csv::Error::from(std::io::Error::other(error.to_string())))
    }
}

/// One line a column: its title and what stands in it.
type CsvCell = (&'static str, fn(&RowNumbers) -> String);

#[rustfmt::skip]
const CELLS: &[CsvCell] = &[
    ("live_bytes", |row| row.stats.live_bytes().to_string()),
    ("live_blocks", |row| row.stats.live_blocks().to_string()),
    ("since_mark_bytes", |row| row.change.bytes.to_string()),
    ("since_mark_blocks", |row| row.change.blocks.to_string()),
    ("allocated_blocks_per_second", |row| format!("{:.3}", row.rates.allocated_blocks)),
    ("allocated_bytes_per_second", |row| format!("{:.3}", row.rates.allocated_bytes)),
    ("short_lived_blocks", |row| row.stats.short_lived_blocks.to_string()),
    ("allocated_bytes", |row| row.stats.allocated_bytes.to_string()),
    ("allocated_blocks", |row| row.stats.allocated_blocks.to_string()),
    ("freed_bytes", |row| row.stats.freed_bytes.to_string()),
    ("freed_blocks", |row| row.stats.freed_blocks.to_string()),
];
