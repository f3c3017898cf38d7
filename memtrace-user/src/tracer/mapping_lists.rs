//! The executable mappings of traced processes, as the stack walker reads them: runs of one array, a run a process.
//!
//! A list is written where nothing lies that is in use, and published by writing one word of the process's record. Each
//! publication has a new number, which a walker compares at its end with what it was at its beginning: a walk during
//! which the list changed does not count.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem::offset_of,
    time::{Duration, Instant},
};

use memtrace_common::{
    process::{ProcessRecord, SLOTS},
    unwind::{MAPPINGS, MappingRecord, mapping_list},
};

use super::{free_ranges::FreeRanges, mapped::MappedArray};

/// Rules found through older lists are told by the lower 16 bits of a list's number.
const CACHED_NUMBERS: u32 = 1 << 16;

/// How long a list that is no longer published stays where it is: the program that gives a new process its parent's list
/// has read it or written it by then.
const REST: Duration = Duration::from_millis(100);

/// A process's list.
#[derive(Debug, Default)]
struct List {
    first: u32,
    records: Vec<MappingRecord>,
}

/// All lists.
#[derive(Debug)]
pub struct MappingLists {
    mappings: MappedArray<MappingRecord>,
    processes: MappedArray<ProcessRecord>,
    /// The walker's cache of rules.
    cache: MappedArray<[u64; 2]>,
    free: FreeRanges,
    lists: HashMap<u32, List>,
    /// Places that lists have left, and when: children may still use their parent's.
    left: VecDeque<(Instant, u32, u32)>,
    number: u32,
}

impl MappingLists {
    /// Without any list.
    #[must_use]
    pub fn new(
        mappings: MappedArray<MappingRecord>,
        processes: MappedArray<ProcessRecord>,
        cache: MappedArray<[u64; 2]>,
    ) -> Self {
        Self {
            mappings,
            processes,
            cache,
            free: FreeRanges::new(MAPPINGS),
            lists: HashMap::new(),
            left: VecDeque::new(),
            number: 0,
        }
    }

    /// Makes these, sorted and not overlapping, the mappings of a process slot; returns whether they are others than
    /// before.
    pub fn publish(&mut self, slot: u32, mut records: Vec<MappingRecord>) -> bool {
        if self.lists.get(&slot).is_some_and(|list| list.records == records) {
            return false;
        }
        self.take_back();
        let room = self.free.longest() as usize;
        if records.len() > room {
            log::warn!("{} executable mappings: the stack walker has room for {room} of them", records.len());
            records.truncate(room);
        }
        let count = u32::try_from(records.len()).unwrap_or(0);
        let Some(first) = self.free.take(count) else { return false };
        for (index, record) in (first..).zip(&records) {
            self.write(index, record);
        }
        self.set(slot, mapping_list(first, count));
        if let Some(old) = self.lists.insert(slot, List { first, records }) {
            self.leave(&old);
        }
        true
    }

    /// Forgets a process slot.
    pub fn remove(&mut self, slot: u32) {
        self.set(slot, 0);
        if let Some(old) = self.lists.remove(&slot) {
            self.leave(&old);
        }
    }

    fn leave(&mut self, list: &List) {
        self.left.push_back((Instant::now(), list.first, u32::try_from(list.records.len()).unwrap_or(0)));
    }

    /// Makes places free that lists have left a while ago and that no process uses.
    fn take_back(&mut self) {
        let rested = self.left.iter().take_while(|(since, ..)| since.elapsed() >= REST).count();
        if rested == 0 {
            return;
        }
        let in_use = |slot| self.processes.load(slot, offset_of!(ProcessRecord, mapping_list));
        let in_use: HashSet<u64> = (0..SLOTS).map(in_use).collect();
        for (since, first, count) in self.left.drain(..rested).collect::<Vec<_>>() {
            if in_use.contains(&mapping_list(first, count)) {
                self.left.push_back((since, first, count));
            } else {
                self.free.give_back(first, count);
            }
        }
    }

    /// The mapping of an address of a process slot.
    #[must_use]
    pub fn find(&self, slot: u32, address: u64) -> Option<&MappingRecord> {
        let records = &self.lists.get(&slot)?.records;
        let after = records.partition_point(|record| record.start <= address);
        records.get(after.checked_sub(1)?).filter(|record| address < record.end)
    }

    /// Bytes of maps that this process sees as memory.
    #[must_use]
    pub const fn mapped_bytes(&self) -> u64 {
        self.mappings.bytes() + self.processes.bytes() + self.cache.bytes()
    }

    /// Publishes a list under a new number. First the number: a walk that began by the old list must notice before the
    /// old list's memory is used again.
    fn set(&mut self, slot: u32, list: u64) {
        self.number = self.number.wrapping_add(1);
        if self.number.is_multiple_of(CACHED_NUMBERS) {
            self.clear_cache();
        }
        // The number and its neighbour, the process id, share a word.
        let word = offset_of!(ProcessRecord, tgid);
        let tgid = self.processes.load(slot, word) & 0xffff_ffff;
        self.processes.store(slot, word, u64::from(self.number) << 32 | tgid);
        self.processes.store(slot, offset_of!(ProcessRecord, mapping_list), list);
    }

    /// Numbers begin anew: rules that were found under the same ones before must be gone.
    fn clear_cache(&self) {
        for index in 0..u32::try_from(self.cache.entries()).unwrap_or(0) {
            self.cache.store(index, 0, 0);
            self.cache.store(index, 8, 0);
        }
    }

    fn write(&self, index: u32, record: &MappingRecord) {
        let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        for (offset, value) in [
            (offset_of!(MappingRecord, start), record.start),
            (offset_of!(MappingRecord, end), record.end),
            (offset_of!(MappingRecord, base), record.base),
            (offset_of!(MappingRecord, segment), pair(record.segment, record.first_word)),
            (offset_of!(MappingRecord, chunks), pair(record.chunks, record.rules)),
        ] {
            self.mappings.store(index, offset, value);
        }
    }
}
