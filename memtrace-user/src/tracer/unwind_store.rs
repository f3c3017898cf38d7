//! Unwind tables and mapping lists in BPF maps; see `memtrace_common::unwind` for the layout.
//!
//! A file's table is kept once, for whichever processes map it, and dropped when none does any more.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use memtrace_common::{
    site::end,
    unwind::{FileRecord, MappingRecord, NO_TABLE, kind, rule},
};

use super::{
    known_files::KnownFiles,
    mapping_lists::MappingLists,
    table_memory::{Place, TableMemory},
};
use crate::{
    process::elf::Segment,
    unwind::{UnwindTable, rule_at},
};

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
    /// Device and inode as the kernel names them in lists of mappings: on some file systems others than stat(2) tells.
    pub kernel_file: FileId,
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

/// What is known of a file.
#[derive(Debug)]
struct Stored {
    segments: Vec<Segment>,
    table: Option<StoredTable>,
    /// It has been in a mapping list, so it goes when it is in none.
    published: bool,
}

/// Where a file's table is.
#[derive(Debug, Clone, Copy)]
struct StoredTable {
    place: Place,
    base: u64,
    chunks: u32,
    rules: u32,
}

/// The maps, and what is in them.
#[derive(Debug)]
pub struct UnwindStore {
    memory: TableMemory,
    lists: MappingLists,
    /// The same tables for processes whose mappings are not known yet.
    known: KnownFiles,
    files: HashMap<FileId, Stored>,
    /// Files that each process slot maps.
    mapped: HashMap<u32, HashSet<FileId>>,
    /// Process slots with files whose tables are in the making.
    lacking: HashSet<u32>,
    /// Tables stay when nobody maps their file, as long as there is memory for them.
    keeps: bool,
}

/// Memory of tables beyond which none is kept that nobody maps.
const KEPT_BYTES: u64 = 128 << 20;

impl UnwindStore {
    /// With nothing stored. Whoever has tables kept that nobody maps must keep their files open: a file that is gone leaves
    /// its number to another.
    #[must_use]
    pub fn new(memory: TableMemory, lists: MappingLists, known: KnownFiles, keeps: bool) -> Self {
        let (files, mapped, lacking) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { memory, lists, known, files, mapped, lacking, keeps }
    }

    /// Whether a file's table is stored, or is known not to exist.
    #[must_use]
    pub fn knows(&self, file: FileId) -> bool {
        self.files.contains_key(&file)
    }

