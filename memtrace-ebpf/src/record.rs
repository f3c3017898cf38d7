//! The accounting: what an allocator call means for the counters.
//!
//! A call is recorded at its return, under the thread's outermost call: what an allocator calls within itself is its
//! own affair. Entry and return are paired by stack pointer, never by counting, since returns can be lost.
//!
//! A block's record is made in the return program, before the caller gets the address, and taken away at the entry of
//! free, before the allocator can hand the address out again; so for one address the two always alternate, on
//! whatever threads they run. `realloc` frees within the call, so its block's record is taken out at entry and put
//! back if the call fails.

use aya_ebpf::helpers::{bpf_get_attach_cookie, bpf_probe_read_user};
use memtrace_common::{
    call,
    live::{self as layout, LiveEntry},
    loss,
    process::{Era, NO_SLOT, ProcessRecord},
};

use crate::{
    atomic, live,
    loss::count,
    maps::MIN_SIZE,
    process,
    registers::{RETURN_POPS, Registers},
    site, stack,
    thread::{self, Thread},
};

/// Entry of an allocating function.
#[inline(always)]
pub fn begin(registers: Registers) {
    let Some(thread) = thread::current() else { return };
    let Some(era) = process::era(thread) else { return };
    let slot = era.slot();
    let Some(process) = process::record(slot) else { return };
    atomic::add(&raw mut process.entries, 1);
    let stack_pointer = registers.stack_pointer();
    if thread.pending.stack_pointer != 0 && !outermost(thread, stack_pointer, era) {
        return;
    }
    // SAFETY: the context of this program.
    let call = unsafe { bpf_get_attach_cookie(registers.0) };
    let pending = &mut thread.pending;
    pending.call = call;
    pending.era = era.0;
    pending.chained = 0;
    pending.moved.key = 0;
    pending.size = match call {
        call::ALLOCATE_ARG0 => registers.argument0(),
        // An overflowing product does not matter: such a call returns no memory.
        call::ALLOCATE_PRODUCT => registers.argument0().wrapping_mul(registers.argument1()),
        call::ALLOCATE_THROUGH_ARG0 => {
            pending.result_at = registers.argument0();
            registers.argument2()
        }
        _ => registers.argument1(),
    };
    if call == call::REALLOCATE {
        take_out(thread, slot, registers.argument0());
    }
    thread.pending.stack_pointer = stack_pointer;
}

/// Whether a call entered at `stack_pointer` is not inside the pending one; a pending one that can no longer return is
/// dropped.
#[inline(always)]
fn outermost(thread: &mut Thread, stack_pointer: u64, era: Era) -> bool {
    let pending = thread.pending.stack_pointer;
    if stack_pointer <= pending && awaits_return(pending) {
        if stack_pointer == pending {
            // A jump from the pending function into this one (a tail call): two returns will come.
            thread.pending.chained += 1;
        }
        return false;
    }
    count(loss::NEVER_RETURNED);
    put_back(thread, era);
    true
}

/// Bytes of the smallest page.
const PAGE: u64 = 4096;

/// Whether the return address at the entry's stack pointer still leads to the kernel's trampoline.
///
/// The kernel puts the trampoline at the start of a page of its own (`xol_area`, kernel/events/uprobes.c), and a
/// return address is never the start of a page by chance worth mentioning. On aarch64 the return address is in a
/// register, which the function may have saved anywhere: there a pending call counts as under way.
#[inline(always)]
fn awaits_return(stack_pointer: u64) -> bool {
    if RETURN_POPS == 0 {
        return true;
    }
    // SAFETY: reads user memory; the helper checks the address.
    match unsafe { bpf_probe_read_user(stack_pointer as *const u64) } {
        Ok(address) => address != 0 && address.is_multiple_of(PAGE),
        Err(_) => false,
    }
}

/// Takes the record of a block that is being reallocated out of the table. A block that is not there (allocated
/// before tracing, or null) leaves `moved.key` at 0.
#[inline(always)]
fn take_out(thread: &mut Thread, slot: u32, address: u64) {
    if address == 0 {
        return;
    }
    let Some(key) = layout::key(address, slot) else { return };
    live::remove(key, &mut thread.pending.moved);
}

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

