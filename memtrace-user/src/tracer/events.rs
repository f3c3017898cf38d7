//! What the BPF programs tell at once, as a stream for tokio.

use std::{io, mem::offset_of};

use aya::maps::{MapData, RingBuf};
use memtrace_common::{
    event::{self, Event},
    process::NO_SLOT,
};

use crate::readable::Readable;

/// Something happened that user space must act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TracerEvent {
    /// What.
    pub kind: EventKind,
    /// Thread group id in the initial pid namespace.
    pub tgid: u32,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A traced process replaced its image.
    Exec {
        /// Its slot from now on; 0 when there was none left.
        slot: u32,
        /// The slot before; 0 when there was none.
        old: u32,
        /// Probes that were placed in this process alone are not in the new image: see [`event::EXEC_BY_THREAD`].
        by_thread: bool,
    },
    /// The process has made a child with a memory of its own, which is not traced.
    Fork,
    /// The process is a new one with a copy of its parent's memory, and is traced.
    Child {
        /// Its slot.
        slot: u32,
        /// Its parent's.
        parent: u32,
    },
    /// The last process that counts in a slot has ended.
    Exit {
        /// The slot.
        slot: u32,
    },
}

/// The ring buffer, and its descriptor to wait on.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Events {
    ready: Readable,
    ring: RingBuf<MapData>,
}

impl Events {
    /// Wraps the ring buffer; needs a running tokio runtime.
    ///
    /// # Errors
    /// What epoll(7) says.
    pub fn new(ring: RingBuf<MapData>) -> io::Result<Self> {
        Ok(Self { ready: Readable::of(&ring)?, ring })
    }

    /// The next event that has happened already.
    pub fn take(&mut self) -> Option<TracerEvent> {
        while let Some(item) = self.ring.next() {
            if let Some(event) = parse(&item) {
                return Some(event);
            }
        }
        None
    }

    /// Waits for the next event. Can be dropped at any time without losing one.
    ///
    /// # Errors
    /// What epoll(7) says.
    pub async fn next(&mut self) -> io::Result<TracerEvent> {
        loop {
            if let Some(event) = self.take() {
                return Ok(event);
            }
            self.ready.wait().await?;
        }
    }
}

fn parse(bytes: &[u8]) -> Option<TracerEvent> {
    let word = |index: usize| {
        bytes.get(index * 4..index * 4 + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes)
    };
    let time = bytes.get(offset_of!(Event, time)..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))?;
    let event = Event { kind: word(0)?, tgid: word(1)?, slot: word(2)?, other: word(3)?, time };
    let Event { slot, other, .. } = event;
    let kind = match event.kind {
        event::EXEC => EventKind::Exec { slot, old: other, by_thread: false },
        event::EXEC_BY_THREAD => EventKind::Exec { slot, old: other, by_thread: true },
        event::FORK if slot == NO_SLOT => EventKind::Fork,
        event::FORK => EventKind::Child { slot, parent: other },
        event::EXIT => EventKind::Exit { slot },
        _ => return None,
    };
    Some(TracerEvent { kind, tgid: event.tgid, time: event.time })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events are read from their bytes; unknown kinds and short records are passed over.
    #[test]
    fn events_are_parsed() {
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        let read = |kind, slot, other| parse(&bytes(&[kind, 42, slot, other, 9, 0]));
        let event = |kind| Some(TracerEvent { kind, tgid: 42, time: 9 });
        for (kind, by_thread) in [(event::EXEC, false), (event::EXEC_BY_THREAD, true)] {
            assert_eq!(read(kind, 7, 6), event(EventKind::Exec { slot: 7, old: 6, by_thread }));
        }
        assert_eq!(read(event::FORK, 0, 3), event(EventKind::Fork));
        assert_eq!(read(event::FORK, 8, 3), event(EventKind::Child { slot: 8, parent: 3 }));
        assert_eq!(read(event::EXIT, 8, 0), event(EventKind::Exit { slot: 8 }));
        assert_eq!(read(99, 0, 0), None);
        assert_eq!(parse(&[1, 2]), None);
    }
}
