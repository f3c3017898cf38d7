//! Where things are in each version of CPython. Up to 3.12 nothing tells but the version's own headers; from 3.13 on the
//! interpreter carries a table of offsets for debuggers (`_Py_DebugOffsets` in `pycore_debug_offsets.h`), which lacks one.
//!
//! The figures are `offsetof` on the headers of 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1, 3.13.0 and 3.14.10, compiled for
//! `x86_64` and aarch64. They differ in what lies behind a mutex of the C library, which is 8 bytes longer on aarch64.

use memtrace_common::python::{FIRST_TRACEABLE, Offsets};

/// Major and minor version, as 3 and 11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u8, pub u8);

/// Offsets in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// In `_PyRuntime`: state of the thread that holds the lock; 0 where it is not used.
    pub current_state: u64,
    /// In `_PyRuntime`: key of each thread's own state.
    pub key: u64,
    /// In `_PyRuntime`: not 0 when the interpreter takes itself apart.
    pub finalizing: u64,
    /// In `_PyRuntime`: first interpreter.
    pub interpreters: u64,
    /// In an interpreter: first thread state.
    pub threads: u64,
    /// In a thread state: its interpreter.
    pub state_interpreter: u64,
    /// What the BPF programs read, too.
    pub offsets: Offsets,
    /// In a code object: its instructions; 0 where they are an object of their own.
    pub code_instructions: u64,
    /// Bytes before the characters of an ASCII text.
    pub text_head: u64,
    /// Bytes more of one that is not ASCII.
    pub text_more: u64,
}

/// To 3.10: frames are objects.
const OBJECTS: Layout = Layout {
    current_state: 568,
    key: 584,
    finalizing: 16,
    interpreters: 32,
    threads: 8,
    state_interpreter: 16,
    offsets: Offsets {
        state_frame: 24,
        step: 0,
        state_thread: 176,
        frame_code: 32,
        frame_previous: 24,
        frame_instruction: 104,
        frame_owner: 0,
        frame_entry: 0,
        code_file: 104,
        code_name: 112,
        code_line: 40,
        code_table: 120,
    },
    code_instructions: 0,
    text_head: 48,
    text_more: 24,
};

/// From 3.11 on: frames lie one behind the other.
const STACKED: Layout = Layout {
    current_state: 576,
    key: 592,
    finalizing: 24,
    interpreters: 40,
    threads: 16,
    state_interpreter: 16,
    offsets: Offsets {
        state_frame: 56,
        step: 8 + 1,
        state_thread: 152,
        frame_code: 32,
        frame_previous: 48,
        frame_instruction: 56,
        frame_owner: 69,
        frame_entry: 68,
        code_file: 112,
        code_name: 128,
        code_line: 72,
        code_table: 136,
    },
    code_instructions: 184,
    text_head: 48,
    text_more: 24,
};

/// From 3.12 on: calls by native code leave marks.
const MARKED: Layout = Layout {
    current_state: 0,
    key: 1544,
    threads: 72,
    offsets: Offsets {
        step: 1,
        state_thread: 136,
        frame_code: 0,
        frame_previous: 8,
        frame_owner: 70,
        frame_entry: 0,
        code_line: 68,
        ..STACKED.offsets
    },
    code_instructions: 192,
    text_head: 40,
    text_more: 16,
    ..STACKED
};

/// Mutexes of glibc are so much longer on aarch64; musl's are as long as on `x86_64`.
const MUTEX: u64 = if cfg!(target_arch = "aarch64") { 16 } else { 0 };

/// The layout of a version that carries no table.
#[must_use]
pub fn known(version: Version) -> Option<Layout> {
    let layout = match version {
        Version(3, 8) => Layout { current_state: 1368, key: 1392, ..OBJECTS },
        Version(3, 9) => OBJECTS,
        Version(3, 10) => Layout { offsets: Offsets { frame_instruction: 96, ..OBJECTS.offsets }, ..OBJECTS },
        Version(3, 11) => STACKED,
        Version(3, 12) => return Some(MARKED),
        _ => return None,
    };
    Some(Layout { current_state: layout.current_state + MUTEX, key: layout.key + MUTEX, ..layout })
}

