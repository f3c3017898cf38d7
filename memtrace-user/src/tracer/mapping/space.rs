//! The anonymous memory of one process: which range was mapped by which call site.

use std::collections::{BTreeMap, HashMap};

use memtrace_common::mapping::{MappingEvent, kind};

use super::ledger::Counters;
use crate::{
    process::{AnonymousRange, page_size},
    profile::Domain,
};

/// Most pieces that are remembered of a process: some 100 bytes each. What comes beyond is not recorded.
const MAX_PIECES: usize = 1 << 20;

/// Most threads whose last munmap(2) is remembered for the case that it fails.
const MAX_TAKEN: usize = 1024;
/// The mapping of what was there before tracing.
const BEFORE: u32 = 0;
/// `MAP_ANONYMOUS`, `MAP_HUGETLB` and the place of the page size's logarithm in mmap(2)'s flags.
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_HUGETLB: u32 = 0x4_0000;
const HUGE_SHIFT: u32 = 26;

/// Size of a huge page where the flags do not say.
const HUGE_PAGE: u64 = 2 << 20;

/// `MREMAP_DONTUNMAP`.
const DONT_UNMAP: u32 = 4;

/// A part of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    end: u64,
    /// Number of the mapping, or [`BEFORE`].
    mapping: u32,
    accessible: bool,
}

/// What one call has mapped and is still there.
#[derive(Debug, Clone, Copy)]
struct Mapping {
    slot: u32,
    site: u32,
    in_allocator: bool,
    born: u32,
    /// Bytes that are only reserved, and bytes that can be accessed.
    bytes: [u64; 2],
}

impl Mapping {
    const fn domain(&self, accessible: bool) -> Domain {
        match (accessible, self.in_allocator) {
            (false, _) => Domain::Reserved,
            (true, false) => Domain::Mmap,
            (true, true) => Domain::Allocator,
        }
    }
}

/// A piece that a system call under way takes away, and its mapping as it was.
#[derive(Debug, Clone, Copy)]
struct Taken {
    start: u64,
    piece: Piece,
    mapping: Option<Mapping>,
}

/// A range of anonymous memory, for whoever compares it with what the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedRange {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Where it counts; `None` for what was there before tracing.
    pub domain: Option<Domain>,
    /// It can be accessed.
    pub accessible: bool,
}

/// Ranges by their first address; they do not overlap.
#[derive(Debug, Default)]
pub struct Space {
    pieces: BTreeMap<u64, Piece>,
    mappings: HashMap<u32, Mapping>,
    last_number: u32,
    /// What system calls under way take away, by thread.
    taken: HashMap<u32, Vec<Taken>>,
    heap_end: Option<u64>,
}

/// The pages that a range touches; `None` for one that the kernel refuses.
fn pages(start: u64, length: u64) -> Option<(u64, u64)> {
    let page = page_size();
    let end = start.checked_add(length)?.checked_next_multiple_of(page)?;
    (length > 0 && start.is_multiple_of(page)).then_some((start, end))
}

impl Space {
    /// Takes in an event; `false` when the range could not be recorded.
    pub fn apply(&mut self, event: &MappingEvent, counters: &mut Counters) -> bool {
        match event.kind {
            kind::MAP => return self.map(event, counters),
            kind::UNMAP | kind::REMAP => self.take(event, counters),
            kind::UNMAP_FAILED => self.put_back(event.tid, counters),
            kind::REMAPPED => return self.remap(event, counters),
            kind::BREAK => return self.set_break(event, counters),
            kind::PROTECT => self.protect(event, counters),
            _ => {}
        }
        true
    }

    /// What is there before tracing.
    pub fn begin(&mut self, ranges: &[AnonymousRange]) {
        let piece = |range: &AnonymousRange| {
            (range.start, Piece { end: range.end, mapping: BEFORE, accessible: range.accessible })
        };
        *self = Self { pieces: ranges.iter().map(piece).collect(), ..Self::default() };
        self.heap_end = ranges.iter().find(|range| range.heap).map(|range| range.end);
    }

