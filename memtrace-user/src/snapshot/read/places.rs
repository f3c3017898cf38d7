//! From a profile's mappings, functions and locations to modules and their symbols.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use super::{
    ids::Ids,
    tables::{LocationEntry, Tables},
};
use crate::{
    profile::{Frame, Location, Module, ModuleId, Modules, SourceLine, SymbolTable},
    snapshot::{NO_ADDRESS, NO_STACK, SnapshotProblem, proto::Mapping},
    symbolize::demangle,
};

/// Longest build id, in bytes: the longest hashes in use have 64.
const MAX_BUILD_ID: usize = 64;

/// What the locations of a profile have become.
#[derive(Debug)]
pub struct Places {
    /// The mapped files.
    pub modules: Modules,
    /// Frames of each location.
    pub symbols: SymbolTable,
    ids: Ids,
    located: Vec<Place>,
}

/// A location, and its number of frames, which is 1 where no function is known; `None` stands for no stack at all.
type Place = Option<(Location, usize)>;

impl Places {
    /// Resolves all locations.
    pub fn of(tables: &Tables, own: bool) -> Result<Self, SnapshotProblem> {
        let mut mappings = MappedModules::of(tables, own)?;
        let functions = Functions::of(tables)?;
        let ids = Ids::of(tables.locations.iter().map(|entry| entry.id), "location")?;
        let mut symbols = SymbolTable::default();
        let mut located = Vec::with_capacity(tables.locations.len());
        let mut taken = Taken::default();
        for entry in &tables.locations {
            let frames = functions.frames(entry, tables)?;
            if own && is_no_stack(entry, &frames) {
                located.push(None);
                continue;
            }
            let count = frames.len().max(1);
            let wanted = mappings.locate(entry, !frames.is_empty())?;
            let location = taken.claim(wanted, frames, &mut symbols);
            located.push(Some((location, count)));
        }
        Ok(Self { modules: mappings.modules, symbols, ids, located })
    }

    /// The location of an id.
    pub fn place(&self, id: u64) -> Result<Place, SnapshotProblem> {
        let place = self.ids.place(id).and_then(|place| self.located.get(place));
        place.copied().ok_or_else(|| SnapshotProblem::damaged(format!("there is no location {id}")))
    }
}

/// Whether a location stands for the stack of what has none.
fn is_no_stack(entry: &LocationEntry, frames: &[Frame]) -> bool {
    let name = frames.first().and_then(|frame| frame.function.as_deref());
    entry.mapping_id == 0 && entry.address == 0 && name == Some(NO_STACK)
}

/// Offsets that are taken, so that locations which differ in their functions stay apart.
#[derive(Debug, Default)]
struct Taken {
    next: u64,
}

impl Taken {
    /// Stores frames under the wanted location, or under another one of its file when that has other frames.
    fn claim(&mut self, wanted: Option<Location>, frames: Arc<[Frame]>, symbols: &mut SymbolTable) -> Location {
        let mut location = wanted.unwrap_or(Location { module: ModuleId::UNKNOWN, offset: NO_ADDRESS });
        if location.offset == NO_ADDRESS || symbols.knows(location) && *symbols.frames(location) != *frames {
            while location.offset == NO_ADDRESS || symbols.knows(location) {
                self.next += 1;
                location.offset = NO_ADDRESS + self.next;
            }
        }
        symbols.insert(location, frames);
        location
    }
}

/// The mappings with the modules that they are of.
#[derive(Debug)]
struct MappedModules<'a> {
    modules: Modules,
    ids: Ids,
    mappings: &'a [Mapping],
    of_mapping: Vec<ModuleId>,
}

