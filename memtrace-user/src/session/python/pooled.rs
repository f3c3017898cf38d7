//! How much the interpreters of a session hand out from their own pools, whose objects are not seen one by one. The pools are
//! looked for in the processes' memory, off the event loop, and never where no page is present.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

use nix::fcntl::OFlag;
use tokio::sync::oneshot::{self, Receiver};

use crate::{
    process::{ProcDir, anonymous_ranges, page_size},
    python::{HEADER, Pooled},
};

/// Least time from one look to the next, and how many times as long as it took it is rested.
const REST: Duration = Duration::from_secs(1);
const REST_FACTOR: u32 = 20;
/// Pages whose presence is asked for at once.
const PAGES_AT_ONCE: u64 = 4096;
/// Addresses that are looked through in one process at most: reserved by a program, they may be more than there is memory.
const MOST_ADDRESSES: u64 = 1 << 40;

/// A process to look at, and the bytes of a pool.
pub(super) type Place = (ProcDir, u64);

/// Looks, one after the other.
#[derive(Debug, Default)]
pub(super) struct Looks {
    under_way: Option<Receiver<(Pooled, Duration)>>,
    not_before: Option<Instant>,
    last: Option<Pooled>,
}

impl Looks {
    /// Whether the next look may begin.
    pub(super) fn is_due(&self) -> bool {
        self.under_way.is_none() && self.not_before.is_none_or(|time| Instant::now() >= time)
    }

    /// Begins a look. Needs a tokio runtime.
    pub(super) fn begin(&mut self, places: Vec<Place>) {
        let (sender, receiver) = oneshot::channel();
        self.under_way = Some(receiver);
        tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            let mut sum = Pooled::default();
            for (directory, pool_bytes) in places {
                match look(&directory, pool_bytes) {
                    Ok(pooled) => sum.add(pooled),
                    Err(error) => log::debug!("pools of Python: {error}"),
                }
            }
            // Nobody may want to know any more.
            let _gone = sender.send((sum, start.elapsed()));
        });
    }

    /// What the last look has found.
    pub(super) fn last(&mut self) -> Option<Pooled> {
        if let Some(receiver) = &mut self.under_way
            && let Ok((pooled, took)) = receiver.try_recv()
        {
            log::debug!("pools of Python, looked for in {took:?}: {pooled:?}");
            self.under_way = None;
            self.not_before = Some(Instant::now() + REST.max(took * REST_FACTOR));
            // Of processes that are gone, what was found before is right.
            self.last = Some(pooled).filter(|pooled| pooled.blocks > 0).or(self.last);
        }
        self.last
    }
}

/// What the pools of a process hold.
fn look(directory: &ProcDir, pool_bytes: u64) -> io::Result<Pooled> {
    let pages = directory.open_file(Path::new("pagemap"), OFlag::O_RDONLY)?;
    let memory = directory.open_file(Path::new("mem"), OFlag::O_RDONLY)?;
    let mut sum = Pooled::default();
    let mut rest = MOST_ADDRESSES;
    for range in anonymous_ranges(directory)?.into_iter().filter(|range| range.accessible && !range.heap) {
        rest = rest.saturating_sub(range.end - range.start);
        if rest == 0 {
            break;
        }
        sum.add(look_at_range(&pages, &memory, range.start..range.end, pool_bytes)?);
    }
    Ok(sum)
}

fn look_at_range(pages: &File, memory: &File, range: std::ops::Range<u64>, pool_bytes: u64) -> io::Result<Pooled> {
    let page = page_size();
    let mut sum = Pooled::default();
    for start in range.clone().step_by(usize::try_from(page * PAGES_AT_ONCE).unwrap_or(usize::MAX)) {
        let end = range.end.min(start + page * PAGES_AT_ONCE);
        let present = present_pages(pages, start / page, (end - start) / page)?;
        for address in
            (start.next_multiple_of(pool_bytes)..end).step_by(usize::try_from(pool_bytes).unwrap_or(usize::MAX))
        {
            let is_there = usize::try_from((address - start) / page).is_ok_and(|page| present.get(page) == Some(&true));
            let mut header = [0; HEADER];
            // What is unmapped in the meantime holds nothing.
            if is_there && memory.read_exact_at(&mut header, address).is_ok() {
                sum.add(Pooled::of(&header, address, pool_bytes).unwrap_or_default());
            }
        }
    }
    Ok(sum)
}

/// Of each page whether it is in memory (bit 63 of its word in `pagemap`, `proc_pid_pagemap(5)`).
fn present_pages(pages: &File, first: u64, count: u64) -> io::Result<Vec<bool>> {
    let mut words = vec![0; usize::try_from(count * 8).unwrap_or(0)];
    pages.read_exact_at(&mut words, first * 8)?;
    Ok(words.chunks_exact(8).map(|word| word[7] & 0x80 != 0).collect())
}
