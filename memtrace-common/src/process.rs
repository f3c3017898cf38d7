//! Counters of a traced process, and how BPF finds them.

/// Number of slots: traced processes, images replaced by `exec` included, that can be told apart at a time.
/// The key of a live block has 16 bits for it.
pub const SLOTS: u32 = 1024;

/// Slot 0 is never used, so that zeroed memory names no process.
pub const NO_SLOT: u32 = 0;

/// Value of the `TARGETS` map, keyed by thread group id.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Target {
    /// Index into `PROCESSES`; [`NO_SLOT`] while waiting for `exec`.
    pub slot: u32,
    /// Non-zero: recording starts with the next `exec` (the child of `memtrace run`).
    pub from_exec: u32,
}

/// Counters of one process in two cache lines of its own, and where its mappings are.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(128))]
pub struct ProcessRecord {
    /// Bytes live now.
    pub current_bytes: u64,
    /// Highest value that `current_bytes` had.
    pub peak_bytes: u64,
    /// Allocator calls that returned no memory.
    pub failed_calls: u64,
    /// Frees of blocks that are not in the table of live blocks.
    pub unknown_frees: u64,
    /// Probe hits: entries of allocating functions.
    pub entries: u64,
    /// Probe hits: frees.
    pub releases: u64,
    /// Thread group id in the initial pid namespace.
    pub tgid: u32,
    /// Number of the mapping list, new with each: rules that were found through an older list are not used.
    pub generation: u32,
    /// Where its mappings are: see [`crate::unwind::mapping_list`]; 0 while there are none.
    pub mapping_list: u64,
    /// Explicit padding.
    pub reserved: [u64; 8],
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for Target {}
#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for ProcessRecord {}
