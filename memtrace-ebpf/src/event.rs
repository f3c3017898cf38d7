//! Telling user space.

use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use memtrace_common::{event::Event, loss};

use crate::{loss::count, maps::EVENTS};

/// Sends an event of a kind named in `memtrace_common::event`, or counts it as dropped.
#[inline(always)]
pub fn send(kind: u32, tgid: u32, slot: u32, other: u32) {
    // SAFETY: the helper reads a clock.
    let time = unsafe { bpf_ktime_get_ns() };
    let event = Event { kind, tgid, slot, other, time };
    if EVENTS.output::<Event>(event, 0).is_err() {
        count(loss::EVENT_DROPPED);
    }
}
