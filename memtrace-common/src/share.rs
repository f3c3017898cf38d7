//! What each traced process has taken of the tables that all of them share, so that none can fill them alone.

/// Of one process slot. Kept where there is a limit, as when a whole machine is traced.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(32))]
pub struct ShareRecord {
    /// Entries in the table of live blocks.
    pub blocks: u64,
    /// Blocks that were not recorded, as the process had its share.
    pub refused_blocks: u64,
    /// Entries in the table of call stacks.
    pub sites: u64,
    /// Allocations that were counted under no call stack, as the process had its share.
    pub refused_sites: u64,
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for ShareRecord {}
