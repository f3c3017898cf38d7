//! The allocators that memtrace knows: one file each, a table of functions.
