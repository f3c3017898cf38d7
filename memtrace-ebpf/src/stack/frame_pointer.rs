//! Walks a chain of frame pointers: at each, the caller's frame pointer and then the return address.
//!
//! The top of the stack is copied once and the chain followed inside the copy; a read per frame costs 13 ns each. What
//! lies beyond the copy is read frame by frame. Plain bounded loops, so it also loads where `bpf_loop` is missing
//! (below 5.17).

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use memtrace_common::site::{MAX_FRAMES, end};

use super::{Walked, first_hash, forget, keep, mix, opaque};
use crate::{
    maps::FRAME_LIMIT,
    registers::{CODE_ADDRESS, Caller},
    thread::{Thread, WINDOW},
};

/// A frame record: the caller's frame pointer and the return address.
const RECORD: u64 = 16;

/// Copied at least: the copy costs much the same for fewer bytes.
const LEAST_COPY: u64 = 256;

/// Where the walk stands.
struct Chain {
    frame_pointer: u64,
    hash: u64,
    count: u64,
}

/// Walks from the registers at the return of a call.
#[inline(always)]
pub fn walk(thread: &mut Thread, slot: u32, registers: Caller) -> Walked {
    let stack_pointer = registers.stack_pointer();
    let caller = registers.instruction_pointer() & CODE_ADDRESS;
    let mut chain = Chain { frame_pointer: registers.frame_pointer(), hash: mix(first_hash(slot), caller), count: 1 };
    keep(thread, 0, caller);
    let limit = u64::from(FRAME_LIMIT.load());
    let lowest = walk_copy(thread, &mut chain, stack_pointer, limit);
    chain.count = forget(thread, chain.count);
    chain.frame_pointer = forget(thread, chain.frame_pointer);
    let lowest = forget(thread, lowest);
    let end = walk_memory(thread, &mut chain, lowest, limit);
    thread.frame_count = chain.count;
    Walked { hash: chain.hash, end }
}

/// Follows the chain inside a copy of the stack's top; returns the address that the next record must not lie below.
#[inline(always)]
fn walk_copy(thread: &mut Thread, chain: &mut Chain, stack_pointer: u64, limit: u64) -> u64 {
    let copied = copy_window(thread, stack_pointer);
    let copied = forget(thread, copied);
    let mut lowest = stack_pointer;
    if copied < RECORD {
        return lowest;
    }
    let last = copied - RECORD;
    for _ in 1..MAX_FRAMES {
        if chain.count >= limit || chain.frame_pointer < lowest {
            break;
        }
        let offset = opaque(chain.frame_pointer.wrapping_sub(stack_pointer));
        // An unaligned one, in a broken chain, is left to `walk_memory`: LLVM reads unaligned words byte by byte, which
        // costs 5 ns a frame.
        if offset > (WINDOW as u64 - RECORD) || offset > last || !offset.is_multiple_of(8) {
            break;
        }
        // SAFETY: the offset is at most WINDOW - 16 and a multiple of 8, both checked above; so is the window's place.
        let [next, address] = unsafe { (&raw const thread.window).byte_add(offset as usize).cast::<[u64; 2]>().read() };
        lowest = chain.frame_pointer + RECORD;
        push(thread, chain, next, address);
    }
    lowest
}

/// Copies the stack from `stack_pointer` up to where earlier walks of this thread ended; returns the bytes copied.
#[inline(always)]
fn copy_window(thread: &mut Thread, stack_pointer: u64) -> u64 {
    let mut length = opaque(thread.stack_top.wrapping_sub(stack_pointer));
    if length < LEAST_COPY || thread.stack_top < stack_pointer {
        length = LEAST_COPY;
    }
    if length > WINDOW as u64 {
        length = WINDOW as u64;
    }
    let window = (&raw mut thread.window).cast::<c_void>();
    // SAFETY: at most WINDOW bytes into the window; the helper checks the user address.
    match unsafe { bpf_probe_read_user(window, length as u32, stack_pointer as *const c_void) } {
        0 => length,
        _ => 0,
    }
}

/// Follows the rest of the chain in the process's memory; returns how the walk ended.
#[inline(always)]
fn walk_memory(thread: &mut Thread, chain: &mut Chain, mut lowest: u64, limit: u64) -> u64 {
    let mut record = [0u64; 2];
    for _ in 1..MAX_FRAMES {
        if chain.frame_pointer == 0 {
            break;
        }
        if chain.count >= limit || chain.frame_pointer < lowest {
            break;
        }
        let to = (&raw mut record).cast::<c_void>();
        // SAFETY: 16 bytes into a variable of 16 bytes; the helper checks the user address.
        if unsafe { bpf_probe_read_user(to, RECORD as u32, chain.frame_pointer as *const c_void) } != 0 {
            return end::BROKEN;
        }
        lowest = chain.frame_pointer + RECORD;
        push(thread, chain, record[0], record[1]);
    }
    if lowest > thread.stack_top || thread.stack_top.wrapping_sub(lowest) > WINDOW as u64 {
        thread.stack_top = lowest;
    }
    if chain.frame_pointer == 0 {
        end::WHOLE
    } else if chain.frame_pointer < lowest {
        end::BROKEN
    } else {
        end::TRUNCATED
    }
}

#[inline(always)]
fn push(thread: &mut Thread, chain: &mut Chain, next: u64, address: u64) {
    let address = address & CODE_ADDRESS;
    keep(thread, chain.count, address);
    chain.hash = mix(chain.hash, address);
    chain.count += 1;
    chain.frame_pointer = next;
}
