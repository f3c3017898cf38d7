//! Call stacks as the BPF programs have stored them: each is read once, and its words are left to others.

use std::{ops::Range, sync::Arc};

use memtrace_common::site::{self, FIRST_SITE, FRAME_WORDS, THREAD_WORDS, header};

use super::Reader;
use crate::{
    profile::{AllocStats, Domain, RawStack, RawThread, StackEnd, Unfollowed},
    tracer::{FRAMES_READ, NEXT_FRAME_WORD},
};

/// A call stack that has been seen, and where its counters are.
#[derive(Debug)]
pub(super) struct KnownStack {
    pub(super) site: u32,
    /// A constant of [`site::end`].
    pub(super) end: u64,
    pub(super) addresses: Arc<[u64]>,
    /// Words of its Python frames.
    pub(super) python: Arc<[u64]>,
    pub(super) thread: Option<RawThread>,
}

impl Reader {
    /// Learns new stacks before they find no room: when those that nobody has read take an eighth of it.
    pub fn keep_room(&mut self) {
        let appended = self.maps.cursors.load(NEXT_FRAME_WORD, 0);
        if appended.wrapping_sub(self.next_word) > u64::from(FRAME_WORDS / 8) {
            self.take_new_stacks();
        }
    }

    /// Learns new stacks; whether none was there that is not committed yet, nor any behind such a one.
    pub fn reads_all_stacks(&mut self) -> bool {
        let appended = self.maps.cursors.load(NEXT_FRAME_WORD, 0);
        self.take_new_stacks();
        self.next_word >= appended
    }

    /// Learns the stacks that were committed since the last reading, and leaves their words to others.
    pub fn take_new_stacks(&mut self) {
        let start = self.next_word;
        while let Some(word) = self.header() {
            let first = self.next_word + 1;
            let behind = first + header::frames(word) as u64;
            let after = behind + header::python_frames(word) as u64;
            self.take_stack(word, first..behind, behind..after);
            // Where the next header will lie is not known.
            for index in self.next_word..after {
                self.maps.frames.store(self.place(index), 0, 0);
            }
            self.next_word = after;
        }
        if self.next_word != start {
            self.maps.cursors.store(FRAMES_READ, 0, self.next_word);
        }
    }

    fn take_stack(&mut self, word: u64, native: Range<u64>, python: Range<u64>) {
        let site = header::site(word);
        // A stack that two threads added at once is stored twice; both records name the same site.
        if site < FIRST_SITE || self.seen_sites.contains_key(&site) {
            return;
        }
        log::trace!("site {site}: {} words, end {}", header::frames(word), header::end(word));
        let after = if self.per_thread { native.end.saturating_sub(u64::from(THREAD_WORDS)) } else { native.end };
        let thread = self.per_thread.then(|| self.thread_at(after));
        let addresses = (native.start..after).map(|index| self.frame(index)).collect();
        let python = python.map(|index| self.frame(index)).collect();
        let (addresses, end) = match self.replacements.remove(&site) {
            Some((addresses, end)) => (addresses.into(), end),
            None => (addresses, header::end(word)),
        };
        let stack = KnownStack { site, end, addresses, python, thread };
        let known = self.stacks.entry(header::slot(word)).or_default();
        self.seen_sites.insert(site, (header::slot(word), known.len()));
        known.push(stack);
    }

    /// The thread that the words from here on name.
    fn thread_at(&self, word: u64) -> RawThread {
        let [ids, name @ ..] = [0, 1, 2].map(|offset| self.frame(word + offset));
        let name: Vec<u8> = name.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
        let half = |bits: u64| u32::try_from(bits & 0xffff_ffff).unwrap_or(0);
        RawThread { number: half(ids >> 32), tid: half(ids), name: String::from_utf8_lossy(&name).into() }
    }

    /// The header of the next stack, if it has been committed.
    fn header(&self) -> Option<u64> {
        Some(self.frame(self.next_word)).filter(|word| *word != 0)
    }

    fn frame(&self, word: u64) -> u64 {
        self.maps.frames.load(self.place(word), 0)
    }

    /// Where a word lies of those that were ever appended.
    fn place(&self, word: u64) -> u32 {
        let words = self.maps.frames.entries() as u64;
        u32::try_from(word % words).unwrap_or(0)
    }
}

impl KnownStack {
    /// Without counters.
    pub(super) fn raw(&self) -> RawStack {
        let (end, unfollowed) = stack_end(self.end);
        RawStack {
            id: self.site,
            addresses: Arc::clone(&self.addresses),
            python: Arc::clone(&self.python),
            end,
            unfollowed,
            domain: Domain::Malloc,
            thread: self.thread.clone(),
            stats: AllocStats::default(),
        }
    }
}

/// How far a walk came, and why no further, by a constant of [`site::end`].
fn stack_end(end: u64) -> (StackEnd, Option<Unfollowed>) {
    let reason = match end {
        site::end::WHOLE => return (StackEnd::Whole, None),
        site::end::TRUNCATED => return (StackEnd::Truncated, None),
        site::end::BROKEN => Unfollowed::BrokenChain,
        site::end::NO_MAPPING => Unfollowed::UnknownCode,
        site::end::NO_RULE => Unfollowed::NoRule,
        site::end::UNSUPPORTED => Unfollowed::Unsupported,
        site::end::NO_ROOM => Unfollowed::NotKept,
        site::end::NO_TABLE => Unfollowed::NoTable,
        _ => Unfollowed::Unreadable,
    };
    (StackEnd::Incomplete, Some(reason))
}
