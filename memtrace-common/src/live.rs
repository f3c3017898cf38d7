//! The table of live blocks.
//!
//! Segments of buckets, each segment an array map; user space adds a segment of four times the size when the newest
//! fills, so nothing is moved and memory follows the number of blocks. A bucket holds five entries in
//! two cache lines. A block lies in one of [`PROBES`] buckets of one segment.

/// Most segments.
pub const SEGMENTS: u32 = 5;

/// log2 of the buckets in the first segment: 2^17 buckets of 128 bytes, 16 MiB, 655,360 entries. Large enough that user
/// space has 0.1 s to add the second while a program allocates a million blocks a second.
pub const FIRST_SEGMENT_BITS: u32 = 17;

/// log2 of how much larger each segment is than the one before. Few segments, as a program tries one after the other,
/// and the verifier walks each try.
pub const SEGMENT_GROWTH_BITS: u32 = 2;

/// Buckets that an entry may lie in: pairs of neighbours, the pairs anywhere. With two pairs, the first block finds all
/// of its buckets full when 40 % of the entries are taken; with three, at about 50 %. More than three cost the verifier
/// more time than they are worth.
pub const PROBES: u32 = 6;

/// Entries in a bucket.
pub const BUCKET_ENTRIES: usize = 5;

/// Bits of the address in a key; the process slot lies above.
pub const ADDRESS_BITS: u32 = 48;

/// Key of an entry being written: claimed, not yet valid. No block has this address.
pub const CLAIMED: u64 = 1;

/// A block that is freed within this time of its allocation is short-lived: work that a program could perhaps spare
/// itself. The clock ticks every 1 to 10 ms (`CONFIG_HZ`), so a lifetime is known to one tick: one that is shorter than
/// this by a tick or more is surely counted as short, one that is longer by a tick or more surely is not.
pub const SHORT_LIFE_NANOS: u64 = 10_000_000;

/// A live block.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct LiveEntry {
    /// Address and process slot; 0 marks a free entry, [`CLAIMED`] one that is being written.
    pub key: u64,
    /// Bytes that the program asked for; in the table, where sampling has steps, packed with one by [`crate::steps`].
    pub size: u64,
    /// Index in `SITES`.
    pub site: u32,
    /// When it was allocated, in kernel ticks (jiffies), low 32 bits.
    pub ticks: u32,
}

/// Five entries in two cache lines, and how many blocks were passed on.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(128))]
pub struct Bucket {
    /// The entries, in no order.
    pub entries: [LiveEntry; BUCKET_ENTRIES],
    /// Blocks that found no place here and lie in a bucket that comes later for them; perhaps more than that, never fewer.
    /// Where it is 0, nobody looks further: most blocks that are not in a segment are known to be absent by one bucket.
    pub passed: u64,
}

/// What the two sides tell each other about a segment: one cache line each.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct SegmentRecord {
    /// Buckets less one; the number of buckets is a power of two.
    pub mask: u64,
    /// Blocks that found no room in their first two buckets.
    pub spills: u64,
    /// `spills` at which user space is told that the segment fills.
    pub mark: u64,
    /// Explicit padding.
    pub reserved: [u64; 5],
}

/// The key of a block, or `None` when the address does not fit.
#[must_use]
#[inline]
pub const fn key(address: u64, slot: u32) -> Option<u64> {
    if address >> ADDRESS_BITS != 0 { None } else { Some(address | (slot as u64) << ADDRESS_BITS) }
}

/// Fibonacci hashing: 2^64 over the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where a block lies. Mixed twice: allocators hand out addresses at even distances, which one multiplication spreads so
/// evenly that all buckets fill at the same moment, and no spill warns of it.
#[must_use]
#[inline]
pub const fn hash_of(key: u64) -> u64 {
    let hash = key.wrapping_mul(MULTIPLIER);
    (hash ^ hash >> 32).wrapping_mul(MULTIPLIER)
}

/// The bucket to try at the n-th probe: pairs of neighbours, whose cache lines are fetched together.
#[must_use]
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "segments have fewer than 2^32 buckets")]
pub const fn bucket_index(hash: u64, probe: u32, mask: u64) -> u32 {
    let half = hash.rotate_left(probe / 2 * 21) >> 32;
    ((half ^ (probe & 1) as u64) & mask) as u32
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for Bucket {}
#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for SegmentRecord {}
