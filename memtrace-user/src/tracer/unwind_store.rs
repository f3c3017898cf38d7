//! Unwind tables and mapping lists in BPF maps; see `memtrace_common::unwind` for the layout.
//!
//! Tables are copied into shared memory, one segment (an array map) for all tables of one call: the kernel takes some
//! ten milliseconds to take in a segment, however large. A file's table is kept once, for whichever processes map it.

use std::{
    collections::HashMap,
    io,
    mem::offset_of,
    os::fd::{AsFd as _, OwnedFd},
};

use memtrace_common::{
    process::ProcessRecord,
    unwind::{CHUNK_BITS, MAPPINGS, MappingRecord, NO_TABLE, SEGMENTS, mapping_list},
};

use super::{mapped::MappedArray, stack_copy::FoundRule, syscall};
use crate::{process::elf::Segment, unwind::UnwindTable};

/// A file, by device and inode.
pub type FileId = (u64, u64);

/// An executable mapping of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeMapping {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// Offset in the file of the first address.
    pub file_offset: u64,
    /// The file; `None` for code without one.
    pub file: Option<FileId>,
}

/// A file's table, ready to be stored.
#[derive(Debug)]
pub struct FileTable {
    /// The file.
    pub file: FileId,
    /// Where the file is mapped: from places in it to addresses before relocation.
    pub segments: Vec<Segment>,
    /// Its table; `None` when it has no unwind information.
    pub table: Option<UnwindTable>,
}

/// Where a file's table is.
#[derive(Debug)]
struct Stored {
    segments: Vec<Segment>,
    base: u64,
    segment: u32,
    first_word: u32,
    chunks: u32,
}

/// The maps, and what is in them.
#[derive(Debug)]
pub struct UnwindStore {
    outer: OwnedFd,
    mappings: MappedArray<MappingRecord>,
    processes: MappedArray<ProcessRecord>,
    segments: Vec<(OwnedFd, MappedArray<u64>)>,
    files: HashMap<FileId, Stored>,
    /// What was published last, by process slot.
    published: HashMap<u32, Vec<MappingRecord>>,
    next_mapping: u32,
    generation: u32,
}

impl UnwindStore {
    /// With nothing stored.
    #[must_use]
    pub fn new(outer: OwnedFd, mappings: MappedArray<MappingRecord>, processes: MappedArray<ProcessRecord>) -> Self {
        let (segments, files, published) = Default::default();
        Self { outer, mappings, processes, segments, files, published, next_mapping: 0, generation: 0 }
    }

    /// Whether a file's table is stored, or is known not to exist.
    #[must_use]
    pub fn knows(&self, file: FileId) -> bool {
        self.files.contains_key(&file)
    }

