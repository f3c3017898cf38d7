//! What is known of a file's code beside its unwind information: by its header, and of C libraries, static programs and the vDSO
//! by its bytes.

use std::ops::Range;

use object::LittleEndian as LE;
use object::elf;

use super::dictionary::{OUTERMOST, SIGNAL};
use super::error::UnwindProblem;
use super::image::Image;
use super::{outermost, signal_return};

/// Bytes of code that are searched: a C library is smaller, also within a static executable.
const MAX_CODE: u64 = 16 << 20;
/// Bytes of the dynamic section.
const MAX_DYNAMIC: u64 = 1 << 16;

/// Code that is known beside what the file describes, as offsets.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The entry point.
    pub(super) entry: Option<u32>,
    /// Places that are returned to, and their rules.
    pub(super) returns: Vec<(Range<u32>, u32)>,
    /// End of the code.
    pub(super) end: u32,
}

impl Known {
    pub(super) fn of(image: &Image<'_>, base: u64) -> Self {
        let offset = |address: u64| u32::try_from(address.checked_sub(base)?).ok();
        let code = image.code();
        let entry = image.header.e_entry.get(LE);
        let entry = Some(entry).filter(|entry| code.iter().any(|range| range.contains(entry)));
        let returns = returns(image).unwrap_or_default();
        let returns =
            returns.into_iter().filter_map(|(range, rule)| Some((offset(range.start)?..offset(range.end)?, rule)));
        Self {
            entry: entry.and_then(offset),
            returns: returns.collect(),
            end: code.last().and_then(|range| offset(range.end)).unwrap_or(0),
        }
    }
}

/// Address ranges that are known by their bytes. Only files that need no other are searched.
fn returns(image: &Image<'_>) -> Result<Vec<(Range<u64>, u32)>, UnwindProblem> {
    if needs_libraries(image)? {
        return Ok(Vec::new());
    }
    let ends = image.functions(outermost::ENDS);
    let mut found = Vec::new();
    let mut left = MAX_CODE;
    for range in image.code() {
        let Some((offset, length)) = image.place_of(range.start) else { continue };
        let length = length.min(range.end - range.start).min(left);
        left -= length;
        let code = image.read(offset, usize::try_from(length).unwrap_or_default(), "code")?;
        let calls = outermost::find(image.machine, range.start, &code, &ends);
        let places = signal_return::find(image.machine, &code).map(|place| (place, SIGNAL));
        let places = places.chain(calls.into_iter().map(|place| (place, OUTERMOST)));
        found.extend(
            places.map(|(place, rule)| (range.start + place.start as u64..range.start + place.end as u64, rule)),
        );
    }
    Ok(found)
}

fn needs_libraries(image: &Image<'_>) -> Result<bool, UnwindProblem> {
    let Some(dynamic) = image.programs_of(elf::PT_DYNAMIC).next() else { return Ok(false) };
    let count = usize::try_from(dynamic.p_filesz.get(LE).min(MAX_DYNAMIC)).unwrap_or_default() / 16;
    let entries: Vec<elf::Dyn64<LE>> = image.many(dynamic.p_offset.get(LE), count, "dynamic section")?;
    Ok(entries.iter().any(|entry| entry.d_tag.get(LE) == elf::DT_NEEDED))
}
