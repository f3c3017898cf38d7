//! A code object from the copy that BPF has made of it.

use std::{borrow::Cow, mem::offset_of, ops::Range, sync::Arc};

use memtrace_common::python::{BYTES_HEAD, BYTES_LENGTH, CODE_BYTES, CodeRecord, PIECE_HEAD, TEXT_BYTES, mark};

use super::{Interpreter, Version, lines, texts::Shape};

/// Bytes of a line table; those of a file with a hundred thousand lines have some hundred thousand.
const MAX_TABLE: usize = 4 << 20;

/// Reads the process's memory from an address on: as many bytes as there are room for, or not at all.
pub type Memory<'a> = &'a dyn Fn(u64, &mut [u8]) -> bool;

/// What is known of a code object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Code {
    /// File that it was compiled from, as the interpreter has it.
    pub file: Arc<str>,
    /// Its qualified name; to 3.10 the plain one.
    pub name: Arc<str>,
    first_line: i32,
    table: Vec<u8>,
    /// Bytes from its beginning to its instructions.
    instructions: i64,
    /// Number of the first instruction that is the program's own.
    first_traceable: i64,
    version: Version,
}

/// A copied record is no code object: the interpreter is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCode;

/// The number of the code object that a record is of.
#[must_use]
pub fn number(record: &[u8]) -> Option<u32> {
    word32(record, offset_of!(CodeRecord, code))
}

/// Where a record has the object.
const OBJECT: Range<usize> = PIECE_HEAD..PIECE_HEAD + CODE_BYTES;

/// What is where in a code object, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodePlaces {
    /// Bytes that matter.
    pub length: usize,
    /// Place of the pointer to the line table.
    pub table: usize,
    /// Place of the number of the first line.
    pub line: usize,
}

/// The record with its object, which is read where BPF could not, as it was in no memory, or has had no room for it; and with the
/// length of its line table. `None` when the object cannot be read now either, or is another: it is gone.
#[must_use]
pub fn with_object<'a>(record: &'a [u8], places: &CodePlaces, memory: Memory<'_>) -> Option<Cow<'a, [u8]>> {
    let Some(copied) = record.get(OBJECT).filter(|copied| copied.iter().all(|byte| *byte == 0)) else {
        return Some(Cow::Borrowed(record));
    };
    let mut object = copied.to_vec();
    let address = word64(record, offset_of!(CodeRecord, address))?;
    if !memory(address, object.get_mut(..places.length)?) {
        return None;
    }
    let table = word64(&object, places.table)?;
    let expected = word64(record, offset_of!(CodeRecord, table_length))?;
    if expected != 0 && mark(word32(&object, places.line)?.into(), table) != expected {
        return None;
    }
    let mut table_length = [0; 8];
    if !memory(table.wrapping_add(BYTES_LENGTH), &mut table_length) {
        table_length = [0; 8];
    }
    let mut whole = record.to_vec();
    whole[OBJECT].copy_from_slice(&object);
    let place = offset_of!(CodeRecord, table_length);
    whole.get_mut(place..place + 8)?.copy_from_slice(&table_length);
    Some(Cow::Owned(whole))
}

/// More of a line table, behind what has come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Number of the code object.
    pub code: u32,
    offset: u64,
    bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// Of a record that is one.
    #[must_use]
    pub fn of(record: &'a [u8]) -> Option<Self> {
        if word64(record, offset_of!(CodeRecord, address))? != 0 {
            return None;
        }
        let offset = word64(record, offset_of!(CodeRecord, table_length))?;
        Some(Self { code: number(record)?, offset, bytes: record.get(PIECE_HEAD..)? })
    }
}

impl Code {
    /// With a piece more of its line table; `None` where that does not go on from what is known, or is known already.
    #[must_use]
    pub fn with(&self, piece: Piece<'_>) -> Option<Self> {
        let goes_on = piece.offset == self.table.len() as u64 && self.table.len() + piece.bytes.len() <= MAX_TABLE;
        goes_on.then(|| Self { table: [&self.table, piece.bytes].concat(), ..self.clone() })
    }

    /// Of a record.
    ///
    /// # Errors
    /// [`NoCode`].
    pub fn of(record: &[u8], interpreter: &Interpreter, memory: Memory<'_>) -> Result<Self, NoCode> {
        let layout = &interpreter.layout;
        let start = offset_of!(CodeRecord, object);
        let object = record.get(start..start + CODE_BYTES).ok_or(NoCode)?;
        let pointer = |offset: u64| usize::try_from(offset).ok().and_then(|at| word64(object, at)).ok_or(NoCode);
        let number = |offset: u64| usize::try_from(offset).ok().and_then(|at| word32(object, at)).ok_or(NoCode);
        if pointer(8)? != interpreter.code_type {
            return Err(NoCode);
        }
        let text = |at: usize, address: u64| {
            let copied = record.get(at..at + TEXT_BYTES)?;
            read_text(copied, address, interpreter, memory)
        };
        let file = text(offset_of!(CodeRecord, file), pointer(layout.offsets.code_file)?).ok_or(NoCode)?;
        let name = text(offset_of!(CodeRecord, name), pointer(layout.offsets.code_name)?).ok_or(NoCode)?;
        let length = word64(record, offset_of!(CodeRecord, table_length)).ok_or(NoCode)?;
        let copied = record.get(offset_of!(CodeRecord, table)..).unwrap_or_default();
        let table = read_table(copied, length, pointer(layout.offsets.code_table)?, memory);
        let traceable = layout.code_first_traceable().map(number).transpose()?;
        Ok(Self {
            file: file.into(),
            name: name.into(),
            first_line: number(layout.offsets.code_line)?.cast_signed(),
            table,
            instructions: i64::try_from(layout.code_instructions).unwrap_or(0),
            first_traceable: traceable.map_or(i64::MIN, i64::from),
            version: interpreter.version,
        })
    }

