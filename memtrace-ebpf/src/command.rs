//! The command line that a process executes, read where the kernel has just put it: on top of the new image's stack.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_probe_read_user, generated};
use memtrace_common::process::COMMAND_BYTES;

use crate::{maps::COMMANDS, registers::user_stack_pointer, stack::opaque};

/// Keeps the command line of the image that begins in a slot.
///
/// At its first instruction the stack holds the number of arguments, their addresses, a zero, and the addresses of the
/// environment; the strings follow each other in this order (the ABIs of both machines).
#[inline(always)]
pub fn keep(slot: u32) {
    let Some(record) = COMMANDS.get_ptr_mut(slot) else { return };
    let stack = user_stack_pointer();
    let word = |index: u64| {
        // SAFETY: reads user memory; the helper checks the address.
        unsafe { bpf_probe_read_user(stack.wrapping_add(8 * index) as *const u64) }.unwrap_or(0)
    };
    let first = word(1);
    let length = opaque(word(word(0).wrapping_add(2)).wrapping_sub(first));
    // Without environment its end is not known.
    let length = if length > COMMAND_BYTES as u64 { COMMAND_BYTES as u64 } else { length };
    // SAFETY: a map value of the slot, which nobody else uses yet, and no more than its bytes; the helper checks the
    // user address.
    unsafe {
        let place = (&raw mut (*record).bytes).cast::<c_void>();
        let failed = generated::bpf_probe_read_user(place, length as u32, first as *const c_void);
        (*record).length = if failed == 0 { length } else { 0 };
    }
}
