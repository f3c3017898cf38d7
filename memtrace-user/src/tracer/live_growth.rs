//! How far the table of live blocks may grow: as it needs, but never so far that the machine, or the control group that
//! memtrace runs in, runs short of memory.

use memtrace_common::live::{Bucket, SEGMENT_GROWTH_BITS};

/// A segment takes at most this part of the memory that is available: the traced process needs the rest.
const PART_OF_AVAILABLE: u64 = 4;

/// Why the table does not grow, though it fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Bytes of the smallest segment that would be worth it.
    pub wanted_bytes: u64,
    /// Bytes of memory that are available.
    pub available_bytes: u64,
}

/// Bytes of a segment of 2^`bits` buckets.
const fn bytes(bits: u32) -> u64 {
    (size_of::<Bucket>() as u64) << bits
}

/// log2 of the buckets of the segment after one with 2^`newest`: four times as many, or as many at least, where that is what the
/// memory allows.
///
/// # Errors
/// When the memory allows neither.
pub fn next_bits(newest: u32, available_bytes: Option<u64>) -> Result<u32, Refusal> {
    // Where nobody says, the kernel will.
    let available_bytes = available_bytes.unwrap_or(u64::MAX);
    let fits = |bits: &u32| bytes(*bits) <= available_bytes / PART_OF_AVAILABLE;
    let refusal = Refusal { wanted_bytes: bytes(newest), available_bytes };
    (newest..=newest + SEGMENT_GROWTH_BITS).rev().find(fits).ok_or(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Each segment has four times the size of the one before, if that is a quarter of the memory at most.
    #[test]
    fn segments_grow_fourfold() {
        assert_eq!(next_bits(17, Some(256 * MIB)), Ok(19));
        assert_eq!(next_bits(19, None), Ok(21));
    }

    /// Where memory is short, the next one is smaller, but not smaller than the one before; or there is none.
    #[test]
    fn segments_leave_memory_to_others() {
        assert_eq!(next_bits(17, Some(256 * MIB - 1)), Ok(18));
        assert_eq!(next_bits(17, Some(64 * MIB)), Ok(17));
        let refusal = Refusal { wanted_bytes: 16 * MIB, available_bytes: 64 * MIB - 1 };
        assert_eq!(next_bits(17, Some(64 * MIB - 1)), Err(refusal));
    }
}
