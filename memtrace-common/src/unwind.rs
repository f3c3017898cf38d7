//! Unwind tables: for each piece of code, where the caller's frame is. Made by user space from `.eh_frame`, read by the
//! stack walker.
//!
//! A table is a run of 64-bit words in three parts, the first two of 32-bit values, two to a word, the lower first:
//!
//! - The index: for every 2^[`CHUNK_BITS`] bytes of code (a chunk) the number of the first row that begins in it, and
//!   one more, so that the next value tells where a chunk's rows end. The row in force at a chunk's first byte is the
//!   one before its first row, unless that begins there.
//! - The rows, sorted: see [`row`].
//! - The rules, each once, one a word: see [`rule`].
//!
//! Offsets are from the table's base, the lowest mapped address of the file. Row 0 is at offset 0.

/// log2 of the bytes of code behind an index value: a row has eight bits for its place in a chunk.
pub const CHUNK_BITS: u32 = 8;

/// Kinds of rules.
pub mod kind {
    /// No information: code here belongs to no function of the table.
    pub const NONE: u64 = 0;
    /// The caller's frame begins at the stack pointer plus an offset.
    pub const STACK_POINTER: u64 = 1;
    /// The caller's frame begins at the frame pointer plus an offset.
    pub const FRAME_POINTER: u64 = 2;
    /// A PLT stub (`x86_64`): stack pointer + 8, and 8 more from the stub's byte that the extra names.
    pub const PLT: u64 = 3;
    /// The outermost frame: it has no caller.
    pub const OUTERMOST: u64 = 4;
    /// The caller's frame begins at the address stored at frame pointer plus offset, its frame pointer is stored at
    /// the frame pointer (functions that align their stack).
    pub const STORED: u64 = 5;
    /// A signal handler's return: the registers are in the kernel's signal frame at the stack pointer.
    pub const SIGNAL: u64 = 6;
    /// A rule that has no form here.
    pub const UNSUPPORTED: u64 = 7;
    /// The caller's frame begins at the address stored at stack pointer plus offset, plus the extra (cryptographic
    /// functions that align their stack).
    pub const STACK_INDIRECT: u64 = 8;
    /// The caller's frame begins at the address stored at frame pointer plus offset, plus the extra.
    pub const FRAME_INDIRECT: u64 = 9;
    /// Code that nothing describes and that is taken to keep a chain of frame pointers: compiled at run time, or a long
    /// stretch of a file.
    pub const CHAIN: u64 = 10;
    /// Made by the walker, never in a table: there is no rule, and the offset is a constant of [`crate::site::end`].
    pub const ENDED: u64 = 11;
}

/// Packing of a rule: kind (8 bits), extra (8 bits), saved (16 bits), offset in bytes (32 bits, signed).
///
/// Saved is n of "the frame pointer is saved at the caller's frame - 8n", 0 for "unchanged". The return address is at
/// the caller's frame - 8 on `x86_64`; on aarch64 the extra tells: see [`return_address`].
pub mod rule {
    /// Packs a rule; `None` when a part does not fit.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "the bits of an offset that is in range")]
    pub const fn pack(kind: u64, offset: i64, saved: u64, extra: u64) -> Option<u64> {
        if offset < i32::MIN as i64 || offset > i32::MAX as i64 || saved > 0xffff || extra > 0xff {
            return None;
        }
        Some(kind | extra << 8 | saved << 16 | (offset as u64) << 32)
    }

    /// The walker's own "no rule", for a reason of [`crate::site::end`].
    #[must_use]
    pub const fn ended(reason: u64) -> u64 {
        super::kind::ENDED | reason << 32
    }

    /// The kind: a constant of [`super::kind`].
    #[must_use]
    pub const fn kind(rule: u64) -> u64 {
        rule & 0xff
    }

    /// What the kind, or the machine, says of it.
    #[must_use]
    pub const fn extra(rule: u64) -> u64 {
        rule >> 8 & 0xff
    }

    /// Where the frame pointer is saved.
    #[must_use]
    pub const fn saved(rule: u64) -> u64 {
        rule >> 16 & 0xffff
    }

    /// The offset in bytes.
    #[must_use]
    pub const fn offset(rule: u64) -> i64 {
        rule.cast_signed() >> 32
    }
}

