//! Files, functions and locations.
//!
//! Stacks are recorded as offsets in files, so there are no addresses to write: every file gets an address range of its
//! own that stands for its offsets, the same in each snapshot of the same files. What pprof computes of it, the offset
//! in the file, is right; and no two files overlap, for viewers that look at addresses alone.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    sync::Arc,
};

use super::strings::Strings;
use crate::{
    profile::{CallStack, Frame, Location, Module, ModuleId, Snapshot},
    snapshot::{
        NO_ADDRESS,
        proto::{self, Line, Mapping, profile},
        wire::put_message,
    },
};

/// Bytes of addresses for each file: more than any file of code has.
const RANGE: u64 = 1 << 32;

/// Ids of the locations that a snapshot's stacks have.
#[derive(Debug, Default)]
pub struct Locations {
    ids: HashMap<Location, u64>,
}

impl Locations {
    /// Appends the files, functions and locations that the samples need.
    pub fn put<'a>(snapshot: &'a Snapshot, strings: &mut Strings<'a>, out: &mut Vec<u8>) -> Self {
        let mut locations = Self::default();
        let mut ordered = Vec::new();
        let mut seen = HashSet::new();
        for sample in &snapshot.samples {
            // Stacks are mostly shared between samples.
            if !seen.insert(stack_key(&sample.stack)) {
                continue;
            }
            for location in sample.stack.iter() {
                let next = ordered.len() as u64 + 1;
                locations.ids.entry(*location).or_insert_with(|| {
                    ordered.push(*location);
                    next
                });
            }
        }
        put_mappings(snapshot, &ordered, strings, out);
        let mut functions = Functions::default();
        for (id, location) in (1..).zip(ordered) {
            let frames = snapshot.symbols.frames(location);
            let named = frames.iter().any(|frame| frame.function.is_some() || frame.source.is_some());
            let lines =
                if named { frames } else { &[] }.iter().map(|frame| functions.line(frame, strings, out)).collect();
            let mapping_id = u64::from(location.module.0);
            let address = if named && location.offset >= NO_ADDRESS { 0 } else { address_of(location) };
            put_message(profile::LOCATION, &proto::Location { id, mapping_id, address, lines }, out);
        }
        locations
    }

    /// The id of a location that a sample has.
    pub fn id(&self, location: Location) -> u64 {
        self.ids.get(&location).copied().unwrap_or_default()
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
    let mut flags: HashMap<ModuleId, Mapping> = HashMap::new();
    for location in locations {
        let found = flags.entry(location.module).or_default();
        for frame in snapshot.symbols.frames(*location) {
            found.has_functions |= frame.function.is_some();
            found.has_filenames |= frame.source.is_some();
            found.has_line_numbers |= frame.source.as_ref().is_some_and(|source| source.line > 0);
        }
    }
    for (module, Module { path, build_id }) in snapshot.modules.iter().filter(|(id, _)| *id != ModuleId::UNKNOWN) {
        let found = flags.get(&module).copied().unwrap_or_default();
        let mapping = Mapping {
            id: u64::from(module.0),
            start: start_of(module),
            limit: start_of(module).saturating_add(RANGE),
            file: strings.id(&**path),
            build_id: strings.id(build_id.as_deref().map(hexadecimal).unwrap_or_default()),
            // Whoever looked lines up looked inlined functions up with them.
            has_inline_frames: found.has_line_numbers,
            ..found
        };
        put_message(profile::MAPPING, &mapping, out);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Functions by name and file, as one name may be defined in several files.
#[derive(Debug, Default)]
struct Functions {
    ids: HashMap<(i64, i64), u64>,
}

impl Functions {
    /// The line of a frame; a function not met before is appended.
    fn line<'a>(&mut self, frame: &'a Frame, strings: &mut Strings<'a>, out: &mut Vec<u8>) -> Line {
        let text = |text: Option<&'a Arc<str>>, strings: &mut Strings<'a>| strings.id(text.map_or("", |text| &**text));
        let name = text(frame.function.as_ref(), strings);
        let filename = text(frame.source.as_ref().map(|source| &source.file), strings);
        let next = self.ids.len() as u64 + 1;
        let id = *self.ids.entry((name, filename)).or_insert_with(|| {
            let function = proto::Function { id: next, name, filename, ..proto::Function::default() };
            put_message(profile::FUNCTION, &function, out);
            next
        });
        Line { function_id: id, line: frame.source.as_ref().map_or(0, |source| i64::from(source.line)) }
    }
}