impl<'a> MappedModules<'a> {
    /// Own files have a mapping a module; elsewhere a file is mapped in pieces, which are one module here.
    fn of(tables: &'a Tables, own: bool) -> Result<Self, SnapshotProblem> {
        let ids = Ids::of(tables.mappings.iter().map(|mapping| mapping.id), "mapping")?;
        let mut modules = Modules::default();
        let mut known: HashMap<Module, ModuleId> = HashMap::new();
        let mut of_mapping = Vec::with_capacity(tables.mappings.len());
        for mapping in &tables.mappings {
            let path = Arc::clone(tables.text(mapping.file)?);
            let build_id = bytes_of(tables.text(mapping.build_id)?);
            let nameless = path.is_empty() && build_id.is_none();
            let module = Module { path, build_id };
            of_mapping.push(match known.entry(module.clone()) {
                _ if own => modules.push(module),
                _ if nameless => ModuleId::UNKNOWN,
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => *entry.insert(modules.push(module)),
            });
        }
        Ok(Self { modules, ids, mappings: &tables.mappings, of_mapping })
    }

    /// Where an address is in its file. [`NO_ADDRESS`] where there is none.
    fn locate(&mut self, entry: &LocationEntry, has_frames: bool) -> Result<Option<Location>, SnapshotProblem> {
        let has_address = entry.address != 0 || !has_frames;
        // The address is within the call, and a location's offset is that of the instruction after it.
        let return_address = entry.address.wrapping_add(1);
        if entry.mapping_id == 0 {
            return Ok(has_address.then_some(Location { module: ModuleId::UNKNOWN, offset: return_address }));
        }
        let place = self.ids.place(entry.mapping_id);
        let Some((mapping, module)) = place.and_then(|at| Some((self.mappings.get(at)?, *self.of_mapping.get(at)?)))
        else {
            return Err(SnapshotProblem::damaged(format!("there is no mapping {}", entry.mapping_id)));
        };
        let offset = if module == ModuleId::UNKNOWN {
            return_address
        } else {
            return_address.wrapping_sub(mapping.start).wrapping_add(mapping.file_offset)
        };
        Ok(Some(Location { module, offset: if has_address { offset } else { NO_ADDRESS } }))
    }
}

/// A build id that is written in hexadecimal digits; other programs put other things there.
fn bytes_of(text: &str) -> Option<Arc<[u8]>> {
    let digits = text.as_bytes();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || digits.len() > 2 * MAX_BUILD_ID {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks_exact(2).map(byte).collect()
}

/// A function's name as it is shown, and its file.
type Named = (Option<Arc<str>>, Option<Arc<str>>);

/// The functions of a profile.
struct Functions {
    ids: Ids,
    named: Vec<Named>,
}

impl Functions {
    fn of(tables: &Tables) -> Result<Self, SnapshotProblem> {
        let ids = Ids::of(tables.functions.iter().map(|function| function.id), "function")?;
        let mut named = Vec::with_capacity(tables.functions.len());
        for function in &tables.functions {
            let (name, system_name) = (tables.text(function.name)?, tables.text(function.system_name)?);
            let name = if name.is_empty() { system_name } else { name };
            let file = tables.text(function.filename)?;
            named.push((readable(name), (!file.is_empty()).then(|| Arc::clone(file))));
        }
        Ok(Self { ids, named })
    }

    fn frames(&self, entry: &LocationEntry, tables: &Tables) -> Result<Arc<[Frame]>, SnapshotProblem> {
        let lines = tables.lines.get(entry.lines.0..entry.lines.1).unwrap_or_default();
        let mut frames = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let id = line.function_id;
            let place = self.ids.place(id).and_then(|place| self.named.get(place));
            let Some((function, file)) = place else {
                return Err(SnapshotProblem::damaged(format!("there is no function {id}")));
            };
            let number = u32::try_from(line.line).unwrap_or_default();
            let source = file.as_ref().map(|file| SourceLine { file: Arc::clone(file), line: number });
            frames.push(Frame { function: function.clone(), source, inlined: index + 1 < lines.len() });
        }
        Ok(frames.into())
    }
}

/// A name as its source has it; some programs leave it as the linker knows it.
fn readable(name: &Arc<str>) -> Option<Arc<str>> {
    if name.is_empty() {
        return None;
    }
    match demangle(name) {
        std::borrow::Cow::Borrowed(_) => Some(Arc::clone(name)),
        std::borrow::Cow::Owned(readable) => Some(readable.into()),
    }
}
