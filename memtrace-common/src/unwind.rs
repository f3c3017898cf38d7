//! Unwind tables: for each piece of code, where the caller's frame is. Made by user space from `.eh_frame`, read by the
//! stack walker.
//!
//! A table is a run of 64-bit words: first an index word for every 2^[`CHUNK_BITS`] bytes of code (number of the first
//! row in the lower half, number of rows that begin later in the chunk in the upper half), then the rows, sorted. A row
//! is the offset of its first byte of code in the upper half and a rule in the lower. Offsets are from the table's
//! base, the lowest mapped address of the file.

/// log2 of the bytes of code behind an index word.
pub const CHUNK_BITS: u32 = 8;

/// Kinds of rules, in the lowest three bits.
pub mod kind {
    /// No information: code here belongs to no function of the table.
    pub const NONE: u32 = 0;
    /// The caller's frame begins at the stack pointer plus an offset.
    pub const STACK_POINTER: u32 = 1;
    /// The caller's frame begins at the frame pointer plus an offset.
    pub const FRAME_POINTER: u32 = 2;
    /// A PLT stub (`x86_64`): stack pointer + 8, and 8 more from the stub's byte that the offset names.
    pub const PLT: u32 = 3;
    /// The outermost frame: it has no caller.
    pub const OUTERMOST: u32 = 4;
    /// The caller's frame begins at the address stored at frame pointer plus offset, its frame pointer is stored at
    /// the frame pointer (functions that align their stack).
    pub const STORED: u32 = 5;
    /// A signal handler's return: the registers are in the kernel's signal frame at the stack pointer.
    pub const SIGNAL: u32 = 6;
    /// A rule that has no form here.
    pub const UNSUPPORTED: u32 = 7;
}

/// Packing of a rule: kind (3 bits), offset / 8 (16 bits, signed), and where the caller's registers are saved.
///
/// `x86_64`: the upper 13 bits are n of "the frame pointer is saved at the caller's frame - 8n", 0 for "unchanged"; the
/// return address is at the caller's frame - 8. aarch64: 7 bits n for the frame pointer, then 6 bits m for the return
/// address at the caller's frame - 8m, 0 for "in x30".
pub mod rule {
    /// Packs a rule; `None` when a part does not fit.
    #[must_use]
    pub const fn pack(kind: u32, offset: i64, saved: u32) -> Option<u32> {
        let eighths = offset / 8;
        if offset % 8 != 0 || eighths < i16::MIN as i64 || eighths > i16::MAX as i64 || saved >> 13 != 0 {
            return None;
        }
        Some(kind | (eighths as u16 as u32) << 3 | saved << 19)
    }

    /// The kind: a constant of [`super::kind`].
    #[must_use]
    pub const fn kind(rule: u32) -> u32 {
        rule & 7
    }

    /// The offset in bytes.
    #[must_use]
    pub const fn offset(rule: u32) -> i64 {
        ((rule >> 3) as u16 as i16) as i64 * 8
    }

    /// Where registers are saved.
    #[must_use]
    pub const fn saved(rule: u32) -> u32 {
        rule >> 19
    }
}

/// Ways to follow a stack.
pub mod mode {
    /// By frame pointers alone.
    pub const FRAME_POINTER: u32 = 0;
    /// By tables, and by frame pointer where a file has none.
    pub const AUTO: u32 = 1;
    /// By tables alone.
    pub const TABLES: u32 = 2;
}

/// Executable mappings of all processes together; a process has a run of them.
pub const MAPPINGS: u32 = 1 << 15;

/// Segments that tables lie in; user space makes them as they are needed.
pub const SEGMENTS: u32 = 256;

/// No table: frames there are followed by frame pointer.
pub const NO_TABLE: u32 = u32::MAX;

/// An executable mapping of a process.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct MappingRecord {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// Address of the table's offset 0.
    pub base: u64,
    /// Segment that the table lies in, or [`NO_TABLE`].
    pub segment: u32,
    /// Word of the segment at which the table begins.
    pub first_word: u32,
    /// Number of index words.
    pub chunks: u32,
    /// Explicit padding.
    pub padding: u32,
}

/// Packs where a process's mappings are: one word, so that a reader sees an old list or a new one whole.
#[must_use]
pub const fn mapping_list(first: u32, count: u32) -> u64 {
    (count as u64) << 32 | first as u64
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for MappingRecord {}
