//! The beginning of a program: what its interpreter holds by then is not the program's.

use memtrace_common::process::{Era, current};

use super::record_of;
use crate::{
    maps::TARGETS,
    process::{self, current_tgid},
};

/// Keeps how much is live, if all of it was recorded.
#[inline(always)]
pub fn begin() {
    // SAFETY: the value is copied out at once.
    let Some(slot) = (unsafe { TARGETS.get(current_tgid()) }).map(|target| target.slot) else { return };
    let Some(record) = process::record(slot) else { return };
    let Some((_, python)) = record_of(record) else { return };
    // SAFETY: map values; volatile, as others write them. The record is the running process's own.
    unsafe {
        if Era(core::ptr::read_volatile(&raw const record.era)).slot() == slot {
            let live = current::bytes(core::ptr::read_volatile(&raw const record.current));
            core::ptr::write_volatile(&raw mut (*python.cast_mut()).began, live + 1);
        }
    }
}