/// What begins `_PyRuntime` from 3.13 on.
const COOKIE: &[u8] = b"xdebugpy";
/// Bytes of the table that are read.
pub const TABLE_BYTES: usize = 704;

/// Places in the table.
struct Places {
    /// Of `_PyRuntime`: the one that the table lacks.
    key: u64,
    state_interpreter: usize,
    frame: usize,
    code: usize,
    text_head: usize,
}

fn word(table: &[u8], at: usize) -> Option<u64> {
    table.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes)
}

fn is_table_of(version: Version, table: &[u8]) -> bool {
    let has_version = |word: u64| word >> 16 == u64::from(version.0) << 8 | u64::from(version.1);
    table.starts_with(COOKIE) && word(table, 8).is_some_and(has_version)
}

/// Whether an interpreter that carries this table is a build without the global lock.
#[must_use]
pub fn lacks_lock(version: Version, table: &[u8]) -> bool {
    is_table_of(version, table) && word(table, 16).is_some_and(|flag| flag != 0)
}

/// The layout by the table that an interpreter carries.
#[must_use]
pub fn from_table(version: Version, table: &[u8]) -> Option<Layout> {
    let places = match version {
        Version(3, 13) => Places { key: 2160, state_interpreter: 176, frame: 232, code: 280, text_head: 560 },
        Version(3, 14) => Places { key: 2336, state_interpreter: 200, frame: 256, code: 320, text_head: 640 },
        _ => return None,
    };
    let word = |at: usize| word(table, at);
    // Builds without the lock run each thread's own copies of instructions.
    if !is_table_of(version, table) || lacks_lock(version, table) {
        return None;
    }
    let Places { key, state_interpreter, frame, code, text_head } = places;
    let layout = Layout {
        key,
        finalizing: word(32)?,
        interpreters: word(40)?,
        threads: word(72)?,
        state_interpreter: word(state_interpreter)?,
        offsets: Offsets {
            state_frame: word(state_interpreter + 8)?,
            step: 0,
            state_thread: word(state_interpreter + 16)?,
            frame_previous: word(frame)?,
            frame_code: word(frame + 8)?,
            frame_instruction: word(frame + 16)?,
            frame_owner: word(frame + 32)?,
            code_file: word(code)?,
            code_name: word(code + 16)?,
            code_table: word(code + 24)?,
            code_line: word(code + 32)?,
            ..MARKED.offsets
        },
        code_instructions: word(code + 64)?,
        text_head: word(text_head)?,
        ..MARKED
    };
    layout.is_plausible().then_some(layout)
}

impl Layout {
    /// The same of an interpreter that is built for musl.
    #[must_use]
    pub const fn with_musl(&self) -> Self {
        // What lies behind the mutexes is known from a table where there is no state of whoever holds the lock.
        let mutex = if self.current_state == 0 { 0 } else { MUTEX };
        Self { current_state: self.current_state - mutex, key: self.key - mutex, ..*self }
    }

    /// Whether all that BPF reads lies where it can.
    fn is_plausible(&self) -> bool {
        let below = |limit: u64, offsets: &[u64]| offsets.iter().all(|offset| *offset < limit);
        below(1 << 20, &[self.interpreters, self.threads, self.key, self.finalizing])
            && below(176, &[self.state_interpreter, self.offsets.state_frame, self.offsets.state_thread])
            && below(
                112,
                &[
                    self.offsets.frame_previous,
                    self.offsets.frame_code,
                    self.offsets.frame_instruction,
                    self.offsets.frame_owner,
                ],
            )
            && below(
                200,
                &[self.offsets.code_file, self.offsets.code_name, self.offsets.code_table, self.offsets.code_line],
            )
            && (16..=216).contains(&self.code_instructions)
            && (32..=64).contains(&self.text_head)
    }

    /// Bytes of a frame that are looked at.
    #[must_use]
    pub fn frame_length(&self) -> u64 {
        let fields = [
            self.offsets.frame_code,
            self.offsets.frame_previous,
            self.offsets.frame_instruction,
            self.offsets.frame_owner,
            self.offsets.frame_entry,
        ];
        fields.into_iter().max().unwrap_or(0) / 8 * 8 + 8
    }

