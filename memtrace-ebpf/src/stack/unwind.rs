//! Walks a stack by unwind tables: for each frame, a rule says where the caller's frame is. Needs `bpf_loop` (5.17).

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use memtrace_common::{
    process::ProcessRecord,
    site::end,
    unwind::{kind, mode, rule},
};

#[cfg(bpf_target_arch = "aarch64")]
use super::aarch64 as machine;
#[cfg(bpf_target_arch = "x86_64")]
use super::x86_64 as machine;
use super::{
    Walked, first_hash, keep, mix,
    rules::{Context, rule_at},
    told, window,
};
use crate::{
    maps::{FRAME_LIMIT, UNWIND_MODE, WITH_MAPPINGS},
    registers::{CODE_ADDRESS, Caller, RETURN_POPS},
    thread::Thread,
};

/// Walks from the registers at the return of a call.
#[inline(always)]
pub fn walk(thread: &mut Thread, slot: u32, process: &ProcessRecord, registers: Caller) -> Walked {
    let limit = FRAME_LIMIT.load();
    let walk = &mut thread.unwind;
    walk.instruction = registers.instruction_pointer() & CODE_ADDRESS;
    walk.stack = registers.stack_pointer();
    walk.frame = registers.frame_pointer();
    walk.behind_call = 1;
    walk.link = registers.link();
    walk.hash = first_hash(slot);
    walk.end = end::TRUNCATED;
    walk.window_length = 0;
    walk.mapping_length = 0;
    walk.is_told = 0;
    walk.dropped = 0;
    walk.mappings = process.mapping_list;
    // Addresses have 48 bits at most; the list's number tells processes and times apart.
    walk.cache_key = u64::from(process.generation) << 48;
    thread.frame_count = 0;
    let mut context = Context::new(&raw mut *thread);
    // SAFETY: the callback gets this context, whose pointer is to this thread's storage.
    unsafe { bpf_loop(limit, step as *mut c_void, (&raw mut context).cast(), 0) };
    // SAFETY: the thread's own storage; volatile, as the loop has changed it behind the compiler's back.
    let (hash, end, stack) = unsafe {
        let walk = &raw const thread.unwind;
        (
            core::ptr::read_volatile(&raw const (*walk).hash),
            core::ptr::read_volatile(&raw const (*walk).end),
            core::ptr::read_volatile(&raw const (*walk).stack),
        )
    };
    if end == end::WHOLE {
        thread.stack_top = stack;
    }
    // Tables or mappings that changed under the walk may have misled it.
    // SAFETY: a map value that user space writes.
    let generation = unsafe { core::ptr::read_volatile(&raw const process.generation) };
    let changed = u64::from(generation & 0xffff) != thread.unwind.cache_key >> 48;
    Walked { hash, end: if changed || told::is_outdated(thread) { end::NO_MAPPING } else { end } }
}

/// One frame: keeps its address, finds its rule, computes the caller's registers. Returns 1 to end.
unsafe extern "C" fn step(_index: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `walk` with its own context.
    unsafe {
        let thread = (*context).thread;
        let walk = &raw mut (*thread).unwind;
        // User space looks a return address up one byte before it; an interrupted instruction is kept one further.
        let address = (*walk).instruction + 1 - (*walk).behind_call;
        let count = (*thread).frame_count;
        keep(&mut *thread, count, address);
        (*thread).frame_count = count + 1;
        (*walk).hash = mix((*walk).hash, address);
        let ended = apply(thread, rule_at(thread, (*walk).instruction - (*walk).behind_call));
        if ended == GOES_ON {
            return 0;
        }
        (*walk).end = ended;
        1
    }
}

/// Beside the constants of `end`: the walk goes on.
pub const GOES_ON: u64 = u64::MAX;

/// Computes the caller's registers.
#[inline(always)]
unsafe fn apply(thread: *mut Thread, found: u64) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let offset = rule::offset(found).cast_unsigned();
        match rule::kind(found) {
            kind::STACK_POINTER => machine::caller(thread, (*walk).stack.wrapping_add(offset), found),
            kind::FRAME_POINTER => machine::caller(thread, (*walk).frame.wrapping_add(offset), found),
            kind::SIGNAL => machine::interrupted(thread),
            kind::OUTERMOST => end::WHOLE,
            kind::CHAIN if UNWIND_MODE.load() == mode::TABLES => end::NO_TABLE,
            kind::CHAIN => machine::chain(thread),
            kind::NONE => end::NO_RULE,
            kind::ENDED => offset,
            _ => machine::other(thread, found),
        }
    }
}

/// Goes to the caller: its frame begins at `caller_frame`, its return address is `address`.
#[inline(always)]
pub unsafe fn go_on(thread: *mut Thread, caller_frame: u64, address: u64) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let address = if address.is_multiple_of(PAGE) { original(thread, caller_frame, address) } else { address };
        (*walk).stack = caller_frame;
        (*walk).behind_call = 1;
        (*walk).instruction = address;
        if address == 0 { end::WHOLE } else { GOES_ON }
    }
}

/// Bytes of the smallest page.
const PAGE: u64 = 4096;

/// The return address of the pending call where the kernel's trampoline has taken its place, at the start of a page.
#[inline(always)]
unsafe fn original(thread: *mut Thread, caller_frame: u64, address: u64) -> u64 {
    if WITH_MAPPINGS.load() == 0 {
        return address;
    }
    // SAFETY: the thread's own storage.
    let pending = unsafe { &(*thread).pending };
    let entered_at = caller_frame.wrapping_sub(RETURN_POPS);
    if address != 0 && entered_at == pending.stack_pointer { pending.return_address } else { address }
}

/// Goes to what a signal had interrupted: registers in the kernel's signal frame, at these places above the stack
/// pointer.
#[inline(always)]
pub unsafe fn interrupted(thread: *mut Thread, at: SignalFrame) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let stack = (*walk).stack;
        let (low, high) = (stack.wrapping_add(at.frame), stack.wrapping_add(at.instruction));
        let Some((frame, instruction)) = window::read_pair(thread, low, high) else { return end::UNREADABLE };
        let Some(interrupted) = window::read(thread, stack.wrapping_add(at.stack)) else {
            return end::UNREADABLE;
        };
        (*walk).frame = frame;
        (*walk).stack = interrupted;
        (*walk).instruction = instruction;
        (*walk).behind_call = 0;
        GOES_ON
    }
}

/// Where the kernel puts registers for a signal handler, in bytes above the stack pointer of the handler's caller.
pub struct SignalFrame {
    /// The lowest of the three.
    pub frame: u64,
    /// Between.
    pub stack: u64,
    /// The highest.
    pub instruction: u64,
}
