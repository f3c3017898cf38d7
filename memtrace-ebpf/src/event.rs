//! Telling user space.

use memtrace_common::{event::Event, loss};

use crate::{loss::count, maps::EVENTS};

/// Sends an event of a kind named in `memtrace_common::event`, or counts it as dropped.
#[inline(always)]
pub fn send(kind: u32, tgid: u32, value: u32) {
    let event = Event { kind, tgid, value, padding: 0 };
    if EVENTS.output::<Event>(event, 0).is_err() {
        count(loss::EVENT_DROPPED);
    }
}
