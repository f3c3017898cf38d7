//! What the BPF programs tell at once, as a stream for tokio.

use std::io;

use aya::maps::{MapData, RingBuf};
use memtrace_common::event::{self, Event};

use crate::readable::Readable;

/// Something happened that user space must act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TracerEvent {
    /// A traced process replaced its image.
    Exec {
        /// Thread group id in the initial pid namespace.
        tgid: u32,
        /// Its slot from now on; 0 when there was none left.
        slot: u32,
        /// The new image has no probes: see [`event::EXEC_BY_THREAD`].
        unprobed: bool,
    },
    /// A traced process has made a child with a memory of its own.
    Fork,
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

    /// Waits for the next event. Can be dropped at any time without losing one.
    ///
    /// # Errors
    /// What epoll(7) says.
    pub async fn next(&mut self) -> io::Result<TracerEvent> {
        loop {
            if let Some(item) = self.ring.next() {
                if let Some(event) = parse(&item) {
                    return Ok(event);
                }
                continue;
            }
            self.ready.wait().await?;
        }
    }
}

fn parse(bytes: &[u8]) -> Option<TracerEvent> {
    let word = |index: usize| {
        bytes.get(index * 4..index * 4 + 4).and_then(|word| word.try_into().ok()).map(u32::from_ne_bytes)
    };
    let event = Event { kind: word(0)?, tgid: word(1)?, value: word(2)?, padding: 0 };
    match event.kind {
        event::EXEC | event::EXEC_BY_THREAD => {
            let unprobed = event.kind == event::EXEC_BY_THREAD;
            Some(TracerEvent::Exec { tgid: event.tgid, slot: event.value, unprobed })
        }
        event::FORK => Some(TracerEvent::Fork),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events are read from their bytes; unknown kinds and short records are passed over.
    #[test]
    fn events_are_parsed() {
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
        for (kind, unprobed) in [(event::EXEC, false), (event::EXEC_BY_THREAD, true)] {
            let exec = TracerEvent::Exec { tgid: 42, slot: 7, unprobed };
            assert_eq!(parse(&bytes(&[kind, 42, 7, 0])), Some(exec));
        }
        assert_eq!(parse(&bytes(&[event::FORK, 1, 0, 0])), Some(TracerEvent::Fork));
        assert_eq!(parse(&bytes(&[99, 0, 0, 0])), None);
        assert_eq!(parse(&[1, 2]), None);
    }
}
