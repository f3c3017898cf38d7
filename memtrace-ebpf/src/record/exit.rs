//! The end of an allocating function, by a return probe or at one of its exits: what it brought is counted.

use aya_ebpf::helpers::{bpf_get_attach_cookie, bpf_probe_read_user};
use memtrace_common::{
    call::{self, exit, field, flag, kind},
    live::{self as layout, LiveEntry},
    loss,
    process::{Era, NO_SLOT, ProcessRecord},
    site::domain,
};

use super::put_back;
use crate::{
    atomic, live,
    loss::count,
    maps::MIN_SIZE,
    process,
    registers::{Caller, RETURN_POPS, Registers},
    sampling, share, site, stack,
    thread::{self, Pending, Thread},
};

/// Return of an allocating function, by a return probe.
#[inline(always)]
pub fn finish(registers: Registers) {
    // A thread that is met for the first time returns from a call that was entered before.
    let Some(thread) = thread::existing().filter(|thread| thread.slot != u64::from(NO_SLOT)) else { return };
    let Some(era) = process::era(thread) else { return };
    if sampling::is_on()
        && let Some(hits) = process::hits(era.slot())
    {
        atomic::add(&raw mut hits.returns, 1);
    }
    let pending = &mut thread.pending;
    if pending.stack_pointer == 0 {
        count(loss::UNPAIRED_RETURN);
        return;
    }
    let entered_at = registers.stack_pointer().wrapping_sub(RETURN_POPS);
    if entered_at != pending.stack_pointer {
        // A nested call when below; above, the pending one was lost, which the next entry will find.
        return;
    }
    if pending.chained != 0 {
        pending.chained -= 1;
        return;
    }
    ended(thread, era, registers.result(), registers.caller_at_return());
}

/// An exit of an allocating function that has no return probe. Other functions may share the exit: then no pending call
/// was entered at this stack pointer.
#[inline(always)]
pub fn leave(registers: Registers) {
    let Some(thread) = thread::existing() else { return };
    let pending = &thread.pending;
    if pending.stack_pointer != registers.stack_pointer() || pending.call & flag::BY_EXITS == 0 {
        return;
    }
    let Some(era) = process::era(thread) else { return };
    // SAFETY: the context of this program.
    let in_argument = unsafe { bpf_get_attach_cookie(registers.0) } == exit::RESULT_IN_ARGUMENT0;
    let result = if in_argument { registers.argument0() } else { registers.result() };
    if result != 0 && result == thread.suspended.inner_result {
        // What a call within it has returned: recorded already.
        end(thread, result);
        return;
    }
    // Not the one on the stack: another tracer may have a return probe on the call.
    let caller = registers.caller_at_exit(thread.pending.return_address);
    ended(thread, era, result, caller);
}

/// The pending call has ended.
#[inline(always)]
fn ended(thread: &mut Thread, era: Era, returned: u64, caller: Caller) {
    let slot = era.slot();
    let Some(process) = process::record(slot) else { return };
    if thread.pending.era != era.0 {
        // What the call has taken out has been forgotten since; what it returns is new.
        thread.pending.moved.key = 0;
    }
    let address = result(thread, returned);
    let address = stack::forget(thread, address);
    if address == 0 {
        nothing_returned(thread, process, era);
    } else {
        block_returned(thread, process, slot, address, caller);
    }
    end(thread, address);
}

/// The address of the block that the call brought; 0 for none.
#[inline(always)]
fn result(thread: &mut Thread, returned: u64) -> u64 {
    let pending = &mut thread.pending;
    // All that is uncommon lies in the upper fields.
    if pending.call >> field::RESULT != 0 {
        // An int: the upper half of the register says nothing.
        if pending.call & flag::ZERO_IS_SUCCESS != 0 && returned as u32 != 0 {
            return 0;
        }
        if call::get(pending.call, field::RESULT) != 0 {
            return stored_result(pending.result_at);
        }
    }
    if call::get(pending.call, field::KIND) == kind::RESIZE {
        return resized(pending, returned);
    }
    returned
}

/// A result that the call has stored; 0, and counted, when it cannot be read.
#[inline(always)]
fn stored_result(at: u64) -> u64 {
    // SAFETY: reads user memory; the helper checks the address.
    let read: Result<u64, i32> = unsafe { bpf_probe_read_user(at as *const u64) };
    read.unwrap_or_else(|_| {
        count(loss::UNREADABLE_RESULT);
        0
    })
}

/// A block that was to change its size in place has `real` bytes. If these are as many as asked for, it counts with them,
/// but with no more than were asked for together with what was welcome beyond: the rest is the allocator's rounding.
#[inline(always)]
fn resized(pending: &mut Pending, real: u64) -> u64 {
    if real < pending.size {
        return 0;
    }
    let most = pending.size.saturating_add(pending.extra);
    pending.size = if real < most { real } else { most };
    pending.block
}

/// A call came back without memory: it failed, or it was `realloc(block, 0)`, which frees.
#[inline(always)]
fn nothing_returned(thread: &mut Thread, process: &mut ProcessRecord, era: Era) {
    let call = thread.pending.call;
    let frees = call::get(call, field::KIND) == kind::REALLOCATE
        && (thread.pending.size == 0 || call & flag::FREES_ON_FAILURE != 0);
    if thread.pending.size != 0 || call::get(call, field::KIND) != kind::REALLOCATE {
        atomic::add(&raw mut process.failed_calls, 1);
    }
    let moved = thread.pending.moved;
    if moved.key == 0 {
        return;
    }
    if frees {
        let released = site::count_freed_now(&moved);
        process::shrink(process, released);
    } else {
        put_back(thread, era);
    }
}

/// A call came back with a block.
#[inline(always)]
fn block_returned(thread: &mut Thread, process: &mut ProcessRecord, slot: u32, address: u64, caller: Caller) {
    let size = thread.pending.size;
    let moved = thread.pending.moved;
    let mut allocated = 0;
    let mut released = 0;
    if thread.pending.counts != 0 && size >= MIN_SIZE.load() {
        let chosen = sampling::packed(size, thread.pending.counts - 1);
        let site = stack::walk(thread, slot, process, caller, domain::BLOCKS);
        if remember(address, slot, chosen, site) {
            let weight = sampling::weight(chosen);
            site::count_allocated(site, weight);
            allocated = weight.bytes;
        }
    }
    if moved.key != 0 {
        released = site::count_freed_now(&moved);
    }
    process::grow(process, allocated, released);
}

/// Enters a block into the table of live blocks, with its size and how it was chosen; `false`, and counted, when that cannot
/// be.
#[inline(always)]
fn remember(address: u64, slot: u32, size: u64, site: u32) -> bool {
    let Some(key) = layout::key(address, slot) else {
        count(loss::ADDRESS_RANGE);
        return false;
    };
    if !share::has_room_for_block(slot) {
        return false;
    }
    let remembered = live::insert(&LiveEntry { key, size, site, ticks: live::now() });
    if !remembered {
        count(loss::LIVE_FULL);
    }
    remembered
}

/// The pending call has ended with `address`; one that was set aside for it goes on.
#[inline(always)]
fn end(thread: &mut Thread, address: u64) {
    thread.pending.stack_pointer = thread.suspended.stack_pointer;
    thread.pending.moved.key = 0;
    if thread.suspended.stack_pointer != 0 {
        thread.pending.call = thread.suspended.call;
        thread.pending.counts = thread.suspended.counts;
        thread.pending.size = thread.suspended.size;
        thread.pending.return_address = thread.suspended.return_address;
        thread.suspended.stack_pointer = 0;
        thread.suspended.inner_result = address;
    }
}
