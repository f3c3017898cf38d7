//! Call stacks at the return of an allocator call: ip, sp and frame pointer are then the caller's, so the innermost
//! frame, the call itself, is never lost.
//!
//! A walker fills `Thread::frames` and says how the walk ended; this module turns that into a site. There are two:
//! `frame_pointer`, and `unwind` by tables made from `.eh_frame`.

#[cfg(bpf_target_arch = "aarch64")]
mod aarch64;
mod copy;
mod frame_pointer;
mod rules;
mod told;
mod unwind;
mod window;
#[cfg(bpf_target_arch = "x86_64")]
mod x86_64;

use memtrace_common::{
    process::ProcessRecord,
    site::{FIRST_SITE, domain, end},
    unwind::mode,
};

use crate::{
    maps::{PER_THREAD, UNWIND_MODE},
    python,
    registers::Caller,
    site,
    thread::{self, FRAME_PLACES, Thread},
};

/// Keeps LLVM from proving things about a value, so that a bound check stays beside the access that it guards.
#[inline(always)]
pub fn opaque(mut value: u64) -> u64 {
    // SAFETY: moves a register onto itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, pure)) };
    value
}

/// Walks the stack and returns the index of its site; `domain` is a constant of `memtrace_common::site::domain`.
#[inline(always)]
pub fn walk(thread: &mut Thread, slot: u32, process: &ProcessRecord, registers: Caller, domain: u64) -> u32 {
    // Constant in the loaded program: without tables, the verifier drops the second walker.
    let mut walked = if UNWIND_MODE.load() == mode::FRAME_POINTER {
        frame_pointer::walk(thread, slot, registers)
    } else {
        unwind::walk(thread, slot, process, registers)
    };
    let end = forget(thread, walked.end);
    let copied = if UNWIND_MODE.load() != mode::FRAME_POINTER && end == end::NO_MAPPING {
        copy::take(thread, slot, registers)
    } else {
        0
    };
    if copied != 0 {
        walked.hash = copy::unique(walked.hash);
    }
    if domain != domain::BLOCKS {
        walked.hash = mix(walked.hash, domain);
    }
    python::walk(thread, process, &mut walked);
    if PER_THREAD.load() != 0 {
        walked.hash = mix(walked.hash, thread::number(thread));
    }
    let site = site::find_or_add(finish_hash(walked.hash), slot, end);
    let site = forget(thread, u64::from(site)) as u32;
    if site < FIRST_SITE {
        // A copy is left where it is: what it would complete is the site of one call.
        let seed = if PER_THREAD.load() == 0 { domain } else { mix(domain, thread::number(thread)) };
        let short = site::find_or_add_short(mix(seed, u64::from(slot)), slot);
        return forget(thread, u64::from(short)) as u32;
    }
    if copied != 0 {
        copy::send(thread, site, copied);
    }
    site
}

/// Passes a value through the thread's memory, so that the verifier forgets what it knows of it and need not walk all
/// that follows once for each value.
#[inline(always)]
pub fn forget(thread: &mut Thread, value: u64) -> u64 {
    // SAFETY: the thread's own memory; volatile, or LLVM would remember for the verifier.
    unsafe {
        core::ptr::write_volatile(&raw mut thread.forgotten, value);
        core::ptr::read_volatile(&raw const thread.forgotten)
    }
}

/// What a walker returns; the frames are in the thread's state.
pub struct Walked {
    /// Running hash, see [`mix`].
    pub hash: u64,
    /// A constant of `memtrace_common::site::end`.
    pub end: u64,
}

/// What the hash of a process's stacks begins with. Spread over all bits: the slot by itself differs from another's by as
/// little as one address from another, so that stacks of one frame of two processes would have one hash.
#[inline(always)]
pub fn first_hash(slot: u32) -> u64 {
    mix(0x9e37_79b9_7f4a_7c15, u64::from(slot))
}

/// Adds a word to a running hash (the step of `FxHash`; its weak low bits are mended by [`finish_hash`]).
#[inline(always)]
pub fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// Spreads the hash over all bits (the finaliser of `MurmurHash3`). Never 0, which marks a free entry.
#[inline(always)]
pub fn finish_hash(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash ^ (hash >> 33)) | 1
}

/// Stores a frame of the walk under way.
#[inline(always)]
pub fn keep(thread: &mut Thread, index: u64, address: u64) {
    let index = opaque(index) as usize & (FRAME_PLACES - 1);
    thread.frames[index] = address;
}
