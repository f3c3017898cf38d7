//! What happens to the processes that a session follows, in the order in which it happened: two streams of the kernel's
//! become one, as each alone tells half of it.

use nix::time::{ClockId, clock_gettime};

use super::waits::MappingSource;
use crate::{
    process::MappingEvent,
    tracer::{Events, TracerEvent},
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Happening {
    /// To a traced process, as the BPF programs tell.
    Tracer(TracerEvent),
    /// To what some process has mapped.
    Mapping(MappingEvent),
}

/// What has been taken out of the streams and must wait, as something that happened before may still be in the other one.
#[derive(Debug, Default)]
pub(super) struct Happenings {
    waiting: Vec<(u64, Happening)>,
}

impl Happenings {
    /// Puts back what was taken out to see that there is something.
    pub(super) fn add(&mut self, event: TracerEvent) {
        self.waiting.push((event.time, Happening::Tracer(event)));
    }

    /// All that has happened until now, in order.
    pub(super) fn take(&mut self, events: &mut Events, mappings: Option<&mut MappingSource>) -> Vec<Happening> {
        // An event is in its stream as soon as its time is in the past.
        let until = now();
        while let Some(event) = events.take() {
            self.add(event);
        }
        if let Some(source) = mappings {
            let timed = source.events.drain_timed().into_iter();
            self.waiting.extend(timed.map(|(time, event)| (time, Happening::Mapping(event))));
        }
        self.waiting.sort_by_key(|(time, _)| *time);
        let past = self.waiting.partition_point(|(time, _)| *time <= until);
        self.waiting.drain(..past).map(|(_, happening)| happening).collect()
    }

    /// Whether something waits that no stream will announce any more.
    pub(super) const fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`; without a clock, nothing waits.
fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).ok();
    let nanoseconds = time.and_then(|time| u64::try_from(std::time::Duration::from(time).as_nanos()).ok());
    nanoseconds.unwrap_or(u64::MAX)
}