    /// Bits of the word with a frame's owner that are not 0 when the frame is no plain function's: the owner, and whether native
    /// code has called it. All of them, which is right for any frame, where these lie in two words.
    #[must_use]
    pub fn state_bits(&self) -> u64 {
        let (owner, entry) = (self.offsets.frame_owner, self.offsets.frame_entry);
        let byte = |offset: u64| if offset == 0 { 0 } else { 0xff << (offset % 8 * 8) };
        if entry != 0 && entry / 8 != owner / 8 { u64::MAX } else { byte(owner) | byte(entry) }
    }

    /// Bytes of a code object that are looked at.
    #[must_use]
    pub fn code_length(&self) -> u64 {
        let first = self.code_first_traceable().unwrap_or(0);
        let fields =
            [self.offsets.code_file, self.offsets.code_name, self.offsets.code_line, self.offsets.code_table, first];
        fields.into_iter().max().unwrap_or(0) / 8 * 8 + 8
    }

    /// Whether frames lie one behind the other.
    #[must_use]
    pub const fn is_stacked(&self) -> bool {
        self.code_instructions != 0
    }

    /// In a code object: number of the first instruction that is the program's. Those before it set the frame up. It lies
    /// two words before the instructions; to 3.10 there is none.
    #[must_use]
    pub fn code_first_traceable(&self) -> Option<u64> {
        self.is_stacked().then(|| self.code_instructions - FIRST_TRACEABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of `_PyRuntime` of 3.13.0, with what it says of itself; other versions and builds without the lock are
    /// refused.
    #[test]
    fn table_of_offsets_is_read() {
        let mut table = vec![0; TABLE_BYTES];
        table[..8].copy_from_slice(COOKIE);
        let words = [
            (8, 0x030d_00f0),
            (32, 24),
            (40, 632),
            (72, 7344),
            (176, 16),
            (184, 72),
            (192, 152),
            (232, 8),
            (240, 0),
            (248, 56),
            (264, 70),
            (280, 112),
            (296, 128),
            (304, 136),
            (312, 68),
            (344, 200),
            (560, 40),
        ];
        for (at, word) in words {
            table[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
        }
        let layout = from_table(Version(3, 13), &table).expect("understood");
        let expected = Layout {
            key: 2160,
            interpreters: 632,
            threads: 7344,
            offsets: Offsets { state_frame: 72, step: 0, state_thread: 152, ..MARKED.offsets },
            code_instructions: 200,
            ..MARKED
        };
        assert_eq!(layout, expected);
        assert_eq!((layout.frame_length(), layout.code_first_traceable()), (72, Some(184)));
        assert_eq!(from_table(Version(3, 14), &table), None);
        table[16] = 1;
        assert_eq!(from_table(Version(3, 13), &table), None, "free-threaded");
        assert!(lacks_lock(Version(3, 13), &table) && !lacks_lock(Version(3, 14), &table));
        assert_eq!(from_table(Version(3, 13), b"xdebugpy"), None, "cut short");
    }

    /// Versions that nobody has looked at are not understood.
    #[test]
    fn other_versions_have_no_layout() {
        assert!([Version(3, 7), Version(3, 13), Version(3, 15), Version(2, 7)].iter().all(|v| known(*v).is_none()));
        assert!((8..=12).all(|minor| known(Version(3, minor)).is_some()));
    }

    /// The bits of a frame that are looked at first are those of its owner and of native code having called it; where these are no
    /// neighbours, each frame is looked at as a special one.
    #[test]
    fn special_frames_are_told_by_bits() {
        let bits = |minor: u8| known(Version(3, minor)).map(|layout| layout.state_bits());
        assert_eq!([8, 10, 11, 12].map(bits), [0, 0, 0xffff << 32, 0xff << 48].map(Some));
        let mut layout = known(Version(3, 11)).expect("known");
        layout.offsets.frame_entry = 80;
        assert_eq!(layout.state_bits(), u64::MAX);
    }
}
