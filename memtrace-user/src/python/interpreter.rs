//! An interpreter in a process.

use std::{ops::Range, sync::Arc};

use memtrace_common::python::{PythonRecord, WINDOW_BYTES};

use super::{
    PythonFile, Rule, ThreadValues, Version,
    copied::{CodePlaces, Memory},
    layout::Layout,
};
use crate::profile::ModuleId;

/// What is mapped of an interpreter's file.
#[derive(Debug, Clone, Copy)]
pub struct Mapped {
    /// The file.
    pub module: ModuleId,
    /// An address of it, and the place in the file that is there.
    pub start: u64,
    /// See `start`.
    pub file_offset: u64,
}

/// An interpreter. Addresses are those in the process.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// Its file.
    pub module: ModuleId,
    /// The file's path, for messages.
    pub path: Arc<str>,
    /// Its version.
    pub version: Version,
    pub(super) layout: Layout,
    runtime: u64,
    pub(super) code_type: u64,
    eval: Vec<Range<u64>>,
}

/// What a look at an interpreter has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing: it has not begun.
    NotBegun,
    /// It is as its layout says.
    Understood,
    /// It is not, or is just beginning.
    Strange,
}

/// States of threads that a check looks at.
const MAX_STATES: usize = 4096;

/// Bits of addresses in user space: 48 on aarch64, fewer on `x86_64`.
const USER_BITS: u32 = 48;

impl Interpreter {
    /// The interpreter of a file that is mapped, with the C library that keeps values so; `None` when the mapping is not one of
    /// its segments.
    #[must_use]
    pub fn of(file: &PythonFile, mapped: Mapped, values: ThreadValues) -> Option<Self> {
        let PythonFile { path, version, layout, runtime, code_type, segments, eval, .. } = file;
        let holds = |offset: u64, size: u64| {
            // A mapping begins at a page's border, a little before its segment.
            mapped.file_offset + 0xffff >= offset && mapped.file_offset < offset.saturating_add(size)
        };
        let segment = segments.iter().find(|segment| segment.executable && holds(segment.offset, segment.file_size))?;
        let unmoved = segment.address.wrapping_add(mapped.file_offset).wrapping_sub(segment.offset);
        let moved = mapped.start.wrapping_sub(unmoved);
        Some(Self {
            module: mapped.module,
            path: Arc::clone(path),
            version: *version,
            layout: if values.are_behind { layout.with_musl() } else { *layout },
            runtime: runtime.wrapping_add(moved),
            code_type: code_type.wrapping_add(moved),
            eval: eval.clone(),
        })
    }

    /// What its addresses differ by from those in its file.
    pub(super) const fn moved_from(&self, file: &PythonFile) -> u64 {
        self.runtime.wrapping_sub(file.runtime)
    }

    /// What the BPF programs need to know. `thread_pointer` is where the kernel's `task_struct` has it;
    /// `sees_frees` says whether code objects are blocks of their own, whose frees are seen; `to_its_end`, whether recording
    /// goes on when the interpreter takes itself apart.
    #[must_use]
    pub fn record(
        &self,
        thread_pointer: u64,
        values: ThreadValues,
        sees_frees: bool,
        to_its_end: bool,
    ) -> PythonRecord {
        let layout = &self.layout;
        let frame_length = layout.frame_length();
        PythonRecord {
            current_state: if layout.current_state == 0 { 0 } else { self.runtime + layout.current_state },
            key: self.runtime + layout.key,
            thread_pointer,
            thread_below: values.below,
            values: values.values,
            values_behind: u64::from(values.are_behind),
            offsets: layout.offsets,
            frame_length,
            window: if layout.is_stacked() { WINDOW_BYTES as u64 } else { frame_length },
            frame_state: layout.offsets.frame_owner & !7,
            state_bits: layout.state_bits(),
            first_mark: 3,
            instructions: layout.code_instructions,
            check_innermost: u64::from(!sees_frees),
            code_length: layout.code_length(),
            finalizing: if to_its_end { 0 } else { self.runtime + layout.finalizing },
            began: 0,
        }
    }

    /// Looks whether a running interpreter is as its layout says: a key for thread states, and states of the first
    /// interpreter that name it and a thread.
    #[must_use]
    pub fn check(&self, memory: Memory<'_>) -> Check {
        match self.has_understood_states(memory) {
            Some(true) => Check::Understood,
            None if !self.has_begun(memory) => Check::NotBegun,
            _ => Check::Strange,
        }
    }

    /// What is where in a code object.
    pub(super) fn code_places(&self) -> CodePlaces {
        let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let offsets = &self.layout.offsets;
        CodePlaces {
            length: place(self.layout.code_length()),
            table: place(offsets.code_table),
            line: place(offsets.code_line),
        }
    }

    /// Whether there is any interpreter.
    fn has_begun(&self, memory: Memory<'_>) -> bool {
        let mut word = [0; 8];
        memory(self.runtime + self.layout.interpreters, &mut word) && word != [0; 8]
    }

    /// `None` when it has no states yet.
    fn has_understood_states(&self, memory: Memory<'_>) -> Option<bool> {
        let word = |address: u64| {
            let mut bytes = [0; 8];
            memory(address, &mut bytes).then(|| u64::from_ne_bytes(bytes))
        };
        let layout = &self.layout;
        let key = word(self.runtime + layout.key)?;
        let interpreter = word(self.runtime + layout.interpreters)?;
        let (has_key, key) = (key & 0xffff_ffff, key >> 32);
        if has_key == 0 && interpreter == 0 {
            return None;
        }
        let mut state = word(interpreter + layout.threads).filter(|state| *state != 0)?;
        let mut known = 0;
        // The next one's place: the second word of a state, in every version.
        while state != 0 && known < MAX_STATES {
            let names = word(state + layout.state_interpreter) == Some(interpreter);
            let has_thread = word(state + layout.offsets.state_thread).is_some_and(|thread| thread >> USER_BITS == 0);
            if !names || !has_thread {
                return Some(false);
            }
            known += 1;
            state = word(state + 8).unwrap_or(0);
        }
        Some(has_key == 1 && key < 1024)
    }

    /// Whether a place in the interpreter's file is in its loop.
    #[must_use]
    pub fn is_loop(&self, file_offset: u64) -> bool {
        self.eval.iter().any(|range| range.contains(&file_offset))
    }

    /// Which frames a call of the loop runs.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        Rule::of(self.version)
    }
}
