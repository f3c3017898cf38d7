//! A copy of part of the stack: reading a few hundred bytes at once costs as much as reading eight.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;

use super::opaque;
use crate::thread::Thread;

/// Words that are copied at most at once.
const WORDS: u64 = 256;

/// Copied at least, while nothing is known of the thread's stack.
const LEAST: u64 = 256;

/// Makes the copy hold the stack from `low` up to `high`; `false` when it cannot be read. Both are multiples of 8 from
/// the stack pointer, and no further apart than a frame is large.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
unsafe fn fill(thread: *mut Thread, low: u64, high: u64) -> bool {
    // SAFETY: the thread's own storage; the lengths are bounded by WORDS, which the window has room for.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        if low.wrapping_sub((*walk).window_start) < (*walk).window_length
            && high.wrapping_sub((*walk).window_start) <= (*walk).window_length
        {
            return true;
        }
        let window = (&raw mut (*thread).window).cast::<c_void>();
        // Not past what earlier walks have reached: a page that is not there costs a page fault.
        let room = (*thread).stack_top.wrapping_sub(low);
        let wished = if (*thread).stack_top <= low {
            LEAST
        } else if room < WORDS * 8 {
            room
        } else {
            WORDS * 8
        };
        let length = opaque(wished.wrapping_sub(8) & (WORDS - 1) << 3) + 8;
        (*walk).window_start = low;
        (*walk).window_length = length;
        if bpf_probe_read_user(window, length as u32, low as *const c_void) == 0 && high.wrapping_sub(low) <= length {
            return true;
        }
        let length = opaque(high.wrapping_sub(low).wrapping_sub(8) & (WORDS - 1) << 3) + 8;
        (*walk).window_length = length;
        if bpf_probe_read_user(window, length as u32, low as *const c_void) != 0 {
            (*walk).window_length = 0;
            return false;
        }
        high.wrapping_sub(low) <= length
    }
}

/// A word of the copy.
///
/// # Safety
/// `thread` is this thread's storage. A wrong address gives a wrong word, but no access outside the window.
#[inline(always)]
unsafe fn word(thread: *mut Thread, address: u64) -> u64 {
    // SAFETY: the index is masked to WORDS.
    unsafe {
        let offset = address.wrapping_sub((*thread).unwind.window_start);
        let index = opaque((offset >> 3) & (WORDS - 1));
        *(&raw const (*thread).window).cast::<u64>().add(index as usize)
    }
}

/// One word of the stack.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn read(thread: *mut Thread, address: u64) -> Option<u64> {
    // SAFETY: as promised by the caller.
    unsafe { if fill(thread, address, address.wrapping_add(8)) { Some(word(thread, address)) } else { None } }
}

/// Two words of the stack, `low` not above `high`.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn read_pair(thread: *mut Thread, low: u64, high: u64) -> Option<(u64, u64)> {
    // SAFETY: as promised by the caller.
    unsafe {
        if fill(thread, low, high.wrapping_add(8)) { Some((word(thread, low), word(thread, high))) } else { None }
    }
}
