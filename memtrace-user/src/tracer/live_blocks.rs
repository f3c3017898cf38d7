//! Looks through all live blocks, while programs change them: to find one, and to clear what has been forgotten. Takes up
//! to seconds with many millions of blocks: not for the event loop.

use std::{
    io,
    mem::offset_of,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use memtrace_common::{
    live::{ADDRESS_BITS, BUCKET_ENTRIES, Bucket, CLAIMED, LiveEntry},
    process::SLOTS,
    sampling, steps,
};

use super::{live_table::Segment, mapped::MappedArray, syscall};

/// The blocks of the table as it was at some time: a segment that was added since is not seen.
#[derive(Debug)]
pub struct LiveBlocks {
    outer: OwnedFd,
    segments: Vec<Arc<Segment>>,
    /// The map `SAMPLED`, where blocks are sampled.
    sampled: Option<Arc<MappedArray<u64>>>,
}

/// Words of an entry.
const ENTRY_WORDS: usize = size_of::<LiveEntry>() / 8;

impl LiveBlocks {
    /// Of a table's map of maps and its segments.
    #[must_use]
    pub const fn new(outer: OwnedFd, segments: Vec<Arc<Segment>>, sampled: Option<Arc<MappedArray<u64>>>) -> Self {
        Self { outer, segments, sampled }
    }

    /// Waits until every program has ended that runs now.
    ///
    /// The kernel waits for that whenever a map inside another one is replaced (`maybe_wait_bpf_programs`,
    /// kernel/bpf/syscall.c, since 4.20), so one is replaced by itself. Takes some ten milliseconds.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn await_programs(&self) -> io::Result<()> {
        let Some(segment) = self.segments.first() else { return Ok(()) };
        syscall::set_inner_map(self.outer.as_fd(), 0, segment.map.as_fd())
    }

    /// Removes the blocks of slots that no program uses any more. Returns how many there were.
    #[must_use]
    pub fn clear_slots(&self, slots: &[u32]) -> u64 {
        let mut is_cleared = vec![false; SLOTS as usize];
        for slot in slots.iter().filter(|slot| **slot != 0) {
            is_cleared[*slot as usize] = true;
        }
        let is_forgotten =
            |key: u64| usize::try_from(key >> ADDRESS_BITS).is_ok_and(|slot| is_cleared.get(slot) == Some(&true));
        let mut cleared = 0;
        for segment in &self.segments {
            for (number, bucket) in segment.by_number() {
                for entry in entries_of(bucket) {
                    let key = entry[0].load(Ordering::Relaxed);
                    if is_forgotten(key) && segment.take_out(entry, key, number) {
                        self.unnote(key);
                        cleared += 1;
                    }
                }
            }
        }
        cleared
    }

    /// As the programs do when they take a block out (`sampling::unnote` of memtrace-ebpf).
    fn unnote(&self, key: u64) {
        let (word, bit) = sampling::place(key & ((1 << ADDRESS_BITS) - 1));
        if let Some(sampled) = &self.sampled {
            sampled.subtract(word, 0, 1 << bit);
        }
    }

    /// The block of a slot that holds an address, be it in its midst. A block of no bytes holds its own address.
    #[must_use]
    pub fn find(&self, slot: u32, address: u64) -> Option<LiveEntry> {
        let holds = |block: &LiveEntry| {
            block.key >> ADDRESS_BITS == u64::from(slot)
                && address.checked_sub(start_of(block)).is_some_and(|offset| offset < block.size.max(1))
        };
        self.entries().find_map(|entry| read(entry).filter(holds))
    }

    /// The blocks of a slot, in no order.
    pub fn of_slot(&self, slot: u32) -> impl Iterator<Item = LiveEntry> {
        self.entries().filter_map(read).filter(move |block| block.key >> ADDRESS_BITS == u64::from(slot))
    }

    fn entries(&self) -> impl Iterator<Item = &[AtomicU64]> {
        self.segments.iter().flat_map(|segment| segment.by_number()).flat_map(|(_, bucket)| entries_of(bucket))
    }
}

fn entries_of(bucket: &[AtomicU64]) -> impl Iterator<Item = &[AtomicU64]> {
    bucket.chunks_exact(ENTRY_WORDS).take(BUCKET_ENTRIES)
}

/// Address of a block.
#[must_use]
pub const fn start_of(block: &LiveEntry) -> u64 {
    block.key & ((1 << ADDRESS_BITS) - 1)
}

/// An entry that programs may write at the same time: read until it reads the same twice. `None` when it is free, or
/// being written all the time.
fn read(entry: &[AtomicU64]) -> Option<LiveEntry> {
    const TRIES: usize = 100;
    let words = || [0, 1, 2].map(|index| entry[index].load(Ordering::Acquire));
    let mut last = words();
    for _ in 0..TRIES {
        let [key, size, rest] = last;
        if key == 0 || key == CLAIMED {
            return None;
        }
        let now = words();
        if now == last {
            let [site, ticks] = [rest, rest >> 32].map(|half| u32::try_from(half & 0xffff_ffff).unwrap_or(0));
            return Some(LiveEntry { key, size: steps::size(size), site, ticks });
        }
        last = now;
    }
    None
}

const _: () = assert!(offset_of!(Bucket, entries) == 0 && offset_of!(LiveEntry, key) == 0);
const _: () = assert!(offset_of!(LiveEntry, size) == 8 && offset_of!(LiveEntry, site) == 16 && ENTRY_WORDS == 3);
// The site is the lower half of its word.
const _: () = assert!(cfg!(target_endian = "little"));

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry is read whole; free ones and those being written are none.
    #[test]
    fn entries_are_read_by_their_state() {
        let entry = |key: u64| [key, 100, 7 | 9 << 32].map(AtomicU64::new);
        assert!(read(&entry(0)).is_none() && read(&entry(CLAIMED)).is_none());
        let block = read(&entry(0x7000 | 3 << ADDRESS_BITS)).expect("an entry");
        assert_eq!((start_of(&block), block.size, block.site, block.ticks), (0x7000, 100, 7, 9));
    }
}
