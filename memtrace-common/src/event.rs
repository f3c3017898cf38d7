//! What BPF tells user space at once, through the `EVENTS` ring buffer.

/// The process replaced its image: mappings and heap are new, `slot` is its new slot and `other` the old one.
pub const EXEC: u32 = 1;
/// The same, by another thread than the process's first. The kernel knows a process by its first thread when it decides
/// where to place probes (`uprobe_multi_link_filter`, `uprobe_perf_filter`), and that thread is gone: probes placed in
/// this process alone are not in the new image.
pub const EXEC_BY_THREAD: u32 = 3;

/// A process forked. When children are followed, `tgid` and `slot` are the child's, and `other` is the slot of its parent;
/// otherwise `tgid` is the parent, and the child has inherited its breakpoints.
pub const FORK: u32 = 4;

/// The last process that counts in `slot` has ended.
pub const EXIT: u32 = 5;

/// An event.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Event {
    /// A constant of this module.
    pub kind: u32,
    /// Thread group id in the initial pid namespace.
    pub tgid: u32,
    /// A slot, 0 when there was none left: see the kinds.
    pub slot: u32,
    /// Another slot: see the kinds.
    pub other: u32,
    /// When it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for Event {}
