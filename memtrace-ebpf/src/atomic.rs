//! Atomic operations on map memory.

use core::intrinsics::{
    AtomicOrdering::{AcqRel, Relaxed},
    atomic_cxchg, atomic_xadd, atomic_xchg,
};

/// Adds; the old value is not looked at.
#[inline(always)]
pub fn add(place: *mut u64, value: u64) {
    // SAFETY: callers pass a pointer into a map value, aligned to 8 bytes; the verifier checks its bounds.
    unsafe { atomic_xadd::<u64, u64, { Relaxed }>(place, value) };
}

/// Adds and returns the old value.
///
/// Not relaxed: with a relaxed order LLVM 22 emits the non-fetching `lock +=` although the result is used, and the
/// "old value" is then the addend. `tests/privileged` checks a peak that would come out wrong.
#[inline(always)]
pub fn fetch_add(place: *mut u64, value: u64) -> u64 {
    // SAFETY: as in `add`.
    unsafe { atomic_xadd::<u64, u64, { AcqRel }>(place, value) }
}

/// Writes `new` if the place holds `old`; returns whether it did.
#[inline(always)]
pub fn replace_if(place: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: as in `add`.
    unsafe { atomic_cxchg::<u64, { AcqRel }, { Relaxed }>(place, old, new).1 }
}

/// Writes after everything that was written before it, as other CPUs and user space see it.
#[inline(always)]
pub fn publish(place: *mut u64, value: u64) {
    // SAFETY: as in `add`. BPF's exchange is a full barrier; a plain store orders nothing on aarch64.
    unsafe { atomic_xchg::<u64, { AcqRel }>(place, value) };
}

/// Raises the place to at least `value`.
#[inline(always)]
pub fn raise_to(place: *mut u64, value: u64) {
    // SAFETY: as in `add`. Volatile, as other CPUs write it.
    let mut seen = unsafe { core::ptr::read_volatile(place) };
    // The verifier wants a bound. A try fails only when another CPU has written the place; 16 fail in a row only if
    // 16 others did, each of which raised it.
    for _ in 0..16 {
        if value <= seen {
            return;
        }
        // SAFETY: as in `add`.
        let (now, written) = unsafe { atomic_cxchg::<u64, { AcqRel }, { Relaxed }>(place, seen, value) };
        if written {
            return;
        }
        seen = now;
    }
}