/// Return of an allocating function.
#[inline(always)]
pub fn finish(registers: Registers) {
    let Some(thread) = thread::current() else { return };
    let seen_before = thread.slot != u64::from(NO_SLOT);
    let Some(era) = process::era(thread) else { return };
    let slot = era.slot();
    let pending = &mut thread.pending;
    if pending.stack_pointer == 0 {
        if seen_before {
            count(loss::UNPAIRED_RETURN);
        }
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
    if pending.era != era.0 {
        // What the call has taken out has been forgotten since; what it returns is new.
        pending.moved.key = 0;
    }
    let Some(process) = process::record(slot) else { return };
    let address = result(thread, registers);
    match stack::forget(thread, address) {
        0 => nothing_returned(thread, process, era),
        address => block_returned(thread, process, slot, address, registers),
    }
    thread.pending.stack_pointer = 0;
    thread.pending.moved.key = 0;
}

/// The address that the call returned; 0 for none.
#[inline(always)]
fn result(thread: &Thread, registers: Registers) -> u64 {
    let result = registers.result();
    if thread.pending.call != call::ALLOCATE_THROUGH_ARG0 {
        return result;
    }
    // posix_memalign returns an int error; the upper half of the register says nothing.
    if result as u32 != 0 {
        return 0;
    }
    // SAFETY: reads user memory; the helper checks the address.
    let read: Result<u64, i32> = unsafe { bpf_probe_read_user(thread.pending.result_at as *const u64) };
    read.unwrap_or_else(|_| {
        count(loss::UNREADABLE_RESULT);
        0
    })
}

/// A call came back without memory: it failed, or it was `realloc(block, 0)`, which frees.
#[inline(always)]
fn nothing_returned(thread: &mut Thread, process: &mut ProcessRecord, era: Era) {
    if thread.pending.call != call::REALLOCATE {
        atomic::add(&raw mut process.failed_calls, 1);
        return;
    }
    if thread.pending.size != 0 {
        atomic::add(&raw mut process.failed_calls, 1);
        put_back(thread, era);
    } else if thread.pending.moved.key != 0 {
        let moved = thread.pending.moved;
        site::count_freed_now(&moved);
        process::shrink(process, moved.size);
    }
}

/// A call came back with a block.
#[inline(always)]
fn block_returned(thread: &mut Thread, process: &mut ProcessRecord, slot: u32, address: u64, registers: Registers) {
    let size = thread.pending.size;
    let moved = thread.pending.moved;
    let mut allocated = 0;
    let mut released = 0;
    if size >= MIN_SIZE.load() {
        let site = stack::walk(thread, slot, process, registers);
        if remember(address, slot, size, site) {
            site::count_allocated(site, size);
            allocated = size;
        }
    }
    if moved.key != 0 {
        site::count_freed_now(&moved);
        released = moved.size;
    }
    process::grow(process, allocated, released);
}

/// Enters a block into the table of live blocks; `false`, and counted, when that cannot be.
#[inline(always)]
fn remember(address: u64, slot: u32, size: u64, site: u32) -> bool {
    let Some(key) = layout::key(address, slot) else {
        count(loss::ADDRESS_RANGE);
        return false;
    };
    let remembered = live::insert(&LiveEntry { key, size, site, ticks: live::now() });
    if !remembered {
        count(loss::LIVE_FULL);
    }
    remembered
}

/// Entry of a freeing function.
#[inline(always)]
pub fn release(registers: Registers) {
    let address = registers.argument0();
    if address == 0 {
        return;
    }
    let Some(thread) = thread::current() else { return };
    let Some(slot) = process::era(thread).map(Era::slot) else { return };
    let Some(process) = process::record(slot) else { return };
    atomic::add(&raw mut process.releases, 1);
    let Some(key) = layout::key(address, slot) else { return };
    let mut block = LiveEntry::default();
    if live::remove(key, &mut block) {
        site::count_freed_now(&block);
        process::shrink(process, block.size);
    } else if thread.pending.stack_pointer == 0 {
        // Inside an allocator call it is the allocator's own: realloc frees the block that it moved, for one.
        atomic::add(&raw mut process.unknown_frees, 1);
    }
}

/// A thread ends: a reallocation that it was in will not return.
#[inline(always)]
pub fn thread_exit() {
    if let Some(thread) = thread::existing()
        && thread.pending.stack_pointer != 0
        && let Some(era) = process::era_of(thread)
    {
        put_back(thread, era);
    }
}
