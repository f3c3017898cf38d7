//! Hands a stack to user space that the walker could not follow: a mapping was too new to be known here.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_get_prandom_u32, bpf_loop, bpf_probe_read_user, bpf_ringbuf_output, bpf_ringbuf_query,
};
use memtrace_common::{
    copy::{CopyHeader, MOST_OF_MANY, PIECES, STACK_BYTES},
    process::follow,
};

use super::{mix, opaque, rules::Context};
use crate::{
    atomic,
    maps::{COPY_RING_BYTES, FOLLOW, STACK_COPIES, WITH_MAPPINGS},
    process,
    registers::{Caller, RETURN_POPS},
    thread::Thread,
};

/// `BPF_RB_AVAIL_DATA`: bytes that user space has not taken yet.
const AVAILABLE: u64 = 0;

/// What is there of a stack is so in pieces of this many bytes, or a multiple.
const PAGE: u64 = 4096;

/// Copies the top of the stack into the window; returns the bytes copied, 0 when the ring has no room for them.
#[inline(always)]
pub fn take(thread: &mut Thread, slot: u32, registers: Caller) -> u32 {
    // Two records are left as a margin for other CPUs that copy at the same time.
    if waiting() + 4 * u64::from(STACK_BYTES) > u64::from(COPY_RING_BYTES.load()) {
        return 0;
    }
    if FOLLOW.load() != follow::NONE && !is_due(slot) {
        return 0;
    }
    let stack = registers.stack_pointer();
    thread.copy = CopyHeader {
        site: 0,
        slot,
        instruction: registers.instruction_pointer(),
        stack,
        frame: registers.frame_pointer(),
        link: registers.link(),
        offset: 0,
    };
    read_piece(thread, stack)
}

/// Whether an image of a process may have a stack copied, of which it may have so many.
#[inline(always)]
fn is_due(slot: u32) -> bool {
    let Some(record) = process::record(slot) else { return false };
    // SAFETY: a map value; volatile, as other CPUs write it.
    if unsafe { core::ptr::read_volatile(&raw const record.copies) } >= MOST_OF_MANY {
        return false;
    }
    atomic::add(&raw mut record.copies, 1);
    true
}

/// Bytes in the ring.
#[inline(always)]
fn waiting() -> u64 {
    // SAFETY: asks for a number.
    unsafe { bpf_ringbuf_query((&raw const STACK_COPIES).cast_mut().cast::<c_void>(), AVAILABLE) }
}

/// Copies a piece of the stack into the window: up to where the thread's stack is known to begin, or as many pages as are
/// there. Returns the bytes copied.
#[inline(never)]
fn read_piece(thread: &mut Thread, address: u64) -> u32 {
    let window = (&raw mut thread.window).cast::<c_void>();
    // What a full piece would have in the last page that it reaches into.
    let in_page = address.wrapping_add(u64::from(STACK_BYTES)) & (PAGE - 1);
    let left = thread.stack_top.wrapping_sub(address);
    let beyond = if left < u64::from(STACK_BYTES) { u64::from(STACK_BYTES) - left } else { 0 };
    for less in [beyond, in_page, in_page + PAGE] {
        let length = opaque(u64::from(STACK_BYTES) - less) as u32;
        if length > STACK_BYTES {
            return 0;
        }
        // SAFETY: at most the length of the window; the helper checks the user address.
        if unsafe { bpf_probe_read_user(window, length, address as *const c_void) } == 0 {
            restore_return_address(thread, address, length);
            return length;
        }
    }
    0
}

/// Puts the return address of the pending call back, whose place the kernel's trampoline has taken, where a copy holds it:
/// user space does not know it.
#[inline(always)]
fn restore_return_address(thread: &mut Thread, address: u64, length: u32) {
    if WITH_MAPPINGS.load() == 0 || RETURN_POPS == 0 {
        return;
    }
    let offset = opaque(thread.pending.stack_pointer.wrapping_sub(address));
    if offset >= u64::from(length) || offset > u64::from(STACK_BYTES) - 8 || !offset.is_multiple_of(8) {
        return;
    }
    // SAFETY: the offset is at most the window's length less 8, and a multiple of 8; so is the window's place.
    let word = unsafe { &mut *(&raw mut thread.window).byte_add(offset as usize).cast::<u64>() };
    if word.is_multiple_of(PAGE) {
        *word = thread.pending.return_address;
    }
}

/// A hash that no other call has: its site gets one stack.
#[inline(always)]
pub fn unique(hash: u64) -> u64 {
    // SAFETY: the helper returns a number.
    mix(mix(hash, u64::from(unsafe { bpf_get_prandom_u32() })), u64::from(unsafe { bpf_get_prandom_u32() }))
}

/// Sends the copy, and as much more of the stack as there is room for.
#[inline(always)]
pub fn send(thread: &mut Thread, site: u32, copied: u32) {
    thread.copy.site = site;
    output(thread, copied);
    if copied == STACK_BYTES {
        let mut context = Context::new(&raw mut *thread);
        // SAFETY: the callback gets this context, whose pointer is to this thread's storage.
        unsafe { bpf_loop(PIECES - 1, next_piece as *mut c_void, (&raw mut context).cast(), 0) };
    }
}

unsafe extern "C" fn next_piece(_index: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `send` with its own context.
    let thread = unsafe { &mut *(*context).thread };
    if waiting() > u64::from(COPY_RING_BYTES.load()) / 2 {
        return 1;
    }
    thread.copy.offset += u64::from(STACK_BYTES);
    let copied = read_piece(thread, thread.copy.stack.wrapping_add(thread.copy.offset));
    output(thread, copied);
    i64::from(copied != STACK_BYTES)
}

/// Hands the header and so many bytes of the window to user space.
#[inline(always)]
fn output(thread: &mut Thread, copied: u32) {
    let ring = (&raw const STACK_COPIES).cast_mut().cast::<c_void>();
    let record = (&raw mut thread.copy).cast::<c_void>();
    let copied = opaque(u64::from(copied));
    if copied > u64::from(STACK_BYTES) {
        return;
    }
    let length = size_of::<CopyHeader>() as u64 + copied;
    // SAFETY: header and window follow each other in the thread's storage. If the ring is full after all, the stack
    // stays incomplete, which is shown.
    unsafe { bpf_ringbuf_output(ring, record, length, 0) };
}
