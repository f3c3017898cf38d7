//! User space's part of the table of live blocks: it makes the segments, and adds one when they fill. See
//! `memtrace_common::live` for the layout, and `live_blocks` for what is read of it.

use std::{
    io,
    mem::offset_of,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use memtrace_common::live::{
    BUCKET_ENTRIES, Bucket, FIRST_SEGMENT_BITS, LiveEntry, PROBES, SEGMENTS, SegmentRecord, bucket_index, hash_of,
};

use super::{
    live_blocks::LiveBlocks,
    live_growth::{Refusal, next_bits},
    mapped::MappedArray,
    syscall,
};
use crate::process::available_memory;

/// How full a segment becomes before the next one is made. A block finds all of its buckets full from about 55 % on: what
/// lies between must last until the segment is there. Early costs memory, and blocks in more segments than one: to look for
/// them costs a cache miss each.
struct Fill {
    /// Blocks without room in their first two buckets that make a warning: one in so many buckets.
    warn_at: u32,
    /// The part of the entries, in percent, beyond which a warning is heeded. Below, it is chance: blocks that come and go
    /// meet full buckets now and then.
    full_percent: u64,
}

/// The smallest segment is filled by a fast program in no time: warnings come at about 35 %.
const FIRST: Fill = Fill { warn_at: 2048, full_percent: 25 };
/// At about 43 %.
const LATER: Fill = Fill { warn_at: 256, full_percent: 40 };

/// When the next warning comes after one that was by chance, as [`Fill::warn_at`].
const CHANCE: u64 = 256;
/// And after one that could not be heeded: warnings are frequent then.
const REFUSED: u64 = 4;

const fn fill_of(segment: u32) -> Fill {
    if segment == 0 { FIRST } else { LATER }
}

/// The table. Owns the segments' maps.
#[derive(Debug)]
pub struct LiveTable {
    outer: OwnedFd,
    records: MappedArray<SegmentRecord>,
    /// The map `CURSORS`; its word `newest_word` names the newest segment to the BPF programs.
    cursors: MappedArray<u64>,
    newest_word: u32,
    /// Shared, so that who looks through all blocks does not keep the table from growing.
    segments: Vec<Arc<Segment>>,
    /// Most segments.
    most: usize,
    refusal: Option<Refusal>,
    /// The map `SAMPLED`, where blocks are sampled.
    sampled: Option<Arc<MappedArray<u64>>>,
}

/// A part of the table.
#[derive(Debug)]
pub struct Segment {
    /// The map.
    pub map: OwnedFd,
    /// The same, as memory.
    pub buckets: MappedArray<Bucket>,
}

impl Segment {
    /// The words of each bucket.
    pub fn by_number(&self) -> impl Iterator<Item = (u32, &[AtomicU64])> {
        (0..self.count()).map(|bucket| (bucket, self.buckets.words(bucket)))
    }

    fn count(&self) -> u32 {
        u32::try_from(self.buckets.entries()).unwrap_or(u32::MAX)
    }

    /// Takes a block out of the bucket of a number; `false` when it is gone already.
    pub fn take_out(&self, entry: &[AtomicU64], key: u64, bucket: u32) -> bool {
        if entry[0].compare_exchange(key, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        for passing in passing_on(key, bucket, u64::from(self.count()) - 1) {
            self.buckets.subtract(passing, offset_of!(Bucket, passed), 1);
        }
        true
    }
}

/// The buckets that come before a block's own, and count it as passed on.
fn passing_on(key: u64, own: u32, mask: u64) -> impl Iterator<Item = u32> {
    let hash = hash_of(key);
    let tried = move || (0..PROBES).map(move |probe| bucket_index(hash, probe, mask));
    let before = tried().position(|bucket| bucket == own).unwrap_or(0);
    tried().take(before)
}

impl LiveTable {
    /// Makes the table with its first segment.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(
        outer: OwnedFd,
        records: MappedArray<SegmentRecord>,
        cursors: MappedArray<u64>,
        newest_word: u32,
        sampled: Option<Arc<MappedArray<u64>>>,
    ) -> io::Result<Self> {
        let mut table = Self {
            sampled,
            outer,
            records,
            cursors,
            newest_word,
            segments: Vec::new(),
            most: SEGMENTS as usize,
            refusal: None,
        };
        table.add_segment(FIRST_SEGMENT_BITS)?;
        Ok(table)
    }

    /// Blocks that fit, if they spread evenly.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.segments.iter().map(|segment| (segment.buckets.entries() * BUCKET_ENTRIES) as u64).sum()
    }

    /// Bytes of kernel memory of the segments.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.buckets.bytes()).sum()
    }

    /// Bytes of this process's memory that the table takes as mapped memory.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.segment_bytes() + self.records.bytes() + self.cursors.bytes()
    }

    /// From now on it grows to no more than so many segments.
    pub fn limit(&mut self, segments: u32) {
        self.most = self.most.min(segments as usize);
    }

    /// Why it is no larger, if it should be.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// Adds a segment when the newest is too full and there is the memory, or puts off the next warning. Takes some 10 ms when
    /// it adds.
    ///
    /// # Errors
    /// What the kernel says when it cannot make a segment; the table goes on with what it has.
    pub fn make_room(&mut self) -> io::Result<()> {
        if !self.fills() || self.segments.len() >= self.most {
            self.put_off(CHANCE);
            return Ok(());
        }
        let newest = self.segments[self.newest() as usize].buckets.entries().ilog2();
        let next = next_bits(newest, available_memory());
        self.refusal = next.err();
        let added = next.map_or(Ok(()), |bits| self.add_segment(bits));
        if self.refusal.is_some() || added.is_err() {
            self.put_off(REFUSED);
        }
        added
    }

    /// Whether the newest segment is too full.
    fn fills(&self) -> bool {
        let newest = self.newest();
        let buckets = &self.segments[newest as usize].buckets;
        let entries = (buckets.entries() * BUCKET_ENTRIES) as u64;
        used(buckets) * 100 > entries * fill_of(newest).full_percent
    }

    /// The next warning comes after one more block without room in so many buckets.
    fn put_off(&self, warn_at: u64) {
        let newest = self.newest();
        let spills = self.records.load(newest, offset_of!(SegmentRecord, spills));
        let buckets = self.segments[newest as usize].buckets.entries() as u64;
        self.records.store(newest, offset_of!(SegmentRecord, mark), spills + buckets / warn_at);
    }

    fn newest(&self) -> u32 {
        u32::try_from(self.segments.len() - 1).unwrap_or(0)
    }

    /// One of 2^`bits` buckets.
    fn add_segment(&mut self, bits: u32) -> io::Result<()> {
        let index = u32::try_from(self.segments.len()).map_err(io::Error::other)?;
        let buckets = 1u32 << bits;
        let bucket_size = u32::try_from(size_of::<Bucket>()).map_err(io::Error::other)?;
        let map = syscall::create_segment(bucket_size, buckets)?;
        let memory = MappedArray::new(&map, buckets)?;
        self.records.store(index, offset_of!(SegmentRecord, mask), u64::from(buckets - 1));
        self.records.store(index, offset_of!(SegmentRecord, mark), u64::from(buckets / fill_of(index).warn_at));
        syscall::set_inner_map(self.outer.as_fd(), index, map.as_fd())?;
        // Last: programs look at it first.
        self.cursors.store(self.newest_word, 0, u64::from(index));
        self.segments.push(Arc::new(Segment { map, buckets: memory }));
        Ok(())
    }

    /// All blocks, to be looked through without the table's lock.
    ///
    /// # Errors
    /// When descriptors are short.
    pub fn blocks(&self) -> io::Result<LiveBlocks> {
        Ok(LiveBlocks::new(self.outer.try_clone()?, self.segments.clone(), self.sampled.clone()))
    }
}

