//! From `.eh_frame` to the tables that the stack walker reads.
//!
//! An ELF file (`image`) has sections of call frame information (`sections`), which are runs of entries
//! (`entries`); each function's entry gives rows (`functions`), each row a packed rule (`rules`,
//! `expressions`), which a table has once (`dictionary`); all rows together become the words of a table (`pack`). The
//! layout is [`memtrace_common::unwind`]'s.
//!
//! Files come from processes that are traced, so nothing in them is trusted: sizes and counts are bounded, what is
//! malformed is left out and counted, what takes too long is given up (`budget`), and code without a row is [`NONE`](memtrace_common::unwind::kind::NONE).

mod budget;
mod dictionary;
mod entries;
pub mod error;
mod expressions;
mod functions;
mod image;
mod known;
mod outermost;
mod pack;
mod rules;
mod sections;
mod signal_return;

use std::fs::File;

pub use error::{UnwindError, UnwindProblem};
use functions::Functions;
use image::{Bytes, Image};
use known::Known;
pub use pack::rule_at;

/// Where the caller's frame is, for each piece of code of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnwindTable {
    /// Index, rows and rules: the layout of [`memtrace_common::unwind`].
    pub words: Vec<u64>,
    /// Number of chunks of code.
    pub chunks: u32,
    /// Word at which the rules begin.
    pub rules: u32,
    /// The file's lowest mapped address (`PT_LOAD`), before relocation: offset 0 of the table.
    pub base: u64,
    /// What the table is made of.
    pub summary: Summary,
}

/// What a table is made of, and what of the file is not in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Functions with unwind information.
    pub fdes: u32,
    /// Rows, those of one rule merged.
    pub rows: u32,
    /// Rows that say something that has no form here: stacks end there.
    pub unsupported: u32,
    /// Entries that contradict themselves or the file; their code is without rows, or with unsupported ones.
    pub malformed: u32,
    /// Functions that are not in the file's code; linkers leave some.
    pub outside: u32,
}

impl UnwindTable {
    /// The table of an open file; `path` is for messages only. `None` where the file has no unwind information.
    ///
    /// Takes 2 to 3 ms for a libc and under 100 ms for a library of 200 MB.
    ///
    /// # Errors
    /// When the file is no ELF file of 64 bits for a known machine, is malformed, cannot be read, or holds more than the
    /// limits allow.
    pub fn of(file: &File, path: &str) -> Result<Option<Self>, UnwindError> {
        Image::of_file(file).and_then(|image| table(&image)).map_err(|problem| UnwindError::new(path, problem))
    }

    /// The table of an ELF file in memory, such as the vDSO.
    ///
    /// # Errors
    /// As [`UnwindTable::of`].
    pub fn of_image(bytes: &[u8]) -> Result<Option<Self>, UnwindError> {
        let image = Image::new(Bytes::Memory(bytes));
        image.and_then(|image| table(&image)).map_err(|problem| UnwindError::new("[image in memory]", problem))
    }

    /// The packed rule for the code at an offset from [`base`](Self::base), as the stack walker finds it.
    #[must_use]
    pub fn rule_at(&self, offset: u32) -> u64 {
        let word = |index: u64| self.words.get(usize::try_from(index).ok()?).copied();
        rule_at(word, self.chunks, self.rules, u64::from(offset))
    }
}

fn table(image: &Image<'_>) -> Result<Option<UnwindTable>, UnwindProblem> {
    let Some(base) = image.base() else { return Ok(None) };
    let mut found = Functions::of(image, base, &sections::eh_frame(image)?)?;
    if found.list.is_empty() {
        let damage = found.summary;
        found = Functions::of(image, base, &sections::debug_frame(image)?)?;
        found.summary.malformed += damage.malformed;
        found.summary.outside += damage.outside;
    }
    let known = Known::of(image, base);
    if found.list.is_empty() && known.returns.is_empty() {
        return Ok(None);
    }
    let rows = pack::merge(&mut found, &known);
    let (words, chunks, rules) = pack::pack(&rows, found.rules.rules())?;
    let unsupported = rows.iter().filter(|row| row.1 == dictionary::UNSUPPORTED).count();
    let summary = Summary {
        rows: u32::try_from(rows.len()).unwrap_or(u32::MAX),
        unsupported: u32::try_from(unsupported).unwrap_or(u32::MAX),
        ..found.summary
    };
    Ok(Some(UnwindTable { words, chunks, rules, base, summary }))
}

#[cfg(test)]
mod tests;
