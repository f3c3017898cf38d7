//! Completes the names of a snapshot from files on this machine.

use std::collections::{BTreeMap, BTreeSet};

use super::{Detail, LocalFiles, NotFound, Query, Symbolizer};
use crate::profile::{Frame, Lack, Location, Module, ModuleId, Snapshot, SymbolTable, mark_whole_stacks};

/// What has been completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// Locations that had no function, or no line, before.
    pub wanted: usize,
    /// Those of them that have got one.
    pub completed: usize,
    /// Modules whose file is not here, with the number of their locations.
    pub not_found: Vec<(Module, usize, NotFound)>,
}

/// Looks up functions and lines of all locations that lack them. Names that are there are only replaced by more. Before
/// each file, `progress` is told which of how many it is.
pub async fn fill(
    snapshot: &mut Snapshot,
    files: &LocalFiles,
    symbolizer: &Symbolizer,
    mut progress: impl FnMut(&Module, usize, usize),
) -> Filled {
    let wanted = wanted(snapshot);
    let mut filled = Filled { wanted: wanted.values().map(Vec::len).sum(), ..Filled::default() };
    let count = wanted.len();
    for (index, (module, locations)) in wanted.into_iter().enumerate() {
        let module = snapshot.modules.module(module);
        progress(module, index + 1, count);
        let file = match files.obtain(module).await {
            Ok(file) => file,
            Err(reason) => {
                filled.not_found.push((module.clone(), locations.len(), reason));
                continue;
            }
        };
        let query = |location| Query { location, file: Some(file.clone()) };
        for (location, frames) in symbolizer.resolve(locations.into_iter().map(query).collect(), Detail::Lines).await {
            if is_better(&frames, snapshot.symbols.frames(location)) {
                filled.completed += 1;
                snapshot.symbols.insert(location, frames);
            }
        }
    }
    // Where a thread starts is known by name.
    mark_whole_stacks(&mut snapshot.samples, &snapshot.symbols);
    forget_lacks(snapshot);
    filled
}

/// The locations that lack a function or a line, by module; code of no file cannot be looked up.
fn wanted(snapshot: &Snapshot) -> BTreeMap<ModuleId, Vec<Location>> {
    let locations: BTreeSet<Location> =
        snapshot.samples.iter().flat_map(|sample| sample.stack.iter().copied()).collect();
    let mut wanted: BTreeMap<ModuleId, Vec<Location>> = BTreeMap::new();
    for location in locations {
        if location.module != ModuleId::UNKNOWN && detail(snapshot.symbols.frames(location)) < Detailed::Line {
            wanted.entry(location.module).or_default().push(location);
        }
    }
    wanted
}

/// How much is known of a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Detailed {
    Nothing,
    Function,
    Line,
}

fn detail(frames: &[Frame]) -> Detailed {
    match frames {
        [] => Detailed::Nothing,
        frames if frames.iter().any(|frame| frame.source.is_some()) => Detailed::Line,
        frames if frames.iter().any(|frame| frame.function.is_some()) => Detailed::Function,
        _ => Detailed::Nothing,
    }
}

fn is_better(new: &[Frame], old: &[Frame]) -> bool {
    detail(new) > detail(old)
}

/// A profile of another program may lack less than before.
fn forget_lacks(snapshot: &mut Snapshot) {
    let known = |symbols: &SymbolTable, least| {
        let locations = || snapshot.samples.iter().flat_map(|sample| sample.stack.iter());
        let enough = |location: &Location| detail(symbols.frames(*location)) >= least;
        if least == Detailed::Function { locations().all(enough) } else { locations().any(enough) }
    };
    let functions = known(&snapshot.symbols, Detailed::Function);
    let lines = known(&snapshot.symbols, Detailed::Line);
    snapshot.about.lacks.retain(|lack| match lack {
        Lack::Functions => !functions,
        Lack::Lines => !lines,
        _ => true,
    });
}

#[cfg(test)]
#[path = "fill_tests.rs"]
mod tests;
