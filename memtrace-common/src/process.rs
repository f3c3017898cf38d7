//! Counters of a traced process, and how BPF finds them.

/// Number of slots: traced processes, images replaced by `exec` included, that can be told apart at a time. A slot is
/// used again once user space has read what is in it. The key of a live block has 16 bits for it.
pub const SLOTS: u32 = 4096;

/// Slot 0 is never used, so that zeroed memory names no process.
pub const NO_SLOT: u32 = 0;

/// Value of the `TARGETS` map, keyed by thread group id.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Target {
    /// Index into `PROCESSES`, whose [`ProcessRecord::era`] says where calls are counted; [`NO_SLOT`] while waiting for
    /// `exec`.
    pub slot: u32,
    /// Non-zero: recording starts with the next `exec` (the child of `memtrace run`).
    pub from_exec: u32,
}

/// Counters of one process in a cache line of its own, and in another what programs only read: where its mappings are,
/// and where its calls are counted.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(128))]
pub struct ProcessRecord {
    /// Bytes live now, and the number of the peak that they count for: see [`current`].
    pub current: u64,
    /// Highest number of bytes live, by the lowest bit of the peak's number.
    pub peaks: [u64; 2],
    /// Allocator calls that returned no memory.
    pub failed_calls: u64,
    /// Frees of blocks that are not in the table of live blocks.
    pub unknown_frees: u64,
    /// Explicit padding.
    pub reserved: [u64; 3],
    /// Thread group id in the initial pid namespace.
    pub tgid: u32,
    /// Number of the mapping list, new with each: rules that were found through an older list are not used.
    pub generation: u32,
    /// Where its mappings are: see [`crate::unwind::mapping_list`]; 0 while there are none.
    pub mapping_list: u64,
    /// Where the calls of a process that has this slot in `TARGETS` are counted: see [`Era`]. [Closed](Era::closed) when it is
    /// no longer traced: it keeps the slot to its end, as its threads know it. 0 when nobody has the slot.
    pub era: u64,
    /// Processes that count here: more than one while a child shares its parent's memory (vfork, `posix_spawn`). The
    /// counters are final when it comes to 0.
    pub users: u64,
    /// When it began, in nanoseconds of `CLOCK_MONOTONIC`; 0 for a process that user space has named.
    pub started: u64,
    /// Stacks copied to user space: see [`crate::copy::MOST_OF_MANY`].
    pub copies: u64,
    /// Of its interpreter, when its threads may run Python and its frames are understood: see [`crate::python::interpreter`];
    /// else 0.
    pub python: u64,
    /// CPU time of the process's threads that have ended, in nanoseconds: once all have, the process's.
    pub ended_nanos: u64,
}

/// Parts of a slot's [`HitsRecord`]s, by the number of the CPU: threads of one process that run on up to so many CPUs do not
/// wait for each other's cache lines. Where blocks are sampled, nothing else is written at most calls.
pub const HIT_PARTS: u32 = 8;

/// Probe hits of a process on some of the CPUs, in a cache line of their own.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct HitsRecord {
    /// Entries of allocating functions.
    pub entries: u64,
    /// Frees.
    pub releases: u64,
    /// Returns of allocating functions, where blocks are sampled: few are trapped.
    pub returns: u64,
    /// Explicit padding.
    pub reserved: [u64; 5],
}

/// The command line that an image of a process was executed with, for one that is gone before anybody can ask.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct CommandRecord {
    /// Bytes that follow: arguments, each ended by a zero; 0 when they could not be read.
    pub length: u64,
    /// The beginning of the command line.
    pub bytes: [u8; COMMAND_BYTES],
}

/// Most bytes of a command line that are kept.
pub const COMMAND_BYTES: usize = 248;

/// Which processes are traced besides those that user space names.
pub mod follow {
    /// None.
    pub const NONE: u32 = 0;
    /// What they start, and what that starts.
    pub const CHILDREN: u32 = 1;
    /// Besides, every process that executes a program and is selected: see [`crate::selection`].
    pub const EVERYONE: u32 = 2;
}

/// Where a process's calls are counted: a slot, and a number that is new whenever user space names another slot, as it
/// does to forget what was recorded, or none. One word, so that programs see the change at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Era(pub u64);

impl Era {
    /// The first era of a process: its own slot.
    #[must_use]
    pub const fn first(slot: u32) -> Self {
        Self(slot as u64)
    }

    /// The era that follows, in another slot.
    #[must_use]
    pub const fn next(self, slot: u32) -> Self {
        Self((self.0 >> 32).wrapping_add(1) << 32 | slot as u64)
    }

    /// Of a process whose calls are not counted any more. Not 0, as of a slot that nobody has.
    #[must_use]
    pub const fn closed(self) -> Self {
        self.next(NO_SLOT)
    }

    /// Slot whose counters, call stacks and live blocks are meant.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
    pub const fn slot(self) -> u32 {
        self.0 as u32
    }
}

/// The word [`ProcessRecord::current`]: bytes in the lower 48 bits, and above them the number of the peak, which user
/// space raises by one to begin a new one. As both are in one word, whoever adds bytes learns at the same instant which
/// peak they count for.
///
/// For an instant the sum may be below zero, when a program frees a block while it is still being recorded (which is a
/// mistake of that program): it borrows from the number of the peak, and gives it back with the block.
pub mod current {
    const BITS: u32 = 48;

    /// Added to begin a new peak.
    pub const NEXT_PEAK: u64 = 1 << BITS;

    /// Bytes live; 0 while the sum is below zero.
    #[must_use]
    #[inline]
    pub const fn bytes(word: u64) -> u64 {
        let bytes = word & (NEXT_PEAK - 1);
        if bytes >> (BITS - 1) == 0 { bytes } else { 0 }
    }

    /// Index in [`super::ProcessRecord::peaks`].
    #[must_use]
    #[inline]
    pub const fn peak(word: u64) -> usize {
        (word >> BITS & 1) as usize
    }
}

const _: () = assert!(size_of::<ProcessRecord>() == 128 && core::mem::offset_of!(ProcessRecord, tgid) == 64);

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for Target {}
#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for ProcessRecord {}
#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for HitsRecord {}
#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for CommandRecord {}

#[cfg(test)]
mod tests {
    use super::{Era, current};

    /// An era names its slot and differs from the one before, though the slot comes again.
    #[test]
    fn eras_differ_though_their_slots_do_not() {
        let first = Era::first(7);
        let third = first.next(9).next(7);
        assert_eq!((first.slot(), first.next(9).slot(), third.slot()), (7, 9, 7));
        assert_ne!(first, third);
        let closed = first.next(9).closed();
        assert_eq!(closed.slot(), super::NO_SLOT);
        assert_ne!(first.closed(), Era(0));
        assert_ne!((closed.next(7), closed.next(9)), (third, first.next(9)));
    }

    /// Bytes and the peak's number do not disturb each other, below zero neither.
    #[test]
    fn bytes_and_peaks_lie_in_one_word() {
        let word = 3 * current::NEXT_PEAK + 100;
        assert_eq!((current::bytes(word), current::peak(word)), (100, 1));
        let below_zero = word.wrapping_sub(101);
        assert_eq!(current::bytes(below_zero), 0);
        assert_eq!(below_zero.wrapping_add(101), word);
    }
}
