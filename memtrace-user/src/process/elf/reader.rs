//! Bounded reads from a file that may lie about itself and may change while it is read.

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use object::LittleEndian as LE;
use object::elf;
use object::pod::{self, Pod};

use super::ElfProblem;

/// An open file; `path` is for messages.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) path: PathBuf,
    file: File,
    length: u64,
}

impl Reader {
    pub(super) fn new(file: File) -> Result<Self, ElfProblem> {
        let metadata = file.metadata().map_err(ElfProblem::Io)?;
        // Reading a device or a pipe could wait for ever.
        if !metadata.is_file() {
            return Err(ElfProblem::NotElf);
        }
        Ok(Self { path: PathBuf::new(), file, length: metadata.len() })
    }

    /// Exactly `length` bytes at `offset`.
    pub(super) fn bytes(
        &self,
        offset: u64,
        length: usize,
        limit: usize,
        part: &'static str,
    ) -> Result<Vec<u8>, ElfProblem> {
        self.check(offset, length, 1, limit, part)?;
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes, part)?;
        Ok(bytes)
    }

    /// At most `length` bytes at `offset`: fewer where the file ends.
    pub(super) fn up_to(&self, offset: u64, length: usize) -> Result<Vec<u8>, ElfProblem> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = length.min(left);
        self.bytes(offset, length, length, "contents")
    }

    /// One structure at `offset`.
    pub(super) fn one<T: Pod>(&self, offset: u64, part: &'static str) -> Result<T, ElfProblem> {
        self.many(offset, 1, 1, part)?.into_iter().next().ok_or(ElfProblem::Malformed(part))
    }

    /// `count` structures, one after the other, at `offset`.
    pub(super) fn many<T: Pod>(
        &self,
        offset: u64,
        count: usize,
        limit: usize,
        part: &'static str,
    ) -> Result<Vec<T>, ElfProblem> {
        self.check(offset, count, size_of::<T>(), limit, part)?;
        // Words, because the structures need their alignment and bytes would not promise it.
        let mut words = vec![0u64; (count * size_of::<T>()).div_ceil(size_of::<u64>())];
        let bytes = pod::bytes_of_slice_mut(&mut words);
        self.fill(offset, &mut bytes[..count * size_of::<T>()], part)?;
        let (structures, _) = pod::slice_from_bytes(bytes, count).map_err(|()| ElfProblem::Malformed(part))?;
        Ok(structures.to_vec())
    }

    /// Refuses what lies outside the file or is more than `limit` items, before memory is taken for it.
    fn check(
        &self,
        offset: u64,
        count: usize,
        item: usize,
        limit: usize,
        part: &'static str,
    ) -> Result<(), ElfProblem> {
        if count > limit {
            return Err(ElfProblem::TooLarge { part, size: count as u64, limit: limit as u64 });
        }
        let end = (count as u64).checked_mul(item as u64).and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > self.length) { Err(ElfProblem::Malformed(part)) } else { Ok(()) }
    }

    fn fill(&self, offset: u64, bytes: &mut [u8], part: &'static str) -> Result<(), ElfProblem> {
        self.file.read_exact_at(bytes, offset).map_err(|error| match error.kind() {
            // The file was cut short after its length was taken.
            ErrorKind::UnexpectedEof => ElfProblem::Malformed(part),
            _ => ElfProblem::Io(error),
        })
    }
}

/// The path that `bytes` hold up to the first zero.
pub(super) fn path(bytes: &[u8]) -> PathBuf {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    PathBuf::from(OsStr::from_bytes(&bytes[..end]))
}

/// The build id among `notes`, of which each part is aligned to 4 bytes, or to 8 when the segment is.
pub(super) fn build_id(mut notes: &[u8], align: u64) -> Option<&[u8]> {
    let align = if align == 8 { 8 } else { 4 };
    loop {
        let word = |at: usize| notes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        let (name, length, kind) = (word(0)? as usize, word(4)? as usize, word(8)?);
        let header = size_of::<elf::NoteHeader64<LE>>();
        let start = header.checked_add(name)?.checked_next_multiple_of(align)?;
        let end = start.checked_add(length)?;
        let value = notes.get(start..end)?;
        if kind == elf::NT_GNU_BUILD_ID && notes.get(header..header + name) == Some(b"GNU\0") {
            return Some(value);
        }
        notes = notes.get(end.checked_next_multiple_of(align)?..)?;
    }
}
