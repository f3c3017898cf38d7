//! The end of an interpreter: it gives back all that its program holds, which then nobody would see.

use memtrace_common::process::Era;

use super::{record_of, state::read};
use crate::{
    maps::TARGETS,
    process::{self, current_tgid},
};

/// Counts the calls of the process no more if its interpreter takes itself apart: what is live at this moment stays.
#[inline(always)]
pub fn end() {
    // SAFETY: the value is copied out at once.
    let Some(slot) = (unsafe { TARGETS.get(current_tgid()) }).map(|target| target.slot) else { return };
    let Some(record) = process::record(slot) else { return };
    let Some((_, python)) = record_of(record) else { return };
    // SAFETY: map values; volatile, as user space writes them. The helper checks the user address.
    unsafe {
        let finalizing = core::ptr::read_volatile(&raw const (*python).finalizing);
        if finalizing != 0 && read(finalizing) != 0 {
            let era = Era(core::ptr::read_volatile(&raw const record.era));
            core::ptr::write_volatile(&raw mut record.era, era.closed().0);
        }
    }
}
