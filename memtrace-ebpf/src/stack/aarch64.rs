//! What unwind rules mean on aarch64: the return address is in x30, or saved where the rule says, and may be signed.

use memtrace_common::{
    site::end,
    unwind::{return_address, rule},
};

use super::{
    unwind::{self, GOES_ON, SignalFrame, go_on},
    window,
};
use crate::{registers::CODE_ADDRESS, thread::Thread};

/// `struct rt_sigframe` (arch/arm64/kernel/signal.c): 128 bytes of `siginfo`, then `ucontext`, whose `sigcontext` has x0
/// to x30, sp and pc from byte 312 on.
const SIGNAL_FRAME: SignalFrame = SignalFrame { frame: 312 + 29 * 8, stack: 312 + 31 * 8, instruction: 312 + 32 * 8 };

/// x30, just above the frame pointer.
const LINK: u64 = 312 + 30 * 8;

/// Goes to the caller whose frame begins at `caller_frame`.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn caller(thread: *mut Thread, caller_frame: u64, found: u64) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let (saved, back) = (rule::saved(found), rule::extra(found));
        let link = (*walk).link;
        (*walk).link = 0;
        let in_register = back == return_address::IN_REGISTER;
        // Only a function that a signal interrupted, or that is at a system call, still has it there: all others have
        // made a call.
        if caller_frame < (*walk).stack || (in_register && link == 0) || (!in_register && caller_frame == (*walk).stack)
        {
            return end::UNREADABLE;
        }
        let frame_at = caller_frame.wrapping_sub(saved << 3);
        if saved != 0 {
            let Some(frame) = window::read(thread, frame_at) else { return end::UNREADABLE };
            (*walk).frame = frame;
        }
        if in_register {
            return go_on(thread, caller_frame, link & CODE_ADDRESS);
        }
        let at = if back == return_address::BESIDE_FRAME_POINTER {
            frame_at.wrapping_add(8)
        } else {
            caller_frame.wrapping_sub(back << 3)
        };
        let Some(address) = window::read(thread, at) else { return end::UNREADABLE };
        go_on(thread, caller_frame, address & CODE_ADDRESS)
    }
}

/// Kinds that this machine alone has: none.
///
/// # Safety
/// None; as for the other machine.
#[inline(always)]
pub unsafe fn other(_thread: *mut Thread, _found: u64) -> u64 {
    end::UNSUPPORTED
}

/// What a signal had interrupted.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn interrupted(thread: *mut Thread) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let at = (*thread).unwind.stack.wrapping_add(LINK);
        let Some(link) = window::read(thread, at) else { return end::UNREADABLE };
        let ended = unwind::interrupted(thread, SIGNAL_FRAME);
        if ended == GOES_ON {
            (*thread).unwind.link = link;
        }
        ended
    }
}

/// The caller of code that nothing describes, by its frame record.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn chain(thread: *mut Thread) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let record = (*walk).frame;
        (*walk).link = 0;
        if record == 0 {
            return end::WHOLE;
        }
        if record < (*walk).stack {
            return end::UNREADABLE;
        }
        let Some((frame, address)) = window::read_pair(thread, record, record.wrapping_add(8)) else {
            return end::UNREADABLE;
        };
        (*walk).frame = frame;
        go_on(thread, record.wrapping_add(16), address & CODE_ADDRESS)
    }
}
