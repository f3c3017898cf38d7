//! The interpreter of a forked child: its parent's, at the same addresses, so that frames are seen from its first block on.

use memtrace_common::{
    process::ProcessRecord,
    python::{interpreter, numbers::LAST_FORK},
};

use super::record_of;
use crate::{
    atomic,
    maps::{PYTHON_NUMBERS, PYTHONS},
};

/// Gives a child that begins in `slot` a copy of what is known of its parent's interpreter. Parent and child free code
/// objects, and make others at the same addresses, each by itself: so the child has a number of its own.
#[inline(always)]
pub fn inherit(child: &mut ProcessRecord, slot: u32, parent: &ProcessRecord) {
    let Some((_, known)) = record_of(parent) else { return };
    let Some(serials) = PYTHON_NUMBERS.get_ptr_mut(LAST_FORK) else { return };
    let Some(own) = PYTHONS.get_ptr_mut(slot) else { return };
    // SAFETY: map values; the parent's is complete since it was named, the child's slot is in nobody else's hands. Volatile,
    // as user space reads and writes the word.
    unsafe {
        *own = *known;
        (*own).began = 0;
        let serial = (atomic::fetch_add(serials, 1) + 1) as u32;
        core::ptr::write_volatile(&raw mut child.python, interpreter::pack(slot, serial));
    }
}
