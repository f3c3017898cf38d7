//! Rows of many functions → one sorted run of rows → the words of a table.

use std::ops::Range;

use memtrace_common::unwind::{CHUNK_BITS, index_words, kind, row};

use super::dictionary::{CHAIN, NONE, OUTERMOST};
use super::error::UnwindProblem;
use super::functions::{Function, Functions, Row, push};
use super::known::Known;

/// Words of one table: 32 MiB. libLLVM (200 MB) has 0.9 million.
const MAX_WORDS: usize = 1 << 22;
/// Bytes of code without any function that count as code of another kind, which is followed by frame pointer: V8's
/// built-in functions in node, Go beside C, a browser whose C++ is built with frame pointers and without tables. The
/// longest hand-written function without unwind information is far shorter.
const STRETCH: u32 = 1 << 16;
/// Bytes of code from the entry point on that are taken for it where nothing describes them: ld.so's start code takes
/// about 100, with the call of the constructors in it.
const ENTRY_LENGTH: u32 = 256;

/// One run of rows out of the functions', which may come in any order and overlap.
///
/// A piece of code belongs to the function with the greatest start that is not behind it, or to nobody when that
/// function has ended: the rule by which C++ runtimes search `.eh_frame_hdr`. Of two functions that begin at the same
/// place the first in the file counts.
///
/// Where the file describes nothing, all is followed by frame pointer but what is known otherwise.
pub(super) fn merge(found: &mut Functions, known: &Known) -> Vec<Row> {
    let stretch = if found.list.is_empty() { 1 } else { STRETCH };
    add_entry(found, known.entry);
    for (code, rule) in &known.returns {
        // Looked up by return address - 1, and what is returned to is the first byte.
        add(found, code.end - 1, code.start.saturating_sub(1)..code.end, *rule);
    }
    let Functions { list: functions, rows, .. } = found;
    functions.sort_by_key(|function| function.code.start);
    functions.dedup_by_key(|function| function.code.start);
    let mut merged = Vec::with_capacity(rows.len() + 2);
    merged.push((0, NONE));
    let mut last = 0;
    for (number, function) in functions.iter().enumerate() {
        if function.code.start.saturating_sub(last) >= stretch {
            push(&mut merged, 0, (last, CHAIN));
        }
        let own_rows = &rows[function.rows.start as usize..function.rows.end as usize];
        let start = function.code.start;
        if own_rows.first() == Some(&(start, OUTERMOST)) && last < start {
            // Nobody calls it, so an address in it that is returned to may be its first: `makecontext` sets it up so.
            push(&mut merged, 0, (start - 1, OUTERMOST));
        }
        let next = functions.get(number + 1).map_or(u32::MAX, |next| next.code.start);
        let end = function.code.end.min(next);
        for row in own_rows {
            if row.0 < end {
                push(&mut merged, 0, *row);
            }
        }
        // However short the gap: what is returned to may be a function's first byte, and is looked up one byte before.
        if end < next {
            push(&mut merged, 0, (end, NONE));
        }
        last = end;
    }
    if known.end.saturating_sub(last) >= stretch {
        push(&mut merged, 0, (last, CHAIN));
        push(&mut merged, 0, (known.end, NONE));
    }
    merged
}

/// Describes the entry point where the file does not: ld.so's start code has no unwind information, and every stack of
/// a constructor ends there. Nobody calls it, so it is the outermost frame.
fn add_entry(found: &mut Functions, entry: Option<u32>) {
    let Some(entry) = entry else { return };
    let next = found.list.iter().map(|function| function.code.start).filter(|start| *start > entry).min();
    let end = entry.saturating_add(ENTRY_LENGTH).min(next.unwrap_or(u32::MAX));
    add(found, entry, entry..end, OUTERMOST);
}

/// Adds a function of one row, unless one of the file's holds the place `at`.
fn add(found: &mut Functions, at: u32, code: Range<u32>, rule: u32) {
    let Ok(first) = u32::try_from(found.rows.len()) else { return };
    if code.is_empty() || found.list.iter().any(|function| function.code.contains(&at)) {
        return;
    }
    found.rows.push((code.start, rule));
    found.list.push(Function { code, rows: first..first + 1 });
}

/// The words of a table, the number of its chunks, and the word at which its rules begin.
pub(super) fn pack(rows: &[Row], rules: &[u64]) -> Result<(Vec<u64>, u32, u32), UnwindProblem> {
    let last = rows.last().map_or(0, |row| row.0);
    let chunks = (last >> CHUNK_BITS) + 1;
    let index_words = usize::try_from(index_words(u64::from(chunks))).unwrap_or(MAX_WORDS);
    let rules_at = index_words + rows.len().div_ceil(2);
    let size = rules_at + rules.len();
    if size > MAX_WORDS {
        return Err(UnwindProblem::TooLarge { part: "words of table", size: size as u64, limit: MAX_WORDS as u64 });
    }
    let mut words = vec![0; size];
    let mut next = 0;
    for chunk in 0..=chunks {
        // The last value, behind all chunks, is the number of rows.
        while rows.get(next).is_some_and(|row| u64::from(row.0) < u64::from(chunk) << CHUNK_BITS) {
            next += 1;
        }
        set(&mut words, chunk as usize, u32::try_from(next).unwrap_or(u32::MAX));
    }
    for (number, (offset, rule)) in rows.iter().enumerate() {
        set(&mut words, index_words * 2 + number, row::pack(offset & ((1 << CHUNK_BITS) - 1), *rule));
    }
    words[rules_at..].copy_from_slice(rules);
    Ok((words, chunks, u32::try_from(rules_at).unwrap_or(u32::MAX)))
}

/// Writes a 32-bit value, two of which are in a word.
fn set(words: &mut [u64], number: usize, value: u32) {
    words[number / 2] |= u64::from(value) << (number % 2 * 32);
}

/// The rule in force at an offset, found as the stack walker does; `word` reads the table.
pub fn rule_at(word: impl Fn(u64) -> Option<u64>, chunks: u32, rules: u32, offset: u64) -> u64 {
    find(word, u64::from(chunks), u64::from(rules), offset).unwrap_or(kind::NONE)
}

fn find(word: impl Fn(u64) -> Option<u64>, chunks: u64, rules: u64, offset: u64) -> Option<u64> {
    let value = |number: u64| Some(word(number / 2)? >> (number % 2 * 32) & 0xffff_ffff);
    let chunk = offset >> CHUNK_BITS;
    if chunk >= chunks {
        return None;
    }
    let first_row = index_words(chunks) * 2;
    let (first, end) = (value(chunk)?, value(chunk + 1)?);
    let place = offset & ((1 << CHUNK_BITS) - 1);
    let (mut low, mut high) = (first.saturating_sub(1), end.checked_sub(1)?);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if row::place(value(first_row + middle)?) <= place {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    word(rules + row::rule(value(first_row + low)?))
}
