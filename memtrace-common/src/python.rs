//! Frames of CPython: where they are in a process, and what BPF tells user space of them.
//!
//! A stack of a thread that runs Python has, behind its return addresses, a word for each frame of the interpreter,
//! innermost first: see [`frame`]. User space puts them where the interpreter's loop is on the native stack. A word names
//! its code object by a number, which is given when the object is first seen and never again: objects are freed, and their
//! addresses used anew. With the number, a copy of the object goes to user space ([`CodeRecord`]), as later it may be gone.

/// Bytes that are copied of a code object.
pub const CODE_BYTES: usize = 208;
/// Bytes that are copied of a text: its head and some 280 characters.
pub const TEXT_BYTES: usize = 328;
/// The same where more cannot be read: the text lies at the end of what is mapped.
pub const SHORT_TEXT_BYTES: usize = 104;
/// Bytes of a line table that go with the object; longer ones follow in pieces.
pub const TABLE_BYTES: usize = 3072;
/// Bytes before the content of a `bytes` object, and the place of its length therein.
pub const BYTES_HEAD: u64 = 32;
/// See [`BYTES_HEAD`].
pub const BYTES_LENGTH: u64 = 16;

/// Bytes of the ring buffer that the copies go through.
pub const RING_BYTES: u32 = 4 << 20;

/// log2 of the buckets in the table of code objects that have been seen.
pub const CODE_BUCKET_BITS: u32 = 16;
/// Code objects in a bucket: one cache line. One that is crowded out gets another number, and another copy.
pub const BUCKET_CODES: usize = 4;

/// Bytes of the frame stack that are read at once, at most.
pub const WINDOW_BYTES: usize = 4096;
/// What is looked at of a frame lies in so many bytes.
pub const FRAME_BYTES: usize = 128;

/// Bytes before the instructions of a code object where the number of its first one is that is the program's: those before it
/// set the frame up. From 3.11 on.
pub const FIRST_TRACEABLE: u64 = 16;

/// Where the walker finds things. In bytes from the beginning of what a field is named after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Offsets {
    /// In a thread state: its innermost frame, or a pointer to what holds that.
    pub state_frame: u64,
    /// Offset of the frame in what that pointer leads to, plus 1; 0 without such a step.
    pub step: u64,
    /// In a thread state: the thread's id.
    pub state_thread: u64,
    /// In a frame: its code object.
    pub frame_code: u64,
    /// In a frame: the frame that called.
    pub frame_previous: u64,
    /// In a frame: the instruction.
    pub frame_instruction: u64,
    /// In a frame: a byte, whose the frame is; 0 without.
    pub frame_owner: u64,
    /// In a frame: a byte, whether native code called it; 0 without.
    pub frame_entry: u64,
    /// In a code object: its file.
    pub code_file: u64,
    /// In a code object: its name.
    pub code_name: u64,
    /// In a code object: its first line.
    pub code_line: u64,
    /// In a code object: its line table.
    pub code_table: u64,
}

/// What the walker needs to know of an interpreter. Offsets and lengths in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PythonRecord {
    /// Address of the pointer to the state of the thread that holds the lock (to 3.11); 0 without.
    pub current_state: u64,
    /// Address of the key of the thread's own state: an int that is not 0 once there is one, and the key.
    pub key: u64,
    /// Offset in the kernel's `task_struct` of the thread pointer.
    pub thread_pointer: u64,
    /// What the thread's id, as the C library has it, lies below the thread pointer.
    pub thread_below: u64,
    /// Offset from the thread's id to its values by key, of which 32 follow each other: pairs of words, the value second.
    /// With `values_behind`, to a pointer to all of them, a word each.
    pub values: u64,
    /// See `values`; 0 or 1.
    pub values_behind: u64,
    /// What lies where in the interpreter's objects.
    pub offsets: Offsets,
    /// Bytes of a frame that are read, a multiple of 8 up to [`FRAME_BYTES`].
    pub frame_length: u64,
    /// Bytes that are read at once, where frames lie one behind the other; a multiple of 8 up to [`WINDOW_BYTES`].
    pub window: u64,
    /// Offset in a frame of the word that has owner and entry.
    pub frame_state: u64,
    /// Bits of that word that are 0 in a frame of a plain function that Python code has called.
    pub state_bits: u64,
    /// Owners from this one on are no frames but marks that native code has called.
    pub first_mark: u64,
    /// Where the instructions begin in a code object, and a frame's instruction is an address; 0 where they are an object of their
    /// own, and it is a number (to 3.10).
    pub instructions: u64,
    /// Not 0: frees of code objects are not seen, so of the innermost frame more than the address is compared.
    pub check_innermost: u64,
    /// Bytes of a code object that are read, a multiple of 8 up to [`CODE_BYTES`]: behind a small one, at the end of the
    /// heap, there may be no memory yet.
    pub code_length: u64,
    /// Address of a word that is not 0 from when the interpreter takes itself apart; 0 when recording goes on then.
    pub finalizing: u64,
    /// Bytes that were live when the interpreter began with its program, plus 1, as BPF has found them; 0 when that was not seen.
    pub began: u64,
}

/// The word of a frame: number of its code object (24 bits; 0 when it is not known), its instruction as an offset (32 bits),
/// and what kind of frame it is.
pub mod frame {
    /// Set in every word. No return address in user space has it.
    const TAG: u64 = 1 << 63;
    /// Native code has called the frame (3.11).
    pub const ENTRY: u64 = 1 << 62;
    /// No frame, but the mark that native code has called the one before (from 3.12 on).
    pub const MARK: u64 = 1 << 61;
    /// The frame is a generator's.
    pub const GENERATOR: u64 = 1 << 60;
    /// The lowest bit that says what kind of frame it is.
    pub const ANY_FLAG: u64 = GENERATOR;
    /// Numbers of code objects are below this.
    pub const CODES: u64 = 1 << 24;

