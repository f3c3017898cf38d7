//! Snapshots in the formats of other tools: flame graphs, viewers, spreadsheets, scripts.
//!
//! A format is one file with an [`Exporter`] in it, and one line in [`FORMATS`]. What they share lies beside them:
//! `frames` says how a frame is named, `groups` merges samples of one stack, `tree` makes one tree of all stacks,
//! `caption` says what the numbers are of, `safe_json` writes names so that no reader trips over them. Names come
//! from untrusted programs: each format keeps them from being anything but names to whoever reads it.

mod caption;
mod csv;
mod error;
mod firefox;
mod folded;
mod frames;
mod groups;
mod html;
mod json;
mod safe_json;
mod speedscope;
mod svg;
#[cfg(test)]
mod tests;
mod tree;

use std::{fmt::Debug, io::Write};

pub use error::ExportError;

use crate::profile::{Snapshot, SortBy};

/// What is exported, and what of it.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// An earlier one to compare with, in the formats that can: see [`Exporter::compares`].
    pub base: Option<&'a Snapshot>,
    /// The number that the format is about, or that it is ordered by if it holds all of them.
    pub value: SortBy,
    /// Whether the lines of a function are told apart.
    pub lines: bool,
    /// Whether threads have a root frame each, where the snapshot tells them apart; else they are put together.
    pub per_thread: bool,
}

impl<'a> Export<'a> {
    /// All of a snapshot, by live bytes, a frame a function.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, base: None, value: SortBy::LiveBytes, lines: false, per_thread: false }
    }
}

/// A format.
pub trait Exporter: Debug + Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it is for, in a few words for the help.
    fn purpose(&self) -> &'static str;

    /// Whether it can show two snapshots beside each other.
    fn compares(&self) -> bool {
        false
    }

    /// Whether it tells domains apart, so that all can be in it.
    fn tells_domains(&self) -> bool {
        false
    }

    /// Writes the snapshot. `out` should be buffered.
    ///
    /// # Errors
    /// When `out` fails, or the format cannot hold the numbers.
    fn write(&self, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError>;
}

/// Every format, in the order of the help.
pub static FORMATS: [&dyn Exporter; 7] =
    [&folded::Folded, &svg::Svg, &html::Html, &speedscope::Speedscope, &firefox::Firefox, &json::Json, &csv::Csv];

/// Writes a snapshot in a format.
///
/// # Errors
/// As [`Exporter::write`]; also when there is a base and the format cannot compare.
pub fn write(format: &dyn Exporter, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
    if export.base.is_some() && !format.compares() {
        return Err(ExportError::NoComparison { format: format.name() });
    }
    format.write(export, out)
}
