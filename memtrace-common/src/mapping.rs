//! What the programs of the mmap domain tell user space, which keeps the ranges: one event a system call that changes
//! which memory a process has mapped.
//!
//! A call that takes memory away is told before the kernel does, one that brings memory after; so events of one address
//! are in the order in which it changed hands, on whatever threads.

/// Bytes of the ring buffer: 131,072 events. They are taken out at each reading, and when a quarter of the ring is full.
pub const RING_BYTES: u32 = 8 << 20;

/// What has happened. In brackets what [`MappingEvent::start`], `length` and `result` are.
pub mod kind {
    /// Something was mapped (address, bytes, 0).
    pub const MAP: u32 = 1;
    /// A range will be unmapped (address, bytes, 0).
    pub const UNMAP: u32 = 2;
    /// It was not.
    pub const UNMAP_FAILED: u32 = 3;
    /// A mapping will be moved, or change its size (address, old bytes, 0).
    pub const REMAP: u32 = 4;
    /// It has (new address, new bytes, old address), or has not: `start` is 0.
    pub const REMAPPED: u32 = 5;
    /// The end of the heap segment was set or asked for (the end, 0, 0).
    pub const BREAK: u32 = 6;
    /// Access to a range has changed (address, bytes, 0).
    pub const PROTECT: u32 = 7;
    /// The process has replaced its image.
    pub const EXEC: u32 = 8;
    /// The process has been made, with a copy of the memory of another that is followed (that one's group id, 0, 0).
    pub const FORK: u32 = 9;
}

/// An event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MappingEvent {
    /// A constant of [`kind`].
    pub kind: u32,
    /// Thread group id in the initial pid namespace.
    pub tgid: u32,
    /// Thread id there.
    pub tid: u32,
    /// Process slot that the call is counted in.
    pub slot: u32,
    /// Where the call came from; 0 where no stack was taken.
    pub site: u32,
    /// Time, by the coarse clock of `crate::live`.
    pub ticks: u32,
    /// `PROT_…` of mmap(2) and mprotect(2).
    pub protection: u32,
    /// `MAP_…` of mmap(2) or `MREMAP_…` of mremap(2).
    pub flags: u32,
    /// Not 0: the thread is inside an allocator's function.
    pub in_allocator: u32,
    /// Explicit padding.
    pub padding: u32,
    /// See [`kind`].
    pub start: u64,
    /// See [`kind`].
    pub length: u64,
    /// See [`kind`].
    pub result: u64,
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for MappingEvent {}