/// Entries in use, estimated from some thousand buckets.
fn used(buckets: &MappedArray<Bucket>) -> u64 {
    const SAMPLE: u32 = 4096;
    let count = u32::try_from(buckets.entries()).unwrap_or(u32::MAX);
    let step = (count / SAMPLE).max(1);
    let keys = |bucket| buckets.words(bucket).iter().step_by(size_of::<LiveEntry>() / 8).take(BUCKET_ENTRIES);
    let sampled = (0..count).step_by(step as usize);
    let used = sampled.flat_map(keys).filter(|key| key.load(Ordering::Relaxed) != 0).count();
    used as u64 * u64::from(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block is counted as passed on by the buckets tried before its own, in their order, and by none if it is in the
    /// first or in no bucket of its.
    #[test]
    fn buckets_before_a_blocks_own_count_it() {
        let (key, mask) = (0x7f12_3456_7890, (1 << 17) - 1);
        let tried: Vec<_> = (0..PROBES).map(|probe| bucket_index(hash_of(key), probe, mask)).collect();
        for (probe, own) in tried.iter().enumerate() {
            assert_eq!(passing_on(key, *own, mask).collect::<Vec<_>>(), tried[..probe]);
        }
        let elsewhere = (0..=u32::MAX).find(|bucket| !tried.contains(bucket)).expect("there are more buckets");
        assert_eq!(passing_on(key, elsewhere, mask).count(), 0);
    }
}
