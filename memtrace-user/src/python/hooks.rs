//! Allocator hooks: functions that stand between an interpreter and its allocator, as `-X dev` and `tracemalloc` put there.
//!
//! An interpreter keeps, for each kind of memory, a `PyMemAllocatorEx`: a context and four functions (`Objects/obmalloc.c`). Two
//! kinds lie in pymalloc's pools, "mem" and "obj", and nobody exports where their tables are. Hooks can be told by these
//! two alone: they have the same functions, and different contexts that lead to the table of what is hooked.

use std::collections::BTreeSet;

use super::{PythonFile, copied::Memory, interpreter::Interpreter};

/// Words of a table: the context, and `malloc`, `calloc`, `realloc` and `free`.
const TABLE_WORDS: usize = 5;
/// What the tables of the two kinds lie apart, in words: in one structure from 3.12 on; before, variables of their own, which
/// compilers align to 32 bytes.
const APART: [usize; 2] = [5, 8];
/// The table that a context leads to lies there: of `tracemalloc` it is the context; the debug hooks have a letter before it.
const INNER: [u64; 2] = [0, 8];
/// Bytes of an interpreter's data that are looked at.
const MOST_DATA: u64 = 16 << 20;

/// Hooks of an interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooks {
    /// Address in the process of the table that has them.
    pub table: u64,
    /// Address there of `malloc`, to tell whether they are still in place.
    pub malloc: u64,
    /// Addresses in the file, before relocation, of `malloc(context, bytes)`, `calloc(context, count, bytes)`,
    /// `realloc(context, block, bytes)` and `free(context, block)`.
    pub functions: [u64; 4],
}

impl Hooks {
    /// The hooks of an interpreter, if there are any.
    #[must_use]
    pub fn of(interpreter: &Interpreter, file: &PythonFile, memory: Memory<'_>) -> Option<Self> {
        let moved = interpreter.moved_from(file);
        // The state itself lies in it, or behind it where the file has only zeros for it (to 3.9).
        let data = file.segments.iter().filter(|segment| !segment.executable && segment.address <= file.runtime);
        let segment = data.max_by_key(|segment| segment.address)?;
        let mut data = vec![0; usize::try_from(segment.file_size.min(MOST_DATA)).ok()?];
        let start = segment.address.wrapping_add(moved);
        memory(start, &mut data).then_some(())?;
        let is_code = |address: u64| {
            let unmoved = address.wrapping_sub(moved);
            file.segments.iter().any(|segment| segment.executable && segment.holds(unmoved))
        };
        let (place, functions) = find(&words_of(&data), &is_code, memory)?;
        Some(Self {
            table: start.wrapping_add(8 * place as u64),
            malloc: functions[0],
            functions: functions.map(|address| address.wrapping_sub(moved)),
        })
    }

    /// Whether they are in place, as far as that can be read.
    #[must_use]
    pub fn are_in_place(&self, memory: Memory<'_>) -> bool {
        let mut word = [0; 8];
        !memory(self.table.wrapping_add(8), &mut word) || u64::from_le_bytes(word) == self.malloc
    }
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).filter_map(|word| word.try_into().ok()).map(u64::from_le_bytes).collect()
}

/// The index of a table with hooks among words of data, and its functions.
fn find(words: &[u64], is_code: &dyn Fn(u64) -> bool, memory: Memory<'_>) -> Option<(usize, [u64; 4])> {
    (0..words.len()).find_map(|place| {
        let table = &words[place..];
        let hooks = functions(table, is_code)?;
        let beside = |apart: &usize| words.get(place + apart..).is_some_and(|other| is_pair(table, other));
        let leads_to_hooked = |offset: &u64| {
            let mut inner = [0; 8 * TABLE_WORDS];
            memory(table[0].wrapping_add(*offset), &mut inner)
                && functions(&words_of(&inner), is_code).is_some_and(|inner| inner != hooks)
        };
        (APART.iter().any(beside) && INNER.iter().any(leads_to_hooked)).then_some((place, hooks))
    })
}

/// The functions of what may be a table: four different ones.
fn functions(table: &[u64], is_code: &dyn Fn(u64) -> bool) -> Option<[u64; 4]> {
    let functions: [u64; 4] = table.get(1..TABLE_WORDS)?.try_into().ok()?;
    (functions.into_iter().all(is_code) && BTreeSet::from(functions).len() == functions.len()).then_some(functions)
}

/// Whether two tables have the same functions for different contexts.
fn is_pair(one: &[u64], other: &[u64]) -> bool {
    let (Some(one), Some(other)) = (one.get(..TABLE_WORDS), other.get(..TABLE_WORDS)) else { return false };
    one[1..] == other[1..] && one[0] != other[0] && one[0] != 0 && other[0] != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: std::ops::Range<u64> = 0x1000..0x2000;
    const START: u64 = 0x10_000;

    fn found(words: &[u64]) -> Option<usize> {
        let memory = |address: u64, bytes: &mut [u8]| {
            let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let from = usize::try_from(address.wrapping_sub(START)).unwrap_or(usize::MAX);
            let part = from.checked_add(bytes.len()).and_then(|end| data.get(from..end));
            part.map(|part| bytes.copy_from_slice(part)).is_some()
        };
        find(words, &|address| CODE.contains(&address), &memory).map(|(place, _)| place)
    }

    /// Hooks of both kinds are found at either distance, whether the table that they stand before is the context or lies
    /// behind a word of it.
    #[test]
    fn hooks_are_found() {
        for (apart, before) in [(5, 0), (8, 1)] {
            let mut words = vec![7; 40];
            words[3..8].copy_from_slice(&[START + 8 * 20, 0x1010, 0x1020, 0x1030, 0x1040]);
            words[3 + apart..8 + apart].copy_from_slice(&[START + 8 * 30, 0x1010, 0x1020, 0x1030, 0x1040]);
            words[20 + before..25 + before].copy_from_slice(&[0, 0x1110, 0x1120, 0x1130, 0x1140]);
            assert_eq!(found(&words), Some(3), "{apart}");
            // The allocator itself, which has no context.
            words[3] = 0;
            assert_eq!(found(&words), None);
        }
    }

    /// Tables that are no allocators are not taken for hooks: other functions, no second table, a context that leads nowhere.
    #[test]
    fn other_tables_are_no_hooks() {
        let mut words = vec![7; 40];
        words[3..8].copy_from_slice(&[START + 8 * 20, 0x1010, 0x1020, 0x1030, 0x1040]);
        words[20..25].copy_from_slice(&[0, 0x1110, 0x1120, 0x1130, 0x1140]);
        assert_eq!(found(&words), None, "no second table");
        words[8..13].copy_from_slice(&[START + 8 * 30, 0x1010, 0x1020, 0x1030, 0x1040]);
        assert_eq!(found(&words), Some(3));
        words[24] = 0x9000;
        assert_eq!(found(&words), None, "the context leads to no table");
        words[24] = 0x1140;
        (words[7], words[12]) = (0x1010, 0x1010);
        assert_eq!(found(&words), None, "one function for two purposes");
    }
}
