//! Call stacks and their counters.
//!
//! `SITES` is an open-addressed table in an array map: the bucket is taken from the stack's 64-bit hash, and a free
//! entry is claimed by compare-and-swap. `FRAMES` is an array of words to which each new stack is appended once: a
//! header word ([`header`]) followed by the frames, so user space learns of new sites by reading on from where it
//! stopped; what it has read it sets to zero, and the array is used again from its beginning. Where threads are told
//! apart, a stack belongs to one thread, and [`THREAD_WORDS`] more words follow its frames.

/// Number of entries in `SITES`, a power of two.
pub const SITES: u32 = 1 << 18;

/// Entries tried, one after the other, before the table counts as full.
pub const PROBES: u32 = 16;

/// No entry. The entries below [`FIRST_SITE`] take what finds no entry of its own, each for the process slot of its
/// number: counted, but under no stack.
pub const NO_SITE: u32 = 0;

/// First entry for call stacks.
pub const FIRST_SITE: u32 = crate::process::SLOTS;

/// The last entries are for stacks that found no room whole: their innermost frames alone. A program with many stacks is
/// still told line by line then, as there are far fewer of these.
pub const SHORT_SITES: u32 = 1 << 16;

/// First entry for those.
pub const FIRST_SHORT: u32 = SITES - SHORT_SITES;

/// Places among them at which room for such a stack is looked for: behind them there is nothing but a loss.
pub const SHORT_PLACES: u32 = 4;

/// Frames that such a stack keeps.
pub const SHORT_FRAMES: u64 = 8;

/// The same of a thread that runs Python, besides the innermost of Python's that surely has a line.
pub const SHORT_BESIDE_PYTHON: u64 = 2;

/// Frames of Python's among which that one is looked for.
pub const SHORT_PYTHON: u64 = 3;

/// Words of `FRAMES` that whole stacks leave to those, while user space has not read them.
pub const SHORT_WORDS: u32 = FRAME_WORDS / 8;

/// Hash of an entry whose process is gone: free, but others that were added later may lie behind it. Hashes are odd.
pub const RELEASED: u64 = 2;

/// Number of words in `FRAMES`, a power of two.
pub const FRAME_WORDS: u32 = 1 << 22;

/// Words that name a stack's thread, counted as frames by the header: its id in the initial pid namespace in the lower
/// half and in the upper a number that no other thread has; then its name (`comm`), 16 bytes.
pub const THREAD_WORDS: u32 = 3;

/// Most frames of a stack.
pub const MAX_FRAMES: u32 = 127;

/// A call stack of one process in one domain with its counters: one cache line.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct SiteRecord {
    /// Hash over process slot, domain and frames; 0 marks a free entry, [`RELEASED`] one that was in use.
    pub hash: u64,
    /// Blocks allocated. Sampled: this and the other numbers of blocks have [`crate::sampling::BLOCK_BITS`] bits of fraction.
    pub allocated_blocks: u64,
    /// Bytes allocated.
    pub allocated_bytes: u64,
    /// Blocks of those freed.
    pub freed_blocks: u64,
    /// Bytes of those freed.
    pub freed_bytes: u64,
    /// Blocks of the freed ones that did not outlive [`crate::live::SHORT_LIFE_NANOS`], by the coarse clock.
    pub short_lived: u64,
    /// Sampled: variance of `allocated_bytes`, in units of 2^`VARIANCE_SHIFT`: see [`crate::sampling::variance_shift`].
    pub allocated_variance: u64,
    /// Of that, what belongs to freed blocks. Live bytes have the difference.
    pub freed_variance: u64,
}

/// Layers of memory, which a stack's hash is mixed with.
pub mod domain {
    /// Blocks of an allocator.
    pub const BLOCKS: u64 = 0;
    /// What the process maps.
    pub const MAPPINGS: u64 = 1;
}

/// Ends of a stack walk, in the header of a stack.
pub mod end {
    /// The start of the thread was reached.
    pub const WHOLE: u64 = 0;
    /// There were more frames than asked for.
    pub const TRUNCATED: u64 = 1;
    /// The chain of frame pointers broke: unreadable, or not upwards.
    pub const BROKEN: u64 = 2;
    /// An address in no known mapping.
    pub const NO_MAPPING: u64 = 3;
    /// Code without unwind information in a file that has some.
    pub const NO_RULE: u64 = 4;
    /// A rule that has no form in the tables.
    pub const UNSUPPORTED: u64 = 5;
    /// Stack memory that could not be read, or frames that do not go upwards.
    pub const UNREADABLE: u64 = 6;
    /// Code of a file without unwind information, where frame pointers are not to be followed.
    pub const NO_TABLE: u64 = 7;
    /// The whole stack found no room: these are its innermost frames.
    pub const NO_ROOM: u64 = 8;
}

/// The word before a stack's frames. Never zero, so that a reader sees where committed stacks end.
pub mod header {
    const COMMITTED: u64 = 1 << 63;

    /// Packs index (24 bits), process slot (16), end (4), number of frames (8) and of Python frames behind them (8).
    #[must_use]
    #[inline]
    pub const fn pack(site: u32, slot: u32, end: u64, frames: u64, python: u64) -> u64 {
        let (site, slot) = ((site as u64 & 0xff_ffff) << 8, (slot as u64 & 0xffff) << 32);
        COMMITTED | (python & 0xff) << 52 | (end & 0xf) << 48 | slot | site | frames & 0xff
    }

    /// Number of Python frames, behind the other words.
    #[must_use]
    pub const fn python_frames(word: u64) -> usize {
        (word >> 52 & 0xff) as usize
    }

    /// Number of frames.
    #[must_use]
    pub const fn frames(word: u64) -> usize {
        (word & 0xff) as usize
    }

    /// Index in `SITES`.
    #[must_use]
    pub const fn site(word: u64) -> u32 {
        (word >> 8 & 0xff_ffff) as u32
    }

    /// Process slot.
    #[must_use]
    pub const fn slot(word: u64) -> u32 {
        (word >> 32 & 0xffff) as u32
    }

    /// Why the walk ended: a constant of [`super::end`].
    #[must_use]
    pub const fn end(word: u64) -> u64 {
        word >> 48 & 0xf
    }
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for SiteRecord {}
