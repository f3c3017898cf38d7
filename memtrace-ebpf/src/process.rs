//! Which process a thread belongs to, and the counters of the process as a whole.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id};
use memtrace_common::process::{Era, HIT_PARTS, HitsRecord, NO_SLOT, ProcessRecord, current};

use crate::{
    atomic,
    maps::{HITS, PROCESSES, TARGETS},
    thread::{self, Thread},
};

/// Thread group id of the running thread, in the initial pid namespace.
#[inline(always)]
pub fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// The state of the running thread if its process is traced. Probes may be in all processes that map a file: the first
/// question for the others is the last, and they get no state.
#[inline(always)]
pub fn traced_thread<'a>() -> Option<&'a mut Thread> {
    if let Some(thread) = thread::existing()
        && thread.slot != u64::from(NO_SLOT)
    {
        return Some(thread);
    }
    // SAFETY: the value is copied out at once.
    let slot = unsafe { TARGETS.get(current_tgid()) }?.slot;
    if slot == NO_SLOT {
        return None;
    }
    let thread = thread::current()?;
    thread.slot = u64::from(slot);
    Some(thread)
}

/// Where a thread's calls are counted, or `None` when its process is not traced. Asked once by a program, so that all that
/// it does is of one era.
#[inline(always)]
pub fn era(thread: &Thread) -> Option<Era> {
    if thread.slot == u64::from(NO_SLOT) {
        return None;
    }
    let record: *const ProcessRecord = record(thread.slot as u32)?;
    // SAFETY: a map value; volatile, as user space writes it.
    let era = Era(unsafe { core::ptr::read_volatile(&raw const (*record).era) });
    (era.slot() != NO_SLOT).then_some(era)
}

/// Whether calls are counted of a process that has this record: user space may have closed it.
#[inline(always)]
pub fn is_open(record: &mut ProcessRecord) -> bool {
    // SAFETY: a map value; volatile, as user space writes it.
    Era(unsafe { core::ptr::read_volatile(&raw const record.era) }).slot() != NO_SLOT
}

/// The counters of a slot.
#[inline(always)]
pub fn record(slot: u32) -> Option<&'static mut ProcessRecord> {
    // SAFETY: a map value; other CPUs write it too, so callers use atomics only.
    PROCESSES.get_ptr_mut(slot).map(|record| unsafe { &mut *record })
}

/// What one more hit of a slot's process is counted in, on this CPU.
#[inline(always)]
pub fn hits(slot: u32) -> Option<&'static mut HitsRecord> {
    // SAFETY: the helper takes nothing and returns a number.
    let part = unsafe { bpf_get_smp_processor_id() } & (HIT_PARTS - 1);
    // SAFETY: a map value; programs on other CPUs, and one that has moved, write it too, so callers use atomics only.
    HITS.get_ptr_mut(slot * HIT_PARTS + part).map(|record| unsafe { &mut *record })
}

/// Adds a block, or with `released` the difference between a block and the one it replaces.
#[inline(always)]
pub fn grow(record: &mut ProcessRecord, allocated: u64, released: u64) {
    let change = allocated.wrapping_sub(released);
    let now = atomic::fetch_add(&raw mut record.current, change).wrapping_add(change);
    if allocated > released {
        // Sums below zero (see `current`) are no peak.
        atomic::raise_to(&raw mut record.peaks[current::peak(now)], current::bytes(now));
    }
}

/// Takes a block away.
#[inline(always)]
pub fn shrink(record: &mut ProcessRecord, released: u64) {
    atomic::add(&raw mut record.current, released.wrapping_neg());
}
