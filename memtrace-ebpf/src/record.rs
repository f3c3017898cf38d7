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
    call::{self, exit, field, flag, kind},
    live::{self as layout, LiveEntry},
    loss,
    process::{Era, NO_SLOT, ProcessRecord},
    site::domain,
};

use crate::{
    atomic, live,
    loss::count,
    maps::{MIN_SIZE, WITH_MAPPINGS},
    process, python,
    registers::{Caller, RETURN_POPS, Registers},
    sampling, site, stack,
    thread::{self, Pending, Thread},
};

/// Which returns of calls run a program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// All: their probes are apart from those at the entries.
    AllSeen,
    /// Those that the program at the entry asks for.
    Chosen,
}

/// Entry of an allocating function. Returns whether its return matters.
#[inline(always)]
pub fn begin(registers: Registers, ends: Ends) -> bool {
    let Some(thread) = process::traced_thread() else { return false };
    let Some(era) = process::era(thread) else { return false };
    let slot = era.slot();
    let Some(process) = process::record(slot) else { return false };
    atomic::add(&raw mut process.entries, 1);
    thread.released = 0;
    let stack_pointer = registers.stack_pointer();
    // SAFETY: the context of this program.
    let call = unsafe { bpf_get_attach_cookie(registers.0) };
    let before = thread.pending.stack_pointer;
    let mut size = registers.argument(call::get(call, field::SIZE));
    // An overflowing product does not matter: such a call returns no memory.
    if call::get(call, field::COUNT) != 0 {
        size = size.wrapping_mul(registers.argument(call::get(call, field::COUNT)));
    }
    if before != 0 && !takes_over(thread, process, era, call, registers, ends) {
        return false;
    }
    let counts = counts(thread, call, size);
    if !counts && ends == Ends::Chosen && call >> field::EXTRA == 0 {
        // No more will happen in it than that it hands out a block.
        return false;
    }
    let pending = &mut thread.pending;
    pending.call = call;
    pending.counts = u64::from(counts);
    pending.era = era.0;
    pending.chained = 0;
    pending.moved.key = 0;
    pending.size = size;
    // A stack that is walked within the call needs it, too: a return probe is about to take its place.
    if call & flag::BY_EXITS != 0 || WITH_MAPPINGS.load() != 0 {
        let address = registers.return_address();
        // Of a function that was jumped to, another tracer's return probe may have taken the place meanwhile.
        if before != stack_pointer || !address.is_multiple_of(PAGE) {
            pending.return_address = address;
        }
        pending.probed_at = registers.instruction_pointer();
        thread.suspended.inner_result = 0;
    }
    if call >> field::EXTRA != 0 {
        begin_uncommon(thread, slot, call, registers);
    }
    thread.pending.stack_pointer = stack_pointer;
    true
}

/// Whether the block that a call hands out will be recorded.
#[inline(always)]
fn counts(thread: &mut Thread, call: u64, size: u64) -> bool {
    // How large a block is that may grow in place is known at the end.
    if size < MIN_SIZE.load() && call::get(call, field::KIND) != kind::RESIZE {
        return false;
    }
    if !sampling::is_on() {
        return true;
    }
    if thread.suspended.stack_pointer != 0 {
        // A part of that call, which the points have been asked for.
        return thread.suspended.counts != 0;
    }
    sampling::falls_on(thread, size)
}

/// What only some calls need: those that take a block, or return their result through memory.
#[inline(always)]
fn begin_uncommon(thread: &mut Thread, slot: u32, call: u64, registers: Registers) {
    let pending = &mut thread.pending;
    pending.extra = registers.argument(call::get(call, field::EXTRA));
    pending.result_at = registers.argument(call::get(call, field::RESULT));
    pending.block = registers.argument(call::get(call, field::BLOCK));
    let block = pending.block;
    take_out(thread, slot, block);
}

