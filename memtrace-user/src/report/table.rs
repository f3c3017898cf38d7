//! Rows of numbers with a name each, aligned, in as many columns as there are.

use super::{elide, frames::SiteName};

/// Columns by which lines below a row stand in.
const INDENT: usize = 5;

/// A table in the making.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Titles of the columns of numbers, and that of the names.
    pub(super) titles: (Vec<String>, String),
    pub(super) rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// As many as the table has titles; aligned to the right.
    pub(super) numbers: Vec<String>,
    pub(super) name: SiteName,
    /// Lines below it.
    pub(super) below: Vec<String>,
}

impl Table {
    /// The lines; for a terminal, none is wider than it.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let (titles, name) = &self.titles;
        let widths: Vec<usize> = titles
            .iter()
            .enumerate()
            .map(|(column, title)| self.rows.iter().map(|row| row.numbers[column].len()).fold(title.len(), usize::max))
            .collect();
        let align = |cells: &[String]| -> String {
            cells.iter().zip(&widths).fold(String::new(), |line, (cell, width)| format!("{line}{cell:>width$}  "))
        };
        let mut lines = vec![fit(&format!("{}{name}", align(titles)), width)];
        for row in &self.rows {
            let numbers = align(&row.numbers);
            let room = width.map_or(usize::MAX, |width| width.saturating_sub(numbers.len()));
            lines.push(fit(&format!("{numbers}{}", row.name.fit(room)), width));
            lines.extend(row.below.iter().map(|line| fit(&format!("{:INDENT$}{line}", ""), width)));
        }
        lines
    }
}

/// A line in as many columns as there are.
pub(super) fn fit(line: &str, width: Option<usize>) -> String {
    width.map_or_else(|| line.to_owned(), |width| elide::middle(line, width))
}
