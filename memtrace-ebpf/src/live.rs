//! The table of live blocks; see `memtrace_common::live`.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use memtrace_common::{
    live::{ADDRESS_BITS, BUCKET_ENTRIES, Bucket, CLAIMED, LiveEntry, PROBES, SEGMENTS, bucket_index, hash_of},
    loss,
};

use crate::{
    atomic,
    loss::count,
    maps::{CURSORS, GROWTH, LIVE, LIVE_SEGMENTS, NEWEST_SEGMENT},
    process, sampling, share, site,
};

/// The coarse clock of `LiveEntry::ticks`: free, where `bpf_ktime_get_ns` costs 20 ns.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: the helper (5.5) reads a variable.
    unsafe { bpf_jiffies64() as u32 }
}

#[inline(always)]
fn bucket_at(segment: u32, index: u32) -> Option<*mut Bucket> {
    LIVE.get_value_ptr_mut(segment, &index).map(<*mut _>::cast)
}

#[inline(always)]
fn newest_segment() -> u32 {
    // SAFETY: a map value, written by user space alone.
    CURSORS.get_ptr(NEWEST_SEGMENT).map_or(0, |word| unsafe { core::ptr::read_volatile(word) } as u32)
}

#[inline(always)]
fn segment_mask(segment: u32) -> Option<u64> {
    // SAFETY: a map value, written by user space alone, before the segment becomes the newest.
    LIVE_SEGMENTS.get_ptr(segment).map(|record| unsafe { core::ptr::read_volatile(&raw const (*record).mask) })
}

#[inline(always)]
fn key_of(bucket: *mut Bucket, entry: usize) -> *mut u64 {
    // SAFETY: a map value and an index below `BUCKET_ENTRIES`; only a place in it is computed.
    unsafe { &raw mut (*bucket).entries[entry].key }
}

#[inline(always)]
fn passed_of(bucket: *mut Bucket) -> *mut u64 {
    // SAFETY: a map value; only a place in it is computed.
    unsafe { &raw mut (*bucket).passed }
}

/// A block is in its bucket at the n-th probe, or is there no more: adds to the count of those before. Rare, so a function of
/// its own.
#[inline(never)]
fn note_passed(segment: u32, key: u64, probes: u32, change: u64) {
    let Some(mask) = segment_mask(segment) else { return };
    let hash = hash_of(key);
    for probe in 0..PROBES {
        if probe >= probes {
            break;
        }
        let Some(bucket) = bucket_at(segment, bucket_index(hash, probe, mask)) else { return };
        atomic::add(passed_of(bucket), change);
    }
}

/// Enters a block; `false` when its buckets are full in every segment.
#[inline(always)]
pub fn insert(block: &LiveEntry) -> bool {
    // Before: the free comes after the return of this call, but the process may be at fault.
    sampling::note(block.key);
    let newest = newest_segment();
    for age in 0..SEGMENTS {
        if age > newest {
            break;
        }
        if insert_into(newest - age, block.key, block.size, block.site, block.ticks) != 0 {
            share::block_entered(block.key);
            return true;
        }
    }
    sampling::unnote(block.key);
    false
}

/// One segment; a function of its own, so that the verifier walks it once.
#[inline(never)]
fn insert_into(segment: u32, key: u64, size: u64, site: u32, ticks: u32) -> u32 {
    let Some(mask) = segment_mask(segment) else { return 0 };
    let hash = hash_of(key);
    for probe in 0..PROBES {
        let Some(bucket) = bucket_at(segment, bucket_index(hash, probe, mask)) else { return 0 };
        for entry in 0..BUCKET_ENTRIES {
            let place = key_of(bucket, entry);
            // SAFETY: a map value. Volatile, as other CPUs write it.
            let found = unsafe { core::ptr::read_volatile(place) };
            if found == key {
                return replace(bucket, entry, key, size, site, ticks);
            }
            if found == 0 && atomic::replace_if(place, 0, CLAIMED) {
                write(bucket, entry, size, site, ticks);
                if probe != 0 {
                    note_passed(segment, key, probe, 1);
                }
                atomic::publish(place, key);
                if probe >= 2 {
                    note_spill(segment);
                }
                return 1;
            }
        }
    }
    0
}

/// The address is in the table: its free was not seen. The old block counts as freed. (An old record further on would
/// not be found; to look everywhere would cost every allocation as much as a free.)
#[inline(always)]
fn replace(bucket: *mut Bucket, entry: usize, key: u64, size: u64, site: u32, ticks: u32) -> u32 {
    // SAFETY: a map value of this address, which this thread holds: nobody else writes it.
    let old = unsafe { (*bucket).entries[entry] };
    let weight = sampling::weight(old.size);
    site::count_freed(old.site, weight);
    sampling::unnote(key);
    share::block_left(key);
    if let Some(process) = process::record((key >> ADDRESS_BITS) as u32) {
        process::shrink(process, weight.bytes);
    }
    count(loss::MISSED_FREE);
    write(bucket, entry, size, site, ticks);
    1
}

#[inline(always)]
fn write(bucket: *mut Bucket, entry: usize, size: u64, site: u32, ticks: u32) {
    // SAFETY: a map value whose key this thread has claimed.
    unsafe {
        (*bucket).entries[entry].size = size;
        (*bucket).entries[entry].site = site;
        (*bucket).entries[entry].ticks = ticks;
    }
}

/// A block did not find room in its first two buckets: the segment fills. At the mark, user space is told once.
#[inline(always)]
fn note_spill(segment: u32) {
    let Some(record) = LIVE_SEGMENTS.get_ptr_mut(segment) else { return };
    // SAFETY: a map value; only places in it are computed, the mark is written by user space alone.
    let (spills, mark) = unsafe { (&raw mut (*record).spills, core::ptr::read_volatile(&raw const (*record).mark)) };
    if atomic::fetch_add(spills, 1) == mark {
        // If there is no room, a warning is waiting already.
        let _waiting = GROWTH.output::<u32>(segment, 0);
    }
}

/// Takes a block out and copies its record; `false` when it is not in the table.
#[inline(always)]
pub fn remove(key: u64, taken: &mut LiveEntry) -> bool {
    let newest = newest_segment();
    for age in 0..SEGMENTS {
        if age > newest {
            break;
        }
        if remove_from(newest - age, key, taken) != 0 {
            share::block_left(key);
            sampling::unnote(key);
            return true;
        }
    }
    false
}

/// One segment; a function of its own, so that the verifier walks it once.
#[inline(never)]
fn remove_from(segment: u32, key: u64, taken: &mut LiveEntry) -> u32 {
    let Some(mask) = segment_mask(segment) else { return 0 };
    let hash = hash_of(key);
    for probe in 0..PROBES {
        let Some(bucket) = bucket_at(segment, bucket_index(hash, probe, mask)) else { return 0 };
        for entry in 0..BUCKET_ENTRIES {
            let place = key_of(bucket, entry);
            // SAFETY: a map value. Volatile, as other CPUs write it.
            if unsafe { core::ptr::read_volatile(place) } == key {
                // SAFETY: a map value; the record of a block is not written while the block is live.
                *taken = unsafe { (*bucket).entries[entry] };
                // Of two threads that free one block at once (a bug of the program), one gets it.
                if !atomic::replace_if(place, key, 0) {
                    return 0;
                }
                if probe != 0 {
                    note_passed(segment, key, probe, u64::MAX);
                }
                return 1;
            }
        }
        // SAFETY: a map value. Volatile, as other CPUs write it.
        if unsafe { core::ptr::read_volatile(passed_of(bucket)) } == 0 {
            return 0;
        }
    }
    0
}