/// Whether a call that is entered takes the place of the pending one. It does not when it is a part of that;
/// a pending one that can no longer return is dropped.
#[inline(always)]
fn takes_over(
    thread: &mut Thread,
    process: &mut ProcessRecord,
    era: Era,
    call: u64,
    registers: Registers,
    ends: Ends,
) -> bool {
    let stack_pointer = registers.stack_pointer();
    let pending = &mut thread.pending;
    if stack_pointer == pending.stack_pointer && pending.call & flag::BY_EXITS != 0 {
        // A jump from the pending function into another, which will see the end of both; or the same one is called again,
        // and its end has not been seen.
        if pending.probed_at == registers.instruction_pointer() {
            left(pending.call, process);
        }
        put_back(thread, era);
        return true;
    }
    // Where the outer one does not count, neither does what is called within it.
    if stack_pointer < pending.stack_pointer && pending.call & flag::THROWS != 0 && pending.counts != 0 {
        suspend(thread);
        return true;
    }
    if stack_pointer <= pending.stack_pointer && is_under_way(pending) {
        if ends == Ends::AllSeen && stack_pointer == pending.stack_pointer && call & flag::BY_EXITS == 0 {
            // Likewise a jump, with a return probe on both: two returns will come.
            pending.chained += 1;
        }
        return false;
    }
    left(pending.call, process);
    put_back(thread, era);
    true
}

/// Counts a call whose end was not seen: one that may throw has done so, which is how it fails.
#[inline(always)]
fn left(call: u64, process: &mut ProcessRecord) {
    if call & flag::THROWS == 0 {
        count(loss::NEVER_RETURNED);
    } else {
        atomic::add(&raw mut process.failed_calls, 1);
    }
}

/// Sets the pending call aside for one within it. Whether it will ever end is not known.
#[inline(always)]
fn suspend(thread: &mut Thread) {
    if thread.suspended.stack_pointer != 0 {
        count(loss::NEVER_RETURNED);
    }
    thread.suspended.stack_pointer = thread.pending.stack_pointer;
    thread.suspended.call = thread.pending.call;
    thread.suspended.counts = thread.pending.counts;
    thread.suspended.size = thread.pending.size;
    thread.suspended.return_address = thread.pending.return_address;
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
    // A return probe is there, ours or, of a call whose exits we watch, another tracer's. The kernel's trampoline lies at the start of a page of its own (`xol_area`, kernel/events/uprobes.c), and a return
    // address is never the start of a page by chance worth mentioning.
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

/// Takes the record of a block that is being reallocated out of the table. A block that is not there (allocated
/// before tracing, or null) leaves `moved.key` at 0.
#[inline(always)]
fn take_out(thread: &mut Thread, slot: u32, address: u64) {
    if address == 0 {
        return;
    }
    if !sampling::may_hold(address) {
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

/// Return of an allocating function, by a return probe.
#[inline(always)]
pub fn finish(registers: Registers) {
    // A thread that is met for the first time returns from a call that was entered before.
    let Some(thread) = thread::existing().filter(|thread| thread.slot != u64::from(NO_SLOT)) else { return };
    let Some(era) = process::era(thread) else { return };
    if sampling::is_on()
        && let Some(process) = process::record(era.slot())
    {
        atomic::add(&raw mut process.returns, 1);
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
        let site = stack::walk(thread, slot, process, caller, domain::BLOCKS);
        if remember(address, slot, size, site) {
            let weight = sampling::weight(size);
            site::count_allocated(site, weight);
            allocated = weight.bytes;
        }
    }
    if moved.key != 0 {
        released = site::count_freed_now(&moved);
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

/// Entry of a function that frees the block at `address`.
#[inline(always)]
pub fn release(address: u64) {
    if address == 0 {
        return;
    }
    let Some(thread) = process::traced_thread() else { return };
    let Some(slot) = process::era(thread).map(Era::slot) else { return };
    let Some(process) = process::record(slot) else { return };
    atomic::add(&raw mut process.releases, 1);
    python::freed(process, address);
    if !sampling::may_hold(address) {
        return;
    }
    let Some(key) = layout::key(address, slot) else { return };
    let mut block = LiveEntry::default();
    if live::remove(key, &mut block) {
        thread.released = address;
        let released = site::count_freed_now(&block);
        process::shrink(process, released);
    } else if sampling::is_on() {
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
