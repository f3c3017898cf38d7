//! What unwind rules mean on `x86_64`: the return address is just below the caller's frame.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use memtrace_common::{
    site::end,
    unwind::{kind, rule},
};

use super::{
    unwind::{self, SignalFrame, go_on},
    window,
};
use crate::thread::Thread;

/// `struct rt_sigframe` less its return address (arch/x86/include/asm/sigframe.h).
const SIGNAL_FRAME: SignalFrame = SignalFrame { frame: 120, stack: 160, instruction: 168 };

/// A rule's saved word of a frame record: the frame pointer is two words below the caller's frame.
const RECORD: u64 = 2;

/// Goes to the caller whose frame begins at `caller_frame`.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn caller(thread: *mut Thread, caller_frame: u64, found: u64) -> u64 {
    // SAFETY: as promised by the caller.
    unsafe { caller_saved(thread, caller_frame, rule::saved(found)) }
}

/// The same; the frame pointer is `saved` words below the caller's frame, or unchanged with 0.
#[inline(always)]
unsafe fn caller_saved(thread: *mut Thread, caller_frame: u64, saved: u64) -> u64 {
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
        go_on(thread, caller_frame, address)
    }
}

/// Kinds that this machine alone has.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn other(thread: *mut Thread, found: u64) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let kind = rule::kind(found);
        if kind == kind::PLT {
            // A stub's last instructions have pushed a word: see `kind::PLT`.
            let pushed = ((*walk).instruction - (*walk).behind_call) & 15 >= rule::extra(found);
            return caller_saved(thread, (*walk).stack.wrapping_add(if pushed { 16 } else { 8 }), 0);
        }
        let register = match kind {
            kind::STACK_INDIRECT => (*walk).stack,
            kind::FRAME_INDIRECT | kind::STORED => (*walk).frame,
            _ => return end::UNSUPPORTED,
        };
        let at = register.wrapping_add(rule::offset(found).cast_unsigned());
        let Some(stored) = window::read(thread, at) else { return end::UNREADABLE };
        if kind == kind::STORED {
            let Some(frame) = window::read(thread, (*walk).frame) else { return end::UNREADABLE };
            (*walk).frame = frame;
        }
        caller_saved(thread, stored.wrapping_add(rule::extra(found)), rule::saved(found))
    }
}

/// What a signal had interrupted.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn interrupted(thread: *mut Thread) -> u64 {
    // SAFETY: as promised by the caller.
    unsafe { unwind::interrupted(thread, SIGNAL_FRAME) }
}

/// The caller of code that nothing describes: by frame pointer, unless the code itself says where it is.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn chain(thread: *mut Thread) -> u64 {
    // SAFETY: the thread's own storage.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        if returns_at_once(thread) {
            return caller_saved(thread, (*walk).stack.wrapping_add(16), 0);
        }
        if (*walk).frame == 0 {
            return end::WHOLE;
        }
        caller_saved(thread, (*walk).frame.wrapping_add(16), RECORD)
    }
}

/// `add $8,%rsp; ret`.
const ADD_AND_RETURN: u64 = 0xc3_08_c4_83_48;
/// Its bytes.
const ADD_AND_RETURN_LENGTH: u32 = 5;

/// Whether the code that is returned to does nothing but return: trampolines of Python 3.12, which keep no frame pointer
/// (`python -X perf`).
#[inline(always)]
unsafe fn returns_at_once(thread: *mut Thread) -> bool {
    let mut code = 0u64;
    // SAFETY: the thread's own storage; the helper checks the user address.
    unsafe {
        let at = (*thread).unwind.instruction as *const c_void;
        (*thread).unwind.behind_call == 1
            && bpf_probe_read_user((&raw mut code).cast(), ADD_AND_RETURN_LENGTH, at) == 0
            && code == ADD_AND_RETURN
    }
}
