//! The accounting: what an allocator call means for the counters.
//!
//! A call is recorded at its return, under the thread's outermost call: what an allocator calls within itself is its
//! own affair. Entry and return are paired by stack pointer, never by counting, since returns can be lost.
//!
//! A block's record is made in the return program, before the caller gets the address, and taken away at the entry of
//! free, before the allocator can hand the address out again; so for one address the two always alternate, on
//! whatever threads they run. `realloc` frees within the call, so its block's record is taken out at entry and put
//! back if the call fails.

mod entry;
mod exit;
mod free;

use aya_ebpf::helpers::bpf_probe_read_user;
use memtrace_common::{call::flag, loss, process::Era};

pub use self::{
    entry::{Ends, begin},
    exit::{finish, leave},
    free::{release, thread_exit},
};
use crate::{
    live,
    loss::count,
    registers::RETURN_POPS,
    thread::{Pending, Thread},
};

/// Whether a pending call can still return: its return address is where it was. (On aarch64 that is in a register,
/// which the function may have saved anywhere: there a pending call counts as under way.)
#[inline(always)]
fn is_under_way(pending: &Pending) -> bool {
    if RETURN_POPS == 0 {
        return true;
    }
    // SAFETY: reads user memory; the helper checks the address.
    let Ok(address) = (unsafe { bpf_probe_read_user(pending.stack_pointer as *const u64) }) else { return false };
    if pending.call & flag::BY_EXITS != 0 && address == pending.return_address {
        return true;
    }
    // A return probe is there, ours or, of a call whose exits we watch, another tracer's. The kernel's trampoline lies at
    // the start of a page of its own (`xol_area`, kernel/events/uprobes.c), and a return address is never the start of a
    // page by chance worth mentioning.
    address != 0 && address.is_multiple_of(PAGE)
}

/// Whether the thread is inside an allocator's function, at this stack pointer.
#[inline(always)]
pub fn is_in_allocator(thread: &Thread, stack_pointer: u64) -> bool {
    let pending = &thread.pending;
    pending.stack_pointer != 0 && stack_pointer <= pending.stack_pointer && is_under_way(pending)
}

/// Bytes of the smallest page.
const PAGE: u64 = 4096;

/// Puts the record taken out by a reallocation back: the call failed, or never came back. Not one of an earlier era, which
/// has been forgotten meanwhile.
#[inline(always)]
fn put_back(thread: &mut Thread, era: Era) {
    let moved = thread.pending.moved;
    thread.pending.stack_pointer = 0;
    thread.pending.moved.key = 0;
    if moved.key != 0 && thread.pending.era == era.0 && !live::insert(&moved) {
        count(loss::LIVE_FULL);
    }
}
