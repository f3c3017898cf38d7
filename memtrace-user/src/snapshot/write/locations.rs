//! Files, functions and locations.
//!
//! Stacks are recorded as offsets in files, so there are no addresses to write: every file gets an address range of its
//! own that stands for its offsets. What pprof computes of it, the offset in the file, is right; and no two files overlap,
//! for viewers that look at addresses alone.

use std::collections::{HashMap, HashSet};

use super::strings::Strings;
use crate::{
    profile::{CallStack, Frame, Location, Module, ModuleId, Snapshot, build_id_text},
    snapshot::{
        NO_ADDRESS, NO_STACK,
        proto::{self, Line, Mapping, profile},
        wire::put_message,
    },
};

/// Bytes of addresses for each file: more than any file of code has.
const RANGE: u64 = 1 << 32;

/// The page that pprof reckons with.
const PAGE: u64 = 4096;

/// Ids of the locations that a snapshot's stacks have.
#[derive(Debug, Default)]
pub struct Locations {
    ids: HashMap<Location, u64>,
    no_stack: u64,
}

impl Locations {
    /// Appends the files, functions and locations that the samples need.
    pub fn put<'a>(snapshot: &'a Snapshot, strings: &mut Strings<'a>, out: &mut Vec<u8>) -> Self {
        let mut locations = Self::default();
        let ordered = locations.number(snapshot);
        put_mappings(snapshot, &ordered, strings, out);
        let mut functions = Functions::default();
        for (id, location) in (1..).zip(&ordered) {
            let frames = snapshot.symbols.frames(*location);
            let named = frames.iter().any(|frame| frame.function.is_some() || frame.source.is_some());
            let frames = if named { frames } else { &[] };
            let lines = frames.iter().map(|frame| functions.line(frame, strings, out)).collect();
            let mapping_id = u64::from(location.module.0);
            let address = if named && location.offset >= NO_ADDRESS { 0 } else { address_of(*location) };
            put_message(profile::LOCATION, &proto::Location { id, mapping_id, address, lines }, out);
        }
        if snapshot.samples.iter().any(|sample| sample.stack.is_empty()) {
            locations.no_stack = ordered.len() as u64 + 1;
            let lines = vec![Line { function_id: functions.id(NO_STACK, "", strings, out), line: 0 }];
            let location = proto::Location { id: locations.no_stack, mapping_id: 0, address: 0, lines };
            put_message(profile::LOCATION, &location, out);
        }
        locations
    }

    /// Numbers the locations in the order in which stacks have them.
    fn number(&mut self, snapshot: &Snapshot) -> Vec<Location> {
        let mut ordered = Vec::new();
        let mut seen = HashSet::new();
        // Stacks are mostly shared between samples.
        for sample in snapshot.samples.iter().filter(|sample| seen.insert(stack_key(&sample.stack))) {
            for location in sample.stack.iter() {
                let next = ordered.len() as u64 + 1;
                self.ids.entry(*location).or_insert_with(|| {
                    ordered.push(*location);
                    next
                });
            }
        }
        ordered
    }

    /// The ids of a sample's stack.
    pub fn ids(&self, stack: &CallStack) -> Vec<u64> {
        if stack.is_empty() {
            return vec![self.no_stack];
        }
        stack.iter().map(|location| self.ids.get(location).copied().unwrap_or_default()).collect()
    }
}

/// Tells stacks apart by where they lie in memory.
pub fn stack_key(stack: &CallStack) -> (usize, usize) {
    (stack.as_ptr().addr(), stack.len())
}

/// The address of the call: the byte before the return address. It wraps for offsets that no file has, and so does the
/// way back.
fn address_of(Location { module, offset }: Location) -> u64 {
    start_of(module).wrapping_add(offset).wrapping_sub(1)
}

/// The first address of a file's range. Code of no file has its real addresses.
fn start_of(module: ModuleId) -> u64 {
    u64::from(module.0) * RANGE
}

fn put_mappings<'a>(snapshot: &'a Snapshot, locations: &[Location], strings: &mut Strings<'a>, out: &mut Vec<u8>) {
    let mut found: HashMap<ModuleId, (Mapping, Extent)> = HashMap::new();
    for location in locations {
        let (found, extent) = found.entry(location.module).or_default();
        extent.take(location.offset.wrapping_sub(1));
        for frame in snapshot.symbols.frames(*location) {
            found.has_functions |= frame.function.is_some();
            found.has_filenames |= frame.source.is_some();
            found.has_line_numbers |= frame.source.as_ref().is_some_and(|source| source.line > 0);
        }
    }
    for (module, Module { path, build_id }) in snapshot.modules.iter().filter(|(id, _)| *id != ModuleId::UNKNOWN) {
        let (found, extent) = found.get(&module).copied().unwrap_or_default();
        let (first, end) = extent.pages();
        let mapping = Mapping {
            id: u64::from(module.0),
            start: start_of(module).saturating_add(first),
            limit: start_of(module).saturating_add(end),
            file_offset: first,
            file: strings.id(&**path),
            build_id: strings.id(build_id.as_deref().map(build_id_text).unwrap_or_default()),
            // Whoever looked lines up looked inlined functions up with them.
            has_inline_frames: found.has_line_numbers,
            ..found
        };
        put_message(profile::MAPPING, &mapping, out);
    }
}

/// The part of a file that its locations lie in. A mapping covers no more: pprof looks for the segment of the program
/// that fits a mapping, and takes a mapping of the whole file for the first segment, which is no code.
#[derive(Debug, Clone, Copy, Default)]
struct Extent(Option<(u64, u64)>);

impl Extent {
    fn take(&mut self, offset: u64) {
        let (first, last) = self.0.unwrap_or((offset, offset));
        self.0 = Some((first.min(offset), last.max(offset)));
    }

    /// Whole pages, from the first to that after the last; all of the range for offsets that no file has.
    fn pages(self) -> (u64, u64) {
        match self.0 {
            Some((first, last)) if last < RANGE => (first / PAGE * PAGE, (last / PAGE + 1) * PAGE),
            _ => (0, RANGE),
        }
    }
}

/// Functions by name and file, as one name may be defined in several files.
#[derive(Debug, Default)]
struct Functions {
    ids: HashMap<(i64, i64), u64>,
}

impl Functions {
    /// The line of a frame.
    fn line<'a>(&mut self, frame: &'a Frame, strings: &mut Strings<'a>, out: &mut Vec<u8>) -> Line {
        let source = frame.source.as_ref();
        let name = frame.function.as_deref().unwrap_or_default();
        let file = source.map_or("", |source| &*source.file);
        let line = source.map_or(0, |source| i64::from(source.line));
        Line { function_id: self.id(name, file, strings, out), line }
    }

    /// The id of a function; one not met before is appended.
    fn id<'a>(&mut self, name: &'a str, file: &'a str, strings: &mut Strings<'a>, out: &mut Vec<u8>) -> u64 {
        let (name, filename) = (strings.id(name), strings.id(file));
        let next = self.ids.len() as u64 + 1;
        *self.ids.entry((name, filename)).or_insert_with(|| {
            let function = proto::Function { id: next, name, filename, ..proto::Function::default() };
            put_message(profile::FUNCTION, &function, out);
            next
        })
    }
}