/// Where aarch64 code saves the return address (a rule's extra): m of "at the caller's frame - 8m", or one of these.
pub mod return_address {
    /// Nowhere: it is in x30, as in functions that call nobody.
    pub const IN_REGISTER: u64 = 0;
    /// Just above the frame pointer: a frame record.
    pub const BESIDE_FRAME_POINTER: u64 = 255;
}

/// A row: place in its chunk (8 bits) and number of its rule (24 bits).
pub mod row {
    /// Most rules that rows can name.
    pub const MAX_RULES: u32 = 1 << 24;

    /// Packs a row.
    #[must_use]
    pub const fn pack(offset: u32, rule: u32) -> u32 {
        offset << 24 | rule & (MAX_RULES - 1)
    }

    /// Its place in its chunk.
    #[must_use]
    pub const fn place(row: u64) -> u64 {
        row >> 24
    }

    /// The number of its rule.
    #[must_use]
    pub const fn rule(row: u64) -> u64 {
        row & (MAX_RULES as u64 - 1)
    }
}

/// Words of the index of a table with so many chunks: one value more than chunks, two to a word.
#[must_use]
pub const fn index_words(chunks: u64) -> u64 {
    chunks / 2 + 1
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

/// log2 of the places of the walker's cache of rules.
pub const RULE_CACHE_BITS: u32 = 14;

/// Segments that tables lie in; user space makes them as they are needed.
pub const SEGMENTS: u32 = 256;

/// No table: frames there are followed by frame pointer.
pub const NO_TABLE: u32 = u32::MAX;

/// An executable mapping of a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// Number of chunks of code.
    pub chunks: u32,
    /// Word at which the rules begin, counted from `first_word`.
    pub rules: u32,
}

/// Files whose tables are known by the kernel's name of the file.
pub const FILES: u32 = 1 << 13;

/// A file as the kernel names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FileKey {
    /// `super_block.s_dev`: the major number above 20 bits of the minor one (`include/linux/kdev_t.h`).
    pub device: u64,
    /// `inode.i_ino`.
    pub inode: u64,
}

/// The table of a file, wherever it is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct FileRecord {
    /// Added to an address less its offset in the file, it gives [`MappingRecord::base`].
    pub shift: u64,
    /// As in [`MappingRecord`].
    pub segment: u32,
    /// As in [`MappingRecord`].
    pub first_word: u32,
    /// As in [`MappingRecord`].
    pub chunks: u32,
    /// As in [`MappingRecord`].
    pub rules: u32,
}

/// Packs where a process's mappings are: one word, so that a reader sees an old list or a new one whole.
#[must_use]
pub const fn mapping_list(first: u32, count: u32) -> u64 {
    (count as u64) << 32 | first as u64
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for MappingRecord {}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for FileKey {}
#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for FileRecord {}

#[cfg(test)]
mod tests {
    use super::{index_words, kind, row, rule};

    /// Offsets of both signs, and the greatest of each part, come back as they were packed; what does not fit is refused.
    #[test]
    fn rules_are_packed() {
        let cases = [(0, 0, 0), (8, 2, 255), (-8, 1, 7), (i64::from(i32::MAX), 0xffff, 0), (i64::from(i32::MIN), 0, 1)];
        for (offset, saved, extra) in cases {
            let packed = rule::pack(kind::FRAME_POINTER, offset, saved, extra).expect("it fits");
            let unpacked = (rule::kind(packed), rule::offset(packed), rule::saved(packed), rule::extra(packed));
            assert_eq!(unpacked, (kind::FRAME_POINTER, offset, saved, extra));
        }
        for (offset, saved, extra) in [(1 << 31, 0, 0), (-(1 << 31) - 1, 0, 0), (0, 1 << 16, 0), (0, 0, 256)] {
            assert_eq!(rule::pack(kind::STACK_POINTER, offset, saved, extra), None);
        }
        assert_eq!((rule::kind(rule::ended(6)), rule::offset(rule::ended(6))), (kind::ENDED, 6));
    }

    /// A row's parts come back, and an index has room for one value more than there are chunks.
    #[test]
    fn rows_and_index() {
        let packed = u64::from(row::pack(255, row::MAX_RULES - 1));
        assert_eq!((row::place(packed), row::rule(packed)), (255, u64::from(row::MAX_RULES) - 1));
        assert_eq!([1, 2, 3].map(index_words), [1, 2, 2]);
    }
}
