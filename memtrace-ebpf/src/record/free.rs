//! Blocks that are given back, and threads that end within a call.

use memtrace_common::{
    live::{self as layout, LiveEntry},
    process::Era,
    steps,
};

use super::put_back;
use crate::{atomic, live, process, python, sampling, site, thread};

/// Entry of a function that frees the block at `address`.
#[inline(always)]
pub fn release(address: u64) {
    if address == 0 {
        return;
    }
    let Some(thread) = process::traced_thread() else { return };
    let Some(slot) = process::era(thread).map(Era::slot) else { return };
    let Some(process) = process::record(slot) else { return };
    let Some(hits) = process::hits(slot) else { return };
    atomic::add(&raw mut hits.releases, 1);
    python::freed(process, address);
    let Some(key) = layout::key(address, slot) else { return };
    let mut block = LiveEntry::default();
    if sampling::may_hold(address) && live::remove(key, &mut block) {
        thread.released = address;
        let released = site::count_freed_now(&block);
        process::shrink(process, released);
    } else if sampling::step() != steps::ALL {
        // Of most blocks nobody knows.
    } else if thread.pending.stack_pointer == 0 && thread.released != address {
        // Inside an allocator call it is the allocator's own: realloc frees the block that it moved, for one. And a
        // function that frees may call or jump to another (operator delete to free).
        thread.released = address;
        atomic::add(&raw mut process.unknown_frees, 1);
    }
}

/// A thread ends: a reallocation that it was in will not return.
#[inline(always)]
pub fn thread_exit() {
    if let Some(thread) = thread::existing()
        && thread.pending.stack_pointer != 0
        && let Some(era) = process::era(thread)
    {
        put_back(thread, era);
    }
}
