//! What BPF tells user space at once, through the `EVENTS` ring buffer.

/// The process replaced its image: mappings and heap are new, `slot` is its new slot.
pub const EXEC: u32 = 1;
/// The same, by another thread than the process's first. The kernel knows a process by its first thread when it decides
/// where to place probes (`uprobe_multi_link_filter`, `uprobe_perf_filter`), and that thread is gone: the new image has
/// no probes.
pub const EXEC_BY_THREAD: u32 = 3;

/// The process forked: the child has inherited its breakpoints.
pub const FORK: u32 = 4;

/// An event.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Event {
    /// A constant of this module.
    pub kind: u32,
    /// Thread group id in the initial pid namespace; 0 when no process is meant.
    pub tgid: u32,
    /// [`EXEC`], [`EXEC_BY_THREAD`]: the new slot.
    pub value: u32,
    /// Explicit padding.
    pub padding: u32,
}

#[cfg(feature = "user")]
// SAFETY: repr(C), integers only, no implicit padding: any bytes are a valid value.
unsafe impl aya::Pod for Event {}