    /// Bytes of all maps that this process sees as memory.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.bytes() + self.mappings.bytes() + self.processes.bytes()
    }

    /// Bytes of kernel memory in segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|(_, memory)| memory.bytes()).sum()
    }

    /// Stores tables; those of files that are known already are passed over.
    ///
    /// # Errors
    /// When the kernel makes no map: the files then count as without unwind information.
    pub fn add(&mut self, tables: Vec<FileTable>) -> io::Result<()> {
        let fresh: Vec<FileTable> = tables.into_iter().filter(|table| !self.knows(table.file)).collect();
        let words: usize = fresh.iter().filter_map(|file| file.table.as_ref()).map(|table| table.words.len()).sum();
        let segment = if words == 0 { Ok(NO_TABLE) } else { self.add_segment(words) };
        let mut next = 0;
        for file in fresh {
            let stored = match (&segment, &file.table) {
                (Ok(segment), Some(table)) => {
                    let first_word = next;
                    next += self.copy(*segment, first_word, &table.words);
                    Stored {
                        segments: file.segments,
                        base: table.base,
                        segment: *segment,
                        first_word,
                        chunks: table.chunks,
                    }
                }
                _ => Stored { segments: file.segments, base: 0, segment: NO_TABLE, first_word: 0, chunks: 0 },
            };
            self.files.insert(file.file, stored);
        }
        if let Ok(segment) = segment
            && let Some((map, _)) = self.segments.get(segment as usize)
        {
            syscall::set_inner_map(self.outer.as_fd(), segment, map.as_fd())?;
        }
        segment.map(drop)
    }

    fn add_segment(&mut self, words: usize) -> io::Result<u32> {
        let index = u32::try_from(self.segments.len()).map_err(io::Error::other)?;
        if index >= SEGMENTS {
            return Err(io::Error::other("no room for more unwind tables"));
        }
        let entries = u32::try_from(words).map_err(io::Error::other)?;
        let map = syscall::create_segment(8, entries)?;
        let memory = MappedArray::new(&map, entries)?;
        self.segments.push((map, memory));
        Ok(index)
    }

    /// Copies a table and returns its length.
    fn copy(&self, segment: u32, first_word: u32, words: &[u64]) -> u32 {
        let memory = &self.segments[segment as usize].1;
        for (index, word) in (first_word..).zip(words) {
            memory.store(index, 0, *word);
        }
        u32::try_from(words.len()).unwrap_or(0)
    }

    /// Makes these the mappings of a process slot. Mappings must not overlap; they are sorted here.
    pub fn publish(&mut self, slot: u32, mut mappings: Vec<CodeMapping>) {
        mappings.sort_unstable_by_key(|mapping| mapping.start);
        // A list may still be read while the next one is written, so it must not fill more than half.
        if mappings.len() > MAPPINGS as usize / 2 {
            log::warn!("{} executable mappings: only {} are known to the stack walker", mappings.len(), MAPPINGS / 2);
            mappings.truncate(MAPPINGS as usize / 2);
        }
        // A file whose table is not there yet is left out: stacks that meet it are followed once it is.
        let is_known = |mapping: &&CodeMapping| mapping.file.is_none_or(|file| self.knows(file));
        let records: Vec<MappingRecord> =
            mappings.iter().filter(is_known).map(|mapping| self.record(mapping)).collect();
        let count = u32::try_from(records.len()).unwrap_or(0);
        if self.next_mapping + count > MAPPINGS {
            self.next_mapping = 0;
        }
        let first = self.next_mapping;
        self.next_mapping += count;
        for (index, record) in (first..).zip(&records) {
            self.write(index, record);
        }
        self.published.insert(slot, records);
        self.generation += 1;
        // The number and its neighbour, the process id, share a word.
        let word = offset_of!(ProcessRecord, tgid);
        let tgid = self.processes.load(slot, word) & 0xffff_ffff;
        self.processes.store(slot, word, u64::from(self.generation) << 32 | tgid);
        self.processes.store(slot, offset_of!(ProcessRecord, mapping_list), mapping_list(first, count));
    }

    /// The rule for a code address of a process slot, as the BPF programs would find it now.
    #[must_use]
    pub fn rule_at(&self, slot: u32, address: u64) -> FoundRule {
        let records = self.published.get(&slot).map_or(&[][..], Vec::as_slice);
        let after = records.partition_point(|record| record.start <= address);
        let Some(record) = after.checked_sub(1).map(|index| &records[index]).filter(|record| address < record.end)
        else {
            return FoundRule::Unknown;
        };
        if record.segment == NO_TABLE {
            return FoundRule::FramePointer;
        }
        self.row_at(record, address.wrapping_sub(record.base)).map_or(FoundRule::Unknown, FoundRule::Table)
    }

    fn row_at(&self, record: &MappingRecord, offset: u64) -> Option<u32> {
        let memory = &self.segments.get(record.segment as usize)?.1;
        let word = |index: u64| {
            let index = u32::try_from(index).ok()?;
            ((index as usize) < memory.entries()).then(|| memory.load(index, 0))
        };
        let chunk = offset >> CHUNK_BITS;
        if chunk >= u64::from(record.chunks) {
            return None;
        }
        let first_word = u64::from(record.first_word);
        let index = word(first_word + chunk)?;
        let first_row = first_word + u64::from(record.chunks) + (index & 0xffff_ffff);
        let mut found = word(first_row)?;
        for row in first_row + 1..=first_row + (index >> 32) {
            let next = word(row)?;
            if next >> 32 > offset {
                break;
            }
            found = next;
        }
        u32::try_from(found & 0xffff_ffff).ok()
    }

    fn record(&self, mapping: &CodeMapping) -> MappingRecord {
        let stored = mapping.file.and_then(|file| self.files.get(&file)).filter(|stored| stored.segment != NO_TABLE);
        let placed = stored.and_then(|stored| {
            let address = address_of(&stored.segments, mapping.file_offset)?;
            let base = mapping.start.wrapping_sub(address.wrapping_sub(stored.base));
            Some((stored, base))
        });
        let (start, end) = (mapping.start, mapping.end);
        match placed {
            Some((stored, base)) => MappingRecord {
                start,
                end,
                base,
                segment: stored.segment,
                first_word: stored.first_word,
                chunks: stored.chunks,
                padding: 0,
            },
            None => MappingRecord { start, end, segment: NO_TABLE, ..MappingRecord::default() },
        }
    }

    fn write(&self, index: u32, record: &MappingRecord) {
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        for (offset, value) in [
            (offset_of!(MappingRecord, start), record.start),
            (offset_of!(MappingRecord, end), record.end),
            (offset_of!(MappingRecord, base), record.base),
            (offset_of!(MappingRecord, segment), pair(record.segment, record.first_word)),
            (offset_of!(MappingRecord, chunks), pair(record.chunks, record.padding)),
        ] {
            self.mappings.store(index, offset, value);
        }
    }
}

/// The address before relocation of a place in a file. Mappings begin at page borders, so the place may lie a little
/// before its segment.
fn address_of(segments: &[Segment], file_offset: u64) -> Option<u64> {
    const PAGE: u64 = 1 << 16;
    let near = |segment: &&Segment| {
        segment.executable
            && file_offset + PAGE > segment.offset
            && file_offset < segment.offset.saturating_add(segment.file_size)
    };
    let segment = segments.iter().filter(near).min_by_key(|segment| segment.offset.abs_diff(file_offset))?;
    Some(segment.address.wrapping_add(file_offset).wrapping_sub(segment.offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address of a mapping is found though it begins before its segment, at a page's border.
    #[test]
    fn mappings_are_placed_by_their_segment() {
        let segment = |address, offset, file_size, executable| Segment { address, offset, file_size, executable };
        let segments = [
            segment(0, 0, 0x900, false),
            segment(0x401_a40, 0xa40, 0x5000, true),
            segment(0x507_000, 0x6000, 8, false),
        ];
        assert_eq!(address_of(&segments, 0), Some(0x401_000));
        assert_eq!(address_of(&segments, 0x1000), Some(0x402_000));
        assert_eq!(address_of(&segments, 0x2_0000), None);
        assert_eq!(address_of(&[], 0), None);
    }
}