    /// Bytes of all maps that this process sees as memory.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.bytes() + self.lists.mapped_bytes()
    }

    /// Bytes of kernel memory that tables take.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    /// Stores tables; those of files that are known already are passed over.
    ///
    /// # Errors
    /// When the kernel makes no map, or tables take too much memory: files whose table found no room count as without
    /// unwind information.
    pub fn add(&mut self, tables: Vec<FileTable>) -> io::Result<()> {
        let fresh: Vec<FileTable> = tables.into_iter().filter(|table| !self.knows(table.file)).collect();
        let words: Vec<&[u64]> = fresh.iter().filter_map(|file| Some(file.table.as_ref()?.words.as_slice())).collect();
        let (places, result) = self.memory.place(&words);
        let mut places = places.into_iter();
        for file in fresh {
            let table = file.table.and_then(|table| {
                let place = places.next().flatten()?;
                Some(StoredTable { place, base: table.base, chunks: table.chunks, rules: table.rules })
            });
            let stored = Stored { segments: file.segments, table, published: false };
            self.known.add(file.file, file.file, stored.record());
            self.files.insert(file.file, stored);
        }
        result
    }

    /// Makes these the mappings of a process slot, which must not overlap, and drops tables that nobody maps any more.
    /// Returns whether the walker knows other mappings, or other tables, than before.
    pub fn publish(&mut self, slot: u32, mut mappings: Vec<CodeMapping>) -> bool {
        mappings.sort_unstable_by_key(|mapping| mapping.start);
        // A file whose table is not there yet is left out: stacks that meet it are followed once it is.
        let is_known = |mapping: &&CodeMapping| mapping.file.is_none_or(|file| self.knows(file));
        let records: Vec<_> = mappings.iter().filter(is_known).map(|mapping| self.record(mapping)).collect();
        if records.len() < mappings.len() {
            self.lacking.insert(slot)
        } else {
            self.lacking.remove(&slot)
        };
        self.make_known(&mappings);
        let changed = self.lists.publish(slot, records);
        self.mapped.insert(slot, mappings.iter().filter_map(|mapping| mapping.file).collect());
        self.drop_unmapped();
        changed
    }

    /// Tells the programs the kernel's names of files.
    fn make_known(&mut self, mappings: &[CodeMapping]) {
        for mapping in mappings {
            if let Some(file) = mapping.file
                && let Some(stored) = self.files.get(&file)
            {
                self.known.add(file, mapping.kernel_file, stored.record());
            }
        }
    }

    /// Whether tables of files that a process slot maps are in the making.
    #[must_use]
    pub fn lacks_tables(&self, slot: u32) -> bool {
        self.lacking.contains(&slot)
    }

    /// Forgets a process slot, and drops tables that nobody maps any more.
    pub fn remove(&mut self, slot: u32) {
        self.lists.remove(slot);
        self.mapped.remove(&slot);
        self.lacking.remove(&slot);
        self.drop_unmapped();
    }

    /// The rule for a code address of a process slot, as the BPF programs would find it now.
    #[must_use]
    pub fn rule_at(&self, slot: u32, address: u64) -> u64 {
        let Some(record) = self.lists.find(slot, address) else { return rule::ended(end::NO_MAPPING) };
        if record.segment == NO_TABLE {
            return kind::CHAIN;
        }
        let word = |index: u64| self.memory.word(record.segment, u64::from(record.first_word) + index);
        rule_at(word, record.chunks, record.rules, address.wrapping_sub(record.base))
    }

    /// Drops all tables of files that nobody maps: their files may be closed then.
    pub fn drop_kept(&mut self) {
        let keeps = std::mem::replace(&mut self.keeps, false);
        for stored in self.files.values_mut() {
            stored.published = true;
        }
        self.drop_unmapped();
        self.keeps = keeps;
    }

    fn drop_unmapped(&mut self) {
        let Self { memory, known, files, mapped, .. } = self;
        if self.keeps && memory.bytes() < KEPT_BYTES {
            return;
        }
        files.retain(|file, stored| {
            let is_mapped = mapped.values().any(|files| files.contains(file));
            stored.published |= is_mapped;
            let stays = is_mapped || !stored.published;
            if !stays {
                // Before its memory is used again.
                known.remove(*file);
            }
            if let Some(table) = stored.table.filter(|_| !stays) {
                memory.give_back(table.place);
            }
            stays
        });
    }

    fn record(&self, mapping: &CodeMapping) -> MappingRecord {
        let (start, end) = (mapping.start, mapping.end);
        let placed = mapping.file.and_then(|file| self.files.get(&file)).and_then(|stored| {
            let table = stored.table?;
            let address = address_of(&stored.segments, mapping.file_offset)?;
            Some((table, start.wrapping_sub(address.wrapping_sub(table.base))))
        });
        match placed {
            Some((StoredTable { place, chunks, rules, .. }, base)) => {
                MappingRecord { start, end, base, segment: place.segment, first_word: place.first_word, chunks, rules }
            }
            None => MappingRecord { start, end, segment: NO_TABLE, ..MappingRecord::default() },
        }
    }
}

impl Stored {
    /// Where its table is in whatever process; `None` when that differs from one part of the file to another.
    fn record(&self) -> Option<FileRecord> {
        let Some(StoredTable { place, base, chunks, rules }) = self.table else {
            return Some(FileRecord { shift: 0, segment: NO_TABLE, first_word: 0, chunks: 0, rules: 0 });
        };
        let mut shifts = self
            .segments
            .iter()
            .filter(|segment| segment.executable)
            .map(|segment| base.wrapping_add(segment.offset).wrapping_sub(segment.address));
        let shift = shifts.next()?;
        shifts.all(|other| other == shift).then_some(FileRecord {
            shift,
            segment: place.segment,
            first_word: place.first_word,
            chunks,
            rules,
        })
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