    /// The ranges of a child that has just got a copy of the memory: for it, they are from before.
    #[must_use]
    pub fn inherited(&self) -> Self {
        let piece = |(start, piece): (&u64, &Piece)| (*start, Piece { mapping: BEFORE, ..*piece });
        Self { pieces: self.pieces.iter().map(piece).collect(), heap_end: self.heap_end, ..Self::default() }
    }

    /// What was mapped in a slot counts as from before.
    pub fn forget(&mut self, slot: u32) {
        self.mappings.retain(|_, mapping| mapping.slot != slot);
        for piece in self.pieces.values_mut().chain(self.taken.values_mut().flatten().map(|taken| &mut taken.piece)) {
            if !self.mappings.contains_key(&piece.mapping) {
                piece.mapping = BEFORE;
            }
        }
        self.taken.values_mut().flatten().for_each(|taken| taken.mapping = None);
    }

    /// Every range, by address.
    pub fn ranges(&self) -> impl Iterator<Item = MappedRange> + '_ {
        self.pieces.iter().map(|(start, piece)| MappedRange {
            start: *start,
            end: piece.end,
            domain: self.mappings.get(&piece.mapping).map(|mapping| mapping.domain(piece.accessible)),
            accessible: piece.accessible,
        })
    }

    /// Sets the ranges right after lost events: what is gone is taken as unmapped, what is unknown as mapped without a stack,
    /// and access is what it is.
    pub fn correct(&mut self, ranges: &[AnonymousRange], slot: u32, ticks: u32, counters: &mut Counters) {
        let mut end_before = 0;
        for range in
            ranges.iter().chain([&AnonymousRange { start: u64::MAX, end: u64::MAX, accessible: false, heap: false }])
        {
            self.cut(end_before, range.start, ticks, counters);
            end_before = range.end;
        }
        for range in ranges {
            for (start, end) in self.gaps(range.start, range.end) {
                let origin = MappingEvent { slot, site: slot, ticks, ..MappingEvent::default() };
                self.insert_new(start, end, range.accessible, &origin, counters);
            }
            self.set_access(range.start, range.end, range.accessible, ticks, counters);
        }
        self.heap_end = ranges.iter().find(|range| range.heap).map(|range| range.end);
        self.taken.clear();
    }

    fn map(&mut self, event: &MappingEvent, counters: &mut Counters) -> bool {
        let Some((start, mut end)) = pages(event.start, event.length) else { return true };
        if event.flags & MAP_HUGETLB != 0 {
            let size = 1_u64.checked_shl(event.flags >> HUGE_SHIFT).filter(|size| *size > 1).unwrap_or(HUGE_PAGE);
            end = end.checked_next_multiple_of(size).unwrap_or(end);
        }
        if event.flags & MAP_ANONYMOUS == 0 {
            self.cut(start, end, event.ticks, counters);
            return true;
        }
        self.insert_new(start, end, event.protection != 0, event, counters)
    }

    /// A call that takes a range away has been entered.
    fn take(&mut self, event: &MappingEvent, counters: &mut Counters) {
        self.taken.remove(&event.tid);
        let Some((start, end)) = pages(event.start, event.length) else { return };
        let taken = self.cut(start, end, event.ticks, counters);
        if taken.is_empty() {
            return;
        }
        if self.taken.len() >= MAX_TAKEN {
            // Of threads that have ended, mostly.
            self.taken.clear();
        }
        self.taken.insert(event.tid, taken);
    }

    /// It has failed. Where its entry was lost, what is remembered is of an earlier call, and something else may lie there.
    fn put_back(&mut self, tid: u32, counters: &mut Counters) {
        for Taken { start, piece, mapping } in self.taken.remove(&tid).unwrap_or_default() {
            for (start, end) in self.gaps(start, piece.end) {
                self.put_back_piece(start, Piece { end, ..piece }, mapping, counters);
            }
        }
    }

    fn put_back_piece(&mut self, start: u64, piece: Piece, mapping: Option<Mapping>, counters: &mut Counters) {
        if let Some(before) = mapping {
            let mapping = self.mappings.entry(piece.mapping).or_insert(Mapping { bytes: [0; 2], ..before });
            let bytes = &mut mapping.bytes[usize::from(piece.accessible)];
            let is_whole = *bytes == 0;
            *bytes += piece.end - start;
            let (slot, site, domain) = (mapping.slot, mapping.site, mapping.domain(piece.accessible));
            counters.untake(slot, site, domain, piece.end - start, is_whole);
        }
        self.join(start, piece);
    }

    /// mremap(2) has returned. As with a reallocation, the new range belongs to this call.
    fn remap(&mut self, event: &MappingEvent, counters: &mut Counters) -> bool {
        if event.start == 0 || event.flags & DONT_UNMAP != 0 {
            let accessible =
                self.taken.get(&event.tid).and_then(|taken| taken.first()).map(|taken| taken.piece.accessible);
            self.put_back(event.tid, counters);
            return accessible
                .filter(|_| event.start != 0)
                .is_none_or(|accessible| self.arrive(event, accessible, counters));
        }
        if let Some(taken) = self.taken.remove(&event.tid).unwrap_or_default().first() {
            return self.arrive(event, taken.piece.accessible, counters);
        }
        // A file's mapping, or a second one of shared memory.
        let shared = self.at(event.result).map(|piece| piece.accessible);
        if let Some((start, end)) = pages(event.start, event.length) {
            self.cut(start, end, event.ticks, counters);
        }
        shared.is_none_or(|accessible| self.arrive(event, accessible, counters))
    }

    fn arrive(&mut self, event: &MappingEvent, accessible: bool, counters: &mut Counters) -> bool {
        let Some((start, end)) = pages(event.start, event.length) else { return true };
        self.insert_new(start, end, accessible, event, counters)
    }

    fn set_break(&mut self, event: &MappingEvent, counters: &mut Counters) -> bool {
        let Some(end) = event.start.checked_next_multiple_of(page_size()) else { return true };
        match self.heap_end.replace(end) {
            Some(before) if before < end => self.insert_new(before, end, true, event, counters),
            Some(before) => {
                self.cut(end, before, event.ticks, counters);
                true
            }
            None => true,
        }
    }

    fn protect(&mut self, event: &MappingEvent, counters: &mut Counters) {
        if let Some((start, end)) = pages(event.start, event.length) {
            self.set_access(start, end, event.protection != 0, event.ticks, counters);
        }
    }

    fn set_access(&mut self, start: u64, end: u64, accessible: bool, ticks: u32, counters: &mut Counters) {
        let inside: Vec<(u64, Piece)> = self
            .overlapping(start, end)
            .filter(|(_, piece)| piece.accessible != accessible)
            .map(|(first, piece)| (first.max(start), Piece { end: piece.end.min(end), ..piece }))
            .collect();
        for (first, piece) in inside {
            let mapping = self.mappings.get(&piece.mapping).copied();
            self.cut(first, piece.end, ticks, counters);
            let changed = Piece { accessible, ..piece };
            if let Some(before) = mapping {
                self.mappings.entry(piece.mapping).or_insert(Mapping { bytes: [0; 2], ..before });
            }
            self.add(first, changed, counters);
        }
    }

    /// Enters a new mapping, with what it covers taken out.
    fn insert_new(
        &mut self,
        start: u64,
        end: u64,
        accessible: bool,
        origin: &MappingEvent,
        counters: &mut Counters,
    ) -> bool {
        self.cut(start, end, origin.ticks, counters);
        if self.pieces.len() >= MAX_PIECES {
            return false;
        }
        self.last_number = self.free_number();
        let mapping = Mapping {
            slot: origin.slot,
            // No stack could be taken: as with blocks, the process's own entry.
            site: if origin.site == 0 { origin.slot } else { origin.site },
            in_allocator: origin.in_allocator != 0,
            born: origin.ticks,
            bytes: [0; 2],
        };
        self.mappings.insert(self.last_number, mapping);
        self.add(start, Piece { end, mapping: self.last_number, accessible }, counters);
        true
    }

    /// Adds a piece where there is none, and counts it.
    fn add(&mut self, start: u64, piece: Piece, counters: &mut Counters) {
        if let Some(mapping) = self.mappings.get_mut(&piece.mapping) {
            let bytes = &mut mapping.bytes[usize::from(piece.accessible)];
            let is_new = *bytes == 0;
            *bytes += piece.end - start;
            counters.add(mapping.slot, mapping.site, mapping.domain(piece.accessible), piece.end - start, is_new);
        }
        self.join(start, piece);
    }

    /// Enters a piece, as one with its neighbours of the same kind.
    fn join(&mut self, mut start: u64, mut piece: Piece) {
        let is_alike = |other: &Piece| other.mapping == piece.mapping && other.accessible == piece.accessible;
        if let Some((&before, other)) = self.pieces.range(..start).next_back()
            && other.end == start
            && is_alike(other)
        {
            start = before;
        }
        if let Some(after) = self.pieces.get(&piece.end).copied()
            && is_alike(&after)
        {
            self.pieces.remove(&piece.end);
            piece.end = after.end;
        }
        self.pieces.insert(start, piece);
    }

    /// Takes out whatever lies in a range, and counts it as freed.
    fn cut(&mut self, start: u64, end: u64, ticks: u32, counters: &mut Counters) -> Vec<Taken> {
        let touched: Vec<(u64, Piece)> = self.overlapping(start, end).collect();
        let mut taken = Vec::with_capacity(touched.len());
        for (first, piece) in touched {
            self.pieces.remove(&first);
            if first < start {
                self.pieces.insert(first, Piece { end: start, ..piece });
            }
            if piece.end > end {
                self.pieces.insert(end, piece);
            }
            let (first, piece) = (first.max(start), Piece { end: piece.end.min(end), ..piece });
            taken.push(Taken { start: first, piece, mapping: self.mappings.get(&piece.mapping).copied() });
            self.count_taken(first, piece, ticks, counters);
        }
        taken
    }

    /// The next number that no mapping has: after billions, they begin anew.
    fn free_number(&self) -> u32 {
        let mut number = self.last_number;
        loop {
            number = number.wrapping_add(1).max(BEFORE + 1);
            if !self.mappings.contains_key(&number) {
                return number;
            }
        }
    }

    fn count_taken(&mut self, start: u64, piece: Piece, ticks: u32, counters: &mut Counters) {
        let Some(mapping) = self.mappings.get_mut(&piece.mapping) else { return };
        let bytes = &mut mapping.bytes[usize::from(piece.accessible)];
        *bytes -= piece.end - start;
        let age = (*bytes == 0).then(|| ticks.wrapping_sub(mapping.born));
        counters.take(mapping.slot, mapping.site, mapping.domain(piece.accessible), piece.end - start, age);
        if mapping.bytes == [0; 2] {
            self.mappings.remove(&piece.mapping);
        }
    }

    fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, Piece)> + '_ {
        let before = self.pieces.range(..start).next_back().filter(move |(_, piece)| piece.end > start);
        let within = if start < end { Some(self.pieces.range(start..end)) } else { None };
        let before = before.filter(move |_| start < end);
        before.into_iter().chain(within.into_iter().flatten()).map(|(first, piece)| (*first, *piece))
    }

    fn at(&self, address: u64) -> Option<Piece> {
        self.overlapping(address, address.saturating_add(1)).next().map(|(_, piece)| piece)
    }

    /// The parts of a range in which there is nothing.
    fn gaps(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        let (mut gaps, mut from) = (Vec::new(), start);
        for (first, piece) in self.overlapping(start, end) {
            if first > from {
                gaps.push((from, first));
            }
            from = piece.end;
        }
        if from < end {
            gaps.push((from, end));
        }
        gaps
    }
}

#[cfg(test)]
#[path = "space_tests.rs"]
#[expect(clippy::cast_possible_truncation, reason = "numbers of a few pages")]
mod tests;