    /// Packs a word; `flags` are constants of this module.
    #[must_use]
    #[inline]
    pub const fn pack(code: u64, instruction: u64, flags: u64) -> u64 {
        TAG | flags | (code & (CODES - 1)) << 32 | instruction & 0xffff_ffff
    }

    /// Number of the code object.
    #[must_use]
    pub const fn code(word: u64) -> u32 {
        (word >> 32 & (CODES - 1)) as u32
    }

    /// The instruction: from the beginning of the code object in bytes, or a number (to 3.10).
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    pub const fn instruction(word: u64) -> u32 {
        word as u32
    }
}

/// What a process record says of its interpreter, in one word: where its [`PythonRecord`] is, and a number that no other
/// process has had. What is known of code objects belongs to that number: a forked child has its parent's, and from then on
/// its own.
pub mod interpreter {
    /// Packs a word. `slot` is where the process has begun, and the index of its record; `serial` is its number.
    #[must_use]
    #[inline]
    pub const fn pack(slot: u32, serial: u32) -> u64 {
        (serial as u64) << 32 | slot as u64
    }

    /// Index of the record; 0 when there is none, as slot 0 is never used.
    #[must_use]
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    pub const fn slot(word: u64) -> u32 {
        word as u32
    }
}

/// A code object, copied when it was first seen. The line table may have fewer bytes than the record has room for.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct CodeRecord {
    /// Its number.
    pub code: u32,
    /// Slot in which the process has begun.
    pub slot: u32,
    /// Its address.
    pub address: u64,
    /// Bytes of its line table; where the object is zero, its [`mark`], or 0 when that is not known.
    pub table_length: u64,
    /// The object; zero where it could not be read.
    pub object: [u64; CODE_BYTES / 8],
    /// The text with the file's name; zero where it could not be read.
    pub file: [u64; TEXT_BYTES / 8],
    /// The text with the function's name; zero where it could not be read.
    pub name: [u64; TEXT_BYTES / 8],
    /// The line table.
    pub table: [u64; TABLE_BYTES / 8],
}

/// Bytes of a [`CodeRecord`] before [`CodeRecord::object`]. A line table that is longer than a record goes on in pieces: such
/// a head, whose `address` is 0 and whose `table_length` is the place of the piece in the table, and bytes up to
/// [`PIECE_BYTES`].
pub const PIECE_HEAD: usize = core::mem::offset_of!(CodeRecord, object);

/// Bytes of a line table that a piece has at most.
pub const PIECE_BYTES: usize = size_of::<CodeRecord>() - PIECE_HEAD;

/// Pieces of a line table at most: a module of fifty thousand lines has as many.
pub const PIECES: u32 = 128;

/// A code object for which the ring had no room: user space reads it from the process.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct LateCode {
    /// Its address.
    pub address: u64,
    /// Its [`mark`].
    pub mark: u64,
    /// In the lower half its number, above it the slot in which the process has begun. 0: there is none here. Written last by BPF
    /// programs, and made 0 by user space alone.
    pub code_and_slot: u64,
}

/// Code objects at most for which the ring has had no room, until user space takes them.
pub const LATE_CODES: u32 = 1 << 13;

/// What is compared of a code object besides its address: from its first line and the address of its line table.
#[must_use]
#[inline]
pub const fn mark(first_line: u64, table: u64) -> u64 {
    ((first_line & 0xffff_ffff).wrapping_mul(0x9e37_79b9) ^ table) & 0xff_ffff_ffff
}

/// Known code objects that share a place in the table: the key mixed with the value, and the value.
pub type Bucket = [[u64; 2]; BUCKET_CODES];

/// log2 of the counters of generations.
pub const GENERATION_BITS: u32 = 17;

/// How often code objects have become unknown, by a part of their keys. There are many more counters than objects: when one rises,
/// the stacks of all objects that share it become new ones.
pub type Generations = [u64; 1 << GENERATION_BITS];

/// Indexes into the map `PYTHON_NUMBERS`.
pub mod numbers {
    /// Number of the last code object, which is counted on when all numbers have been given.
    pub const LAST_CODE: u32 = 0;
    /// Number of the last forked child with an interpreter.
    pub const LAST_FORK: u32 = 1;
    /// Places for a [`super::LateCode`] that have been given.
    pub const LATE_BEGUN: u32 = 2;
    /// Of those, the ones that have been written to.
    pub const LATE_WRITTEN: u32 = 3;
    /// How many there are.
    pub const COUNT: u32 = 4;
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for PythonRecord {}

#[cfg(test)]
mod tests {
    use super::frame;

    /// Parts of a word come back as they were packed, and what does not fit takes no other part's place.
    #[test]
    fn frames_are_packed() {
        let word = frame::pack(0xab_cdef, 0xffff_ffff, frame::MARK);
        assert_eq!((frame::code(word), frame::instruction(word)), (0xab_cdef, u32::MAX));
        assert_eq!(word & (frame::ENTRY | frame::MARK | frame::GENERATOR), frame::MARK);
        let word = frame::pack(frame::CODES + 1, 1 << 32 | 7, 0);
        assert_eq!((frame::code(word), frame::instruction(word)), (1, 7));
    }
}
