//! Rows of many functions → one sorted run of rows → the words of a table.

use memtrace_common::unwind::{CHUNK_BITS, kind};

use super::error::UnwindProblem;
use super::functions::{Function, Functions, Row, push};

/// Words of one table, index and rows: 64 MiB. libLLVM (200 MB) has 1.7 million.
const MAX_WORDS: usize = 1 << 23;
/// Bytes between two functions that count as padding. No return address lies there, so a row that says "no function"
/// would only cost memory (10 to 20 % of all rows).
const PADDING: u32 = 32;
/// Bytes of code from the entry point on that are taken for it where nothing describes them: ld.so's start code takes
/// about 100, with the call of the constructors in it.
const ENTRY_LENGTH: u32 = 256;

/// One run of rows out of the functions', which may come in any order and overlap. `entry` is the offset of the file's
/// entry point.
///
/// A piece of code belongs to the function with the greatest start that is not behind it, or to nobody when that
/// function has ended: the rule by which C++ runtimes search `.eh_frame_hdr`. Of two functions that begin at the same
/// place the first in the file counts.
pub(super) fn merge(found: &mut Functions, entry: Option<u32>) -> Vec<Row> {
    if let Some(entry) = entry {
        add_entry(found, entry);
    }
    let Functions { functions, rows, .. } = found;
    functions.sort_by_key(|function| function.code.start);
    functions.dedup_by_key(|function| function.code.start);
    let mut merged = Vec::with_capacity(rows.len() + 2);
    merged.push((0, kind::NONE));
    for (number, function) in functions.iter().enumerate() {
        let next = functions.get(number + 1).map_or(u32::MAX, |next| next.code.start);
        let end = function.code.end.min(next);
        for row in &rows[function.rows.start as usize..function.rows.end as usize] {
            if row.0 < end {
                push(&mut merged, 0, *row);
            }
        }
        let is_last = number + 1 == functions.len();
        if is_last || next - end >= PADDING {
            push(&mut merged, 0, (end, kind::NONE));
        }
    }
    merged
}

/// Describes the entry point where the file does not: ld.so's start code has no unwind information, and every stack of
/// a constructor ends there. Nobody calls it, so it is the outermost frame.
fn add_entry(found: &mut Functions, entry: u32) {
    if found.functions.iter().any(|function| function.code.contains(&entry)) {
        return;
    }
    let next = found.functions.iter().map(|function| function.code.start).filter(|start| *start > entry).min();
    let end = entry.saturating_add(ENTRY_LENGTH).min(next.unwrap_or(u32::MAX));
    let Ok(first) = u32::try_from(found.rows.len()) else { return };
    found.rows.push((entry, kind::OUTERMOST));
    found.functions.push(Function { code: entry..end, rows: first..first + 1 });
}

/// The words of a table and the number of its index words.
pub(super) fn pack(rows: &[Row]) -> Result<(Vec<u64>, u32), UnwindProblem> {
    let last = rows.last().map_or(0, |row| row.0);
    let chunks = (last >> CHUNK_BITS) + 1;
    let size = chunks as usize + rows.len();
    if size > MAX_WORDS {
        return Err(UnwindProblem::TooLarge { part: "words of table", size: size as u64, limit: MAX_WORDS as u64 });
    }
    let mut words = Vec::with_capacity(size);
    let mut first = 0;
    for chunk in 0..chunks {
        let start = chunk << CHUNK_BITS;
        let end = start.saturating_add((1 << CHUNK_BITS) - 1);
        // `first` becomes the row that is in force at the chunk's first byte.
        while rows.get(first + 1).is_some_and(|row| row.0 <= start) {
            first += 1;
        }
        let later = rows[first + 1..].iter().take_while(|row| row.0 <= end).count();
        words.push(first as u64 | (later as u64) << 32);
    }
    words.extend(rows.iter().map(|(offset, rule)| u64::from(*offset) << 32 | u64::from(*rule)));
    Ok((words, chunks))
}

/// The rule in force at an offset, searched as the stack walker does.
pub(super) fn rule_at(words: &[u64], chunks: u32, offset: u32) -> u32 {
    let chunk = offset >> CHUNK_BITS;
    if chunk >= chunks {
        return kind::NONE;
    }
    let Some(index) = words.get(chunk as usize) else { return kind::NONE };
    let (first, later) = (chunks as usize + (index & 0xffff_ffff) as usize, (index >> 32) as usize);
    let Some(rows) = words.get(first..=first + later) else { return kind::NONE };
    let behind = rows.partition_point(|row| row >> 32 <= u64::from(offset));
    behind.checked_sub(1).map_or(kind::NONE, |row| (rows[row] & 0xffff_ffff) as u32)
}
