//! Memory that unwind tables lie in: segments (array maps) of a map of maps.
//!
//! The kernel takes some ten milliseconds to take in a segment, however large, so all tables that are placed together
//! share one. What a dropped table leaves is used again, and a segment in which nothing is left is given back.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use memtrace_common::unwind::SEGMENTS;

use super::{free_ranges::FreeRanges, mapped::MappedArray, syscall};

/// Words of all tables together: 256 MiB. A process with 500 MB of code needs about a tenth.
const MAX_WORDS: usize = 32 << 20;

/// Segments that are made as large as what they are made for.
const SEPARATE: usize = 32;

/// Words of the others at least: 1 MiB.
const SHARED_WORDS: usize = 128 << 10;

/// Where a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: u32,
    /// Its first word.
    pub first_word: u32,
    /// Its words.
    pub words: u32,
}

#[derive(Debug)]
struct Segment {
    map: OwnedFd,
    memory: MappedArray<u64>,
    free: FreeRanges,
}

/// The segments.
#[derive(Debug)]
pub struct TableMemory {
    outer: OwnedFd,
    segments: Vec<Option<Segment>>,
}

impl TableMemory {
    /// Without any segment.
    #[must_use]
    pub const fn new(outer: OwnedFd) -> Self {
        Self { outer, segments: Vec::new() }
    }

    /// Copies tables into the maps; the places are in their order, `None` for a table that found no room.
    ///
    /// # Errors
    /// When the kernel makes no map, or there is no room: what found a place has it all the same.
    pub fn place(&mut self, tables: &[&[u64]]) -> (Vec<Option<Place>>, io::Result<()>) {
        let mut places: Vec<Option<Place>> = tables.iter().map(|words| self.take(words)).collect();
        let unplaced = |places: &[Option<Place>]| -> usize {
            tables.iter().zip(places).filter(|(_, place)| place.is_none()).map(|(words, _)| words.len()).sum()
        };
        let wanted = unplaced(&places);
        if wanted == 0 {
            return (places, Ok(()));
        }
        let added = self.add_segment(wanted);
        if let Ok(index) = added {
            for (words, place) in tables.iter().zip(&mut places) {
                *place = place.or_else(|| self.take(words));
            }
            // Its contents are there before programs see it.
            if let Some(segment) = &self.segments[index as usize]
                && let Err(error) = syscall::set_inner_map(self.outer.as_fd(), index, segment.map.as_fd())
            {
                self.segments[index as usize] = None;
                let lost = |place: &Place| place.segment == index;
                places.iter_mut().filter(|place| place.as_ref().is_some_and(lost)).for_each(|place| *place = None);
                return (places, Err(error));
            }
        }
        (places, added.map(drop))
    }

    /// Gives back the place of a table that no mapping list names any more. A stack that is walked meanwhile by an old
    /// list notices at its end that the list has changed.
    pub fn give_back(&mut self, place: Place) {
        let Some(slot) = self.segments.get_mut(place.segment as usize) else { return };
        let Some(segment) = slot else { return };
        segment.free.give_back(place.first_word, place.words);
        if segment.free.is_unused() {
            if let Err(error) = syscall::remove_inner_map(self.outer.as_fd(), place.segment) {
                log::warn!("memory of unwind tables cannot be given back: {error}");
                return;
            }
            *slot = None;
        }
    }

    /// A word of a segment.
    #[must_use]
    pub fn word(&self, segment: u32, index: u64) -> Option<u64> {
        let memory = &self.segments.get(segment as usize)?.as_ref()?.memory;
        let index = u32::try_from(index).ok().filter(|index| (*index as usize) < memory.entries())?;
        Some(memory.load(index, 0))
    }

    /// Bytes of kernel memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments.iter().flatten().map(|segment| segment.memory.bytes()).sum()
    }

    /// Copies a table into free memory, if there is enough in one piece.
    fn take(&mut self, words: &[u64]) -> Option<Place> {
        let length = u32::try_from(words.len()).ok()?;
        (0..).zip(&mut self.segments).find_map(|(index, segment)| {
            let segment = segment.as_mut()?;
            let first_word = segment.free.take(length)?;
            for (place, word) in (first_word..).zip(words) {
                segment.memory.store(place, 0, *word);
            }
            Some(Place { segment: index, first_word, words: length })
        })
    }

    fn add_segment(&mut self, words: usize) -> io::Result<u32> {
        let used: usize = self.segments.iter().flatten().map(|segment| segment.memory.entries()).sum();
        if used + words > MAX_WORDS {
            return Err(io::Error::other(format!("they would take more than {} MiB", MAX_WORDS >> 17)));
        }
        let empty = self.segments.iter().position(Option::is_none).unwrap_or(self.segments.len());
        let index = u32::try_from(empty).ok().filter(|index| *index < SEGMENTS);
        let index = index.ok_or_else(|| io::Error::other("no room for more of them"))?;
        // Tables that come one by one share segments once there are many.
        let least = if self.segments.len() < SEPARATE { 0 } else { SHARED_WORDS };
        let entries = u32::try_from(words.max(least)).map_err(io::Error::other)?;
        let map = syscall::create_segment(8, entries)?;
        let memory = MappedArray::new(&map, entries)?;
        let segment = Some(Segment { map, memory, free: FreeRanges::new(entries) });
        match self.segments.get_mut(empty) {
            Some(slot) => *slot = segment,
            None => self.segments.push(segment),
        }
        Ok(index)
    }
}
