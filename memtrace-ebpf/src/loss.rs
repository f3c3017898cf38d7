//! Counting what could not be recorded.

use crate::{atomic, maps::LOSSES};

/// Counts one loss; `reason` is a constant of `memtrace_common::loss`.
#[inline(always)]
pub fn count(reason: u32) {
    if let Some(counter) = LOSSES.get_ptr_mut(reason) {
        atomic::add(counter, 1);
    }
}
