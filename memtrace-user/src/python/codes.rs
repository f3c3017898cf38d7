//! The code objects of one interpreter, and the lines that frames are at.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use memtrace_common::python::frame;

use super::{
    Interpreter,
    copied::{Code, Memory, Piece, number, with_object},
};
use crate::profile::{Frame, SourceLine};

/// Lines that are kept apart at most; beyond, all count as one.
const MAX_LINES: usize = 1 << 22;

/// What a frame's word stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// A line, by its number.
    Line(u64),
    /// A frame that is being set up: it does not count.
    Incomplete,
}

/// Code objects by their number, and lines by theirs.
#[derive(Debug, Default)]
pub struct Codes {
    /// Of this part of the session, of the one before, and of that before.
    by_number: [HashMap<u32, Arc<Code>>; 3],
    /// Objects of one content, as a module that is loaded again has, are kept once.
    contents: HashSet<Arc<Code>>,
    files: HashSet<Arc<str>>,
    numbers: HashMap<(Arc<str>, Arc<str>, u32), u64>,
    lines: Vec<Frame>,
}

impl Codes {
    /// Takes in a record of the BPF programs. Returns whether it is one of a code object.
    pub fn add(&mut self, record: &[u8], interpreter: &Interpreter, memory: Memory<'_>) -> bool {
        if let Some(piece) = Piece::of(record) {
            self.extend(piece);
            return true;
        }
        let Some(number) = number(record) else { return false };
        // One that is gone stays unknown, and so does what has come in its place.
        let Some(record) = with_object(record, &interpreter.code_places(), memory) else { return true };
        let Ok(mut code) = Code::of(&record, interpreter, memory) else { return matches!(record, Cow::Owned(_)) };
        code.file = self.shared(code.file);
        self.keep(number, code);
        true
    }

    /// No number that was given before the last two times is met any more: what has them is forgotten.
    pub fn begin_part(&mut self) {
        self.by_number.rotate_right(1);
        self.by_number[0] = HashMap::new();
        self.contents.retain(|code| Arc::strong_count(code) > 1);
    }

    fn code(&self, number: u32) -> Option<&Arc<Code>> {
        self.by_number.iter().find_map(|part| part.get(&number))
    }

    fn extend(&mut self, piece: Piece<'_>) {
        if let Some(code) = self.code(piece.code).and_then(|code| code.with(piece)) {
            self.keep(piece.code, code);
        }
    }

    fn keep(&mut self, number: u32, code: Code) {
        let code = Arc::new(code);
        let code = self.contents.get(&code).map_or(code, Arc::clone);
        self.contents.insert(Arc::clone(&code));
        if let Some(before) = self.by_number[0].insert(number, code)
            && Arc::strong_count(&before) == 2
        {
            // Its beginning, as it was known until now, or an object that has had the number: in nobody's use any more.
            self.contents.remove(&before);
        }
    }

    fn shared(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(known) = self.files.get(&text) {
            return Arc::clone(known);
        }
        self.files.insert(Arc::clone(&text));
        text
    }

    /// What a frame's word stands for.
    pub fn line(&mut self, word: u64) -> Known {
        let Some(code) = self.code(frame::code(word)).cloned() else { return Known::Line(0) };
        let instruction = frame::instruction(word);
        if word & frame::GENERATOR == 0 && !code.is_set_up(instruction) {
            return Known::Incomplete;
        }
        let line = code.line(instruction);
        let key = (Arc::clone(&code.file), Arc::clone(&code.name), line);
        if let Some(known) = self.numbers.get(&key) {
            return Known::Line(*known);
        }
        if self.lines.len() >= MAX_LINES {
            return Known::Line(0);
        }
        let source = Some(SourceLine { file: Arc::clone(&code.file), line });
        self.lines.push(Frame { function: Some(Arc::clone(&code.name)), source, inlined: false });
        let number = self.lines.len() as u64;
        self.numbers.insert(key, number);
        Known::Line(number)
    }

    /// The frame of a line; `None` for number 0, which stands for code that is not known.
    #[must_use]
    pub fn frame(&self, number: u64) -> Option<&Frame> {
        usize::try_from(number).ok().and_then(|number| self.lines.get(number.checked_sub(1)?))
    }
}
