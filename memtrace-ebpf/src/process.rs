//! Which process a thread belongs to, and the counters of the process as a whole.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use memtrace_common::{
    event, loss,
    process::{Era, NO_SLOT, ProcessRecord, SLOTS, current},
};

use crate::{
    atomic,
    event::send,
    loss::count,
    maps::{CURSORS, NEXT_SLOT, PROCESSES, TARGETS},
    thread::{self, Thread},
};

/// Thread group id of the running thread, in the initial pid namespace.
#[inline(always)]
fn current_tgid() -> u32 {
    (bpf_get_current_pid_tgid() >> 32) as u32
}

/// Where the running thread's calls are counted, or `None` when its process is not traced. Asked once by a program, so
/// that all that it does is of one era.
#[inline(always)]
pub fn era(thread: &mut Thread) -> Option<Era> {
    if thread.slot == u64::from(NO_SLOT) {
        // SAFETY: the value is copied out at once; user space alone removes entries, after detaching.
        let target = unsafe { TARGETS.get(current_tgid()) }?;
        thread.slot = u64::from(target.slot);
    }
    era_of(thread)
}

/// The same for a thread whose process has been looked up before.
#[inline(always)]
pub fn era_of(thread: &Thread) -> Option<Era> {
    if thread.slot == u64::from(NO_SLOT) {
        return None;
    }
    let record: *const ProcessRecord = record(thread.slot as u32)?;
    // SAFETY: a map value; volatile, as user space writes it.
    let era = Era(unsafe { core::ptr::read_volatile(&raw const (*record).era) });
    (era.slot() != NO_SLOT).then_some(era)
}

/// The counters of a slot.
#[inline(always)]
pub fn record(slot: u32) -> Option<&'static mut ProcessRecord> {
    // SAFETY: a map value; other CPUs write it too, so callers use atomics only.
    PROCESSES.get_ptr_mut(slot).map(|record| unsafe { &mut *record })
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

/// Gives a traced process that replaced its image a new slot: other counters, other stacks, other blocks.
///
/// `caller` is the id of the thread that called exec; it has become the process's first thread.
#[inline(always)]
pub fn exec(caller: u32) {
    let tgid = current_tgid();
    let Some(target) = TARGETS.get_ptr_mut(tgid) else { return };
    let Some(cursor) = CURSORS.get_ptr_mut(NEXT_SLOT) else { return };
    let slot = atomic::fetch_add(cursor, 1);
    // Without a slot the new image is not recorded: `process::era` finds `NO_SLOT`. User space learns it by the event.
    let slot = if slot < u64::from(SLOTS) { slot as u32 } else { NO_SLOT };
    if let Some(record) = record(slot) {
        record.tgid = tgid;
        // Before anybody can find the slot.
        record.era = Era::first(slot).0;
    }
    // SAFETY: the value of a hash map that only this thread, the only one left of its process, writes now.
    unsafe {
        (*target).slot = slot;
        (*target).from_exec = 0;
    }
    if let Some(thread) = thread::existing() {
        thread.slot = u64::from(slot);
        thread.pending.stack_pointer = 0;
        thread.suspended.stack_pointer = 0;
        thread.stack_top = 0;
    }
    if caller == tgid {
        send(event::EXEC, tgid, slot);
    } else {
        count(loss::LATE_PROBES);
        send(event::EXEC_BY_THREAD, tgid, slot);
    }
}

/// `CLONE_VM` of include/uapi/linux/sched.h: parent and child share their memory.
const CLONE_VM: u64 = 0x100;

/// A traced process has made a child with a memory of its own, breakpoints included: user space takes them out.
#[inline(always)]
pub fn new_task(clone_flags: u64) {
    if clone_flags & CLONE_VM != 0 {
        return;
    }
    let tgid = current_tgid();
    if TARGETS.get_ptr(tgid).is_some() {
        send(event::FORK, tgid, 0);
    }
}