    /// The interpreter's number of the instruction in a frame's word.
    fn instruction(&self, word: u32) -> i64 {
        // Before the first one, an offset is less than nothing.
        let word = i64::from(word.cast_signed());
        if self.instructions == 0 { word } else { (word - self.instructions).div_euclid(2) }
    }

    /// Whether a frame is still being set up: it does not count then, as with tracemalloc.
    #[must_use]
    pub fn is_set_up(&self, word: u32) -> bool {
        self.instruction(word) >= self.first_traceable
    }

    /// The line of the instruction in a frame's word; 0 where there is none.
    #[must_use]
    pub fn line(&self, word: u32) -> u32 {
        lines::line(self.version, &self.table, self.first_line, self.instruction(word)).unwrap_or(0)
    }
}

fn read_text(copied: &[u8], address: u64, interpreter: &Interpreter, memory: Memory<'_>) -> Option<String> {
    let layout = &interpreter.layout;
    if let Some(shape) = Shape::of(copied, layout)
        && shape.bytes() <= copied.len()
    {
        return Some(shape.characters(copied));
    }
    // Longer than the copy, or in no memory at that moment. It is constant, and lives as long as its code; what is read must
    // go on where the copy ends.
    let mut head = vec![0; copied.len().min(64)];
    let shape = if memory(address, &mut head) { Shape::of(&head, layout) } else { Shape::of(copied, layout) }?;
    let mut whole = vec![0; shape.bytes()];
    let beginning = shape.characters(copied);
    if memory(address, &mut whole) && Shape::of(&whole, layout) == Some(shape) {
        let text = shape.characters(&whole);
        // Of a text that could not be copied, the copy is what was there before.
        if Shape::of(copied, layout).is_none() || text.starts_with(&beginning) {
            return Some(text);
        }
    }
    Some(beginning)
}

fn read_table(copied: &[u8], length: u64, address: u64, memory: Memory<'_>) -> Vec<u8> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let mut table = copied[..copied.len().min(length)].to_vec();
    if table.len() < length && length <= MAX_TABLE {
        let mut whole = vec![0; length];
        // What has been copied must still be there.
        if memory(address.wrapping_add(BYTES_HEAD), &mut whole) && whole.starts_with(&table) {
            table = whole;
        }
    }
    table
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_ne_bytes(*word))
}

fn word32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(table: &[u8]) -> Code {
        Code {
            file: "a.py".into(),
            name: "f".into(),
            first_line: 1,
            table: table.to_vec(),
            instructions: 0,
            first_traceable: 0,
            version: Version(3, 11),
        }
    }

    fn record(offset: u64, bytes: &[u8]) -> Vec<u8> {
        // Number and slot in one word, no address, the place.
        let mut record: Vec<u8> = [7, 0, offset].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
        assert_eq!(record.len(), PIECE_HEAD);
        record.extend_from_slice(bytes);
        record
    }

    /// An object that BPF could not read is read from the process, with the length of its line table; one that is gone is told.
    #[test]
    fn objects_in_no_memory_are_read_later() {
        let mut empty: Vec<u8> = [7, 0x1000, 0].iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
        empty.resize(size_of::<CodeRecord>(), 0);
        let memory = |address: u64, bytes: &mut [u8]| {
            match address {
                // The object: its table is at 0x2000.
                0x1000 => bytes.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&0x2000_u64.to_ne_bytes())),
                0x2010 => bytes.copy_from_slice(&9_u64.to_ne_bytes()),
                _ => return false,
            }
            true
        };
        let places = CodePlaces { length: 16, table: 8, line: 4 };
        let whole = with_object(&empty, &places, &memory).expect("it is there");
        assert_eq!(word64(&whole, offset_of!(CodeRecord, table_length)), Some(9));
        assert_eq!(word64(&whole, OBJECT.start + 8), Some(0x2000));
        assert_eq!(word64(&whole, OBJECT.start + 16), Some(0), "no more than was asked for");
        assert_eq!(with_object(&empty, &places, &|_, _| false), None);
        let again = with_object(&whole, &places, &|_, _| false);
        assert_eq!(again.as_deref(), Some(&*whole), "what is there is not read again");
        assert_eq!(with_object(&empty, &CodePlaces { length: CODE_BYTES + 1, ..places }, &memory), None);
        // Its first line is 0: the upper half of the first word.
        for (expected, is_it) in [(mark(0, 0x2000), true), (mark(1, 0x2000), false)] {
            empty[offset_of!(CodeRecord, table_length)..][..8].copy_from_slice(&expected.to_ne_bytes());
            assert_eq!(with_object(&empty, &places, &memory).is_some(), is_it);
        }
    }

    /// Pieces make a line table longer where it ends; what does not go on from there, or is no piece, is left out.
    #[test]
    fn line_tables_come_in_pieces() {
        let first = record(3, &[4, 5]);
        let piece = Piece::of(&first).expect("a piece");
        assert_eq!(piece.code, 7);
        let longer = code(&[1, 2, 3]).with(piece).expect("it goes on");
        assert_eq!(longer.table, [1, 2, 3, 4, 5]);
        assert_eq!(longer.with(piece), None);
        assert_eq!(code(&[1]).with(piece), None);
        assert_eq!(Piece::of(&first[..20]), None);
    }
}
