//! Walks a stack by unwind tables: for each frame, a rule says where the caller's frame is. Needs `bpf_loop` (5.17).

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use memtrace_common::{
    process::ProcessRecord,
    site::end,
    unwind::{kind, mode, rule},
};

use super::{
    Walked, keep, mix,
    rules::{BY_FRAME_POINTER, Context, rule_at},
    window,
};
use crate::{
    maps::{FRAME_LIMIT, UNWIND_MODE},
    registers::Caller,
    thread::Thread,
};

/// Places of the interrupted registers above the stack pointer in a signal handler's return
/// (`struct rt_sigframe` less its return address, arch/x86/include/asm/sigframe.h).
mod signal_frame {
    pub const FRAME_POINTER: u64 = 120;
    pub const STACK_POINTER: u64 = 160;
    pub const INSTRUCTION_POINTER: u64 = 168;
}

/// Walks from the registers at the return of a call.
#[inline(always)]
pub fn walk(thread: &mut Thread, slot: u32, process: &ProcessRecord, registers: Caller) -> Walked {
    let limit = FRAME_LIMIT.load();
    let walk = &mut thread.unwind;
    walk.instruction = registers.instruction_pointer();
    walk.stack = registers.stack_pointer();
    walk.frame = registers.frame_pointer();
    walk.behind_call = 1;
    walk.hash = u64::from(slot);
    walk.end = end::TRUNCATED;
    walk.window_length = 0;
    walk.mapping_length = 0;
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
    Walked { hash, end }
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
        let ended = match rule_at(thread, (*walk).instruction - (*walk).behind_call) {
            Ok(found) => apply(thread, found),
            Err(reason) => reason,
        };
        if ended == GOES_ON {
            return 0;
        }
        (*walk).end = ended;
        1
    }
}

/// Beside the constants of `end`: the walk goes on.
const GOES_ON: u64 = u64::MAX;

/// Computes the caller's registers.
#[inline(always)]
unsafe fn apply(thread: *mut Thread, found: u32) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let offset = rule::offset(found).cast_unsigned();
        if found == BY_FRAME_POINTER {
            if UNWIND_MODE.load() == mode::TABLES {
                return end::NO_RULE;
            }
            return if (*walk).frame == 0 { end::WHOLE } else { caller(thread, (*walk).frame.wrapping_add(16), 2) };
        }
        let saved = u64::from(rule::saved(found));
        match rule::kind(found) {
            kind::STACK_POINTER => caller(thread, (*walk).stack.wrapping_add(offset), saved),
            kind::FRAME_POINTER => caller(thread, (*walk).frame.wrapping_add(offset), saved),
            kind::PLT => {
                // A stub's last instructions have pushed a word: see `kind::PLT`.
                let pushed = ((*walk).instruction - (*walk).behind_call) & 15 >= offset / 8;
                caller(thread, (*walk).stack.wrapping_add(if pushed { 16 } else { 8 }), 0)
            }
            kind::STORED => {
                let frame = (*walk).frame;
                let Some(caller_frame) = window::read(thread, frame.wrapping_add(offset)) else {
                    return end::UNREADABLE;
                };
                let Some(saved_frame) = window::read(thread, frame) else { return end::UNREADABLE };
                (*walk).frame = saved_frame;
                caller(thread, caller_frame, 0)
            }
            kind::SIGNAL => interrupted(thread),
            kind::OUTERMOST => end::WHOLE,
            kind::NONE => end::NO_RULE,
            _ => end::UNSUPPORTED,
        }
    }
}

/// Goes to the caller, whose frame begins at `caller_frame`: the return address is just below it, the frame pointer
/// `saved` words below it, or unchanged with 0.
#[inline(always)]
unsafe fn caller(thread: *mut Thread, caller_frame: u64, saved: u64) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        if caller_frame <= (*walk).stack {
            return end::UNREADABLE;
        }
        let at = caller_frame.wrapping_sub(8);
        let low = if saved == 0 { at } else { caller_frame.wrapping_sub(saved << 3) };
        let Some((frame, address)) = window::read_pair(thread, low, at) else { return end::UNREADABLE };
        if saved != 0 {
            (*walk).frame = frame;
        }
        (*walk).stack = caller_frame;
        (*walk).behind_call = 1;
        (*walk).instruction = address;
        if address == 0 { end::WHOLE } else { GOES_ON }
    }
}

/// Goes to what a signal had interrupted.
#[inline(always)]
unsafe fn interrupted(thread: *mut Thread) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let stack = (*walk).stack;
        let low = stack.wrapping_add(signal_frame::FRAME_POINTER);
        let high = stack.wrapping_add(signal_frame::INSTRUCTION_POINTER);
        let Some((frame, instruction)) = window::read_pair(thread, low, high) else { return end::UNREADABLE };
        let at = stack.wrapping_add(signal_frame::STACK_POINTER);
        let Some(interrupted_stack) = window::read(thread, at) else { return end::UNREADABLE };
        (*walk).frame = frame;
        (*walk).stack = interrupted_stack;
        (*walk).instruction = instruction;
        (*walk).behind_call = 0;
        GOES_ON
    }
}
