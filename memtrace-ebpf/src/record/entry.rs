//! Entry of an allocating function: whether it is the thread's outermost call, and what its end will need.

use aya_ebpf::helpers::bpf_get_attach_cookie;
use memtrace_common::{
    call::{self, field, flag, kind},
    live as layout, loss,
    process::{Era, ProcessRecord},
};

use super::{PAGE, is_under_way, put_back};
use crate::{
    atomic, live,
    loss::count,
    maps::{MIN_SIZE, WITH_MAPPINGS},
    process,
    registers::Registers,
    sampling,
    thread::Thread,
};

/// Which returns of calls run a program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// All: their probes are apart from those at the entries.
    AllSeen,
    /// Those that the program at the entry asks for.
    Chosen,
}

/// Bytes of so many elements. One that overflows does not matter, as such a call returns no memory, unless 0 is left of it: to
/// `reallocarray`, that would be a free.
#[inline(always)]
fn product(size: u64, count: u64) -> u64 {
    let product = size.wrapping_mul(count);
    if product == 0 && size != 0 && count != 0 { u64::MAX } else { product }
}

/// Entry of an allocating function. Returns whether its return matters.
#[inline(always)]
pub fn begin(registers: Registers, ends: Ends) -> bool {
    let Some(thread) = process::traced_thread() else { return false };
    let Some(era) = process::era(thread) else { return false };
    let slot = era.slot();
    let Some(process) = process::record(slot) else { return false };
    let Some(hits) = process::hits(slot) else { return false };
    atomic::add(&raw mut hits.entries, 1);
    thread.released = 0;
    let stack_pointer = registers.stack_pointer();
    // SAFETY: the context of this program.
    let call = unsafe { bpf_get_attach_cookie(registers.0) };
    let before = thread.pending.stack_pointer;
    let mut size = registers.argument(call::get(call, field::SIZE));
    if call::get(call, field::COUNT) != 0 {
        size = product(size, registers.argument(call::get(call, field::COUNT)));
    }
    if before != 0 && !takes_over(thread, process, era, call, registers, ends) {
        return false;
    }
    let counts = counts(thread, call, size);
    if counts == 0 && ends == Ends::Chosen && WITH_MAPPINGS.load() == 0 && changes_nothing(call, registers) {
        return false;
    }
    let pending = &mut thread.pending;
    pending.call = call;
    pending.counts = counts;
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

/// Whether the block that a call hands out will be recorded, as `Pending::counts` says it.
#[inline(always)]
fn counts(thread: &mut Thread, call: u64, size: u64) -> u64 {
    // How large a block is that may grow in place is known at the end.
    if size < MIN_SIZE.load() && call::get(call, field::KIND) != kind::RESIZE {
        return 0;
    }
    if !sampling::is_on() {
        return 1;
    }
    if thread.suspended.stack_pointer != 0 {
        // A part of that call, which the points have been asked for.
        return thread.suspended.counts;
    }
    let step = sampling::step();
    if sampling::falls_on(thread, size, step) { step + 1 } else { 0 }
}

/// Whether nothing that is recorded follows from a call whose own block is not: no probed function is called within, and no
/// record is taken out of the table. (What it maps would be the allocator's.)
#[inline(always)]
fn changes_nothing(call: u64, registers: Registers) -> bool {
    call >> field::EXTRA == 0
        || call & (flag::NESTS | flag::THROWS) == 0
            && !sampling::may_hold(registers.argument(call::get(call, field::BLOCK)))
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
