//! memtrace's own allocator: another than what it traces.
//!
//! Functions are probed in the file that they are in, for every process that has mapped it. With the C library's malloc,
//! memtrace would pay for a trap at each of its own calls whenever it follows processes or traces the whole machine.

/// In memtrace's own executable, which nobody else maps.
#[global_allocator]
static OWN: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;
