//! Indexes into the `LOSSES` array: one counter for each reason why something was not recorded.

/// No task storage could be had for the thread (the kernel was out of memory, or was interrupted in its own update).
pub const NO_THREAD_STATE: u32 = 0;
/// An allocator call was entered and never returned: left by `longjmp`, or its return probe was lost.
pub const NEVER_RETURNED: u32 = 1;
/// A return without an entry, in a thread that had been seen before. (The first return of a thread may belong to a call
/// that was under way when tracing began, which is no loss.)
pub const UNPAIRED_RETURN: u32 = 2;
/// The table of live blocks had no room: the block is not recorded.
pub const LIVE_FULL: u32 = 3;
/// The table of call stacks had no room: bytes and blocks are counted, under no stack.
pub const SITES_FULL: u32 = 4;
/// The store of stack frames had no room: bytes and blocks are counted, under no stack.
pub const FRAMES_FULL: u32 = 5;
/// A block was handed out again although its free was not seen; the older one was taken as freed.
pub const MISSED_FREE: u32 = 6;
/// An address that the table of live blocks cannot hold (above 2^48).
pub const ADDRESS_RANGE: u32 = 7;
/// The result of `posix_memalign` could not be read from the process.
pub const UNREADABLE_RESULT: u32 = 8;
/// An event for user space found no room in the ring buffer.
pub const EVENT_DROPPED: u32 = 9;
/// A process replaced its image by another thread than its first, so the new one ran without probes for a moment.
pub const LATE_PROBES: u32 = 10;
/// A process was started for which there was no slot: it is not traced.
pub const NO_SLOT: u32 = 11;
/// An event of the mmap domain found no room in its ring buffer.
pub const MAPPING_DROPPED: u32 = 12;
/// A Python code object for which neither the ring buffer nor the list of late ones had room: its frames have no name.
pub const PYTHON_CODE: u32 = 13;
/// A block of a process that had its share of the table of live blocks: it is not recorded. See [`crate::share`].
pub const SHARE_OF_BLOCKS: u32 = 14;
/// A call stack of a process that had its share of the table of call stacks: bytes and blocks are counted, under no stack.
pub const SHARE_OF_SITES: u32 = 15;

/// Number of reasons.
pub const COUNT: u32 = 16;
