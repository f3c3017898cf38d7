//! Hands a stack to user space that the walker could not follow: a mapping was too new to be known here.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_probe_read_user, bpf_ringbuf_output, bpf_ringbuf_query};
use memtrace_common::copy::{CopyHeader, STACK_BYTES};

use super::{mix, opaque};
use crate::{
    maps::{COPY_RING_BYTES, STACK_COPIES},
    registers::Caller,
    thread::Thread,
};

/// `BPF_RB_AVAIL_DATA`: bytes that user space has not taken yet.
const AVAILABLE: u64 = 0;

/// What is tried one after the other: close to the stack's end, only less can be read.
const LENGTHS: [u32; 7] = [STACK_BYTES, 4096, 3072, 2048, 1536, 1024, 512];

/// Copies the stack into the window; returns the bytes copied, 0 when the ring has no room for them.
#[inline(always)]
pub fn take(thread: &mut Thread, slot: u32, registers: Caller) -> u32 {
    let ring = (&raw const STACK_COPIES).cast_mut().cast::<c_void>();
    // SAFETY: asks for a number. Two records are left as a margin for other CPUs that copy at the same time.
    let waiting = unsafe { bpf_ringbuf_query(ring, AVAILABLE) };
    if waiting + 4 * u64::from(STACK_BYTES) > u64::from(COPY_RING_BYTES.load()) {
        return 0;
    }
    let stack = registers.stack_pointer();
    thread.copy = CopyHeader {
        site: 0,
        slot,
        instruction: registers.instruction_pointer(),
        stack,
        frame: registers.frame_pointer(),
    };
    let window = (&raw mut thread.window).cast::<c_void>();
    for length in LENGTHS {
        // SAFETY: at most the length of the window; the helper checks the user address.
        if unsafe { bpf_probe_read_user(window, length, stack as *const c_void) } == 0 {
            return length;
        }
    }
    0
}

/// A hash that no other call has: its site gets one stack.
#[inline(always)]
pub fn unique(hash: u64) -> u64 {
    // SAFETY: the helper returns a number.
    mix(mix(hash, u64::from(unsafe { bpf_get_prandom_u32() })), u64::from(unsafe { bpf_get_prandom_u32() }))
}

/// Sends the copy.
#[inline(always)]
pub fn send(thread: &mut Thread, site: u32, copied: u32) {
    thread.copy.site = site;
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
