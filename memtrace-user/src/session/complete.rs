//! Completes a snapshot with what takes time: lines and inlined functions of all its locations.
//!
//! All of it happens beside the session, with a symbol thread of its own: the live table and the session's events do not
//! wait for it, and the traced process least of all.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    sync::Arc,
};

use tokio::sync::{Mutex, watch};

use super::locate::Locator;
use crate::{
    profile::{About, Location, ModuleId, Profile, Snapshot, SymbolTable, TraceOptions, mark_whole_stacks},
    symbolize::{Detail, Query, Symbolizer},
    tracer::{TracerOptions, kernel_release},
};

/// Locations that are looked up at once: of one file, so that its debug information is read once.
const AT_ONCE: usize = 4096;

/// A snapshot whose names have not been looked up.
#[derive(Debug)]
pub struct Unfinished {
    snapshot: Snapshot,
    /// Functions that the session knows already.
    names: Arc<SymbolTable>,
    files: HashMap<ModuleId, Arc<File>>,
}

/// How far a completion has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Locations looked up.
    pub done: usize,
    /// Locations in all.
    pub all: usize,
}

/// Finds lines for the snapshots of one session, each once. Clones share what has been found; one
/// snapshot after the other is completed.
#[derive(Debug, Clone, Default)]
pub struct Finder(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    symbolizer: Option<Symbolizer>,
    table: SymbolTable,
}

/// What is known before anything is looked up: who has taken the profile, where, and how.
#[must_use]
pub(super) fn about(options: &TracerOptions, profile: &Profile) -> About {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    About {
        tool: Some(concat!("memtrace ", env!("CARGO_PKG_VERSION")).to_owned()),
        host: host.map(|name| name.trim_end().to_owned()),
        kernel: Some(kernel_release()),
        started_at: profile.taken_at.checked_sub(profile.elapsed),
        options: TraceOptions {
            sample_bytes: profile.sample_bytes,
            min_size: (options.min_size > 0).then_some(options.min_size),
            max_frames: Some(options.max_frames),
            unwind: Some(options.unwind.name().to_owned()),
        },
        ..About::default()
    }
}

impl Unfinished {
    /// The snapshot with addresses and build ids, to be looked up later. Code of no file, which could not be, keeps its
    /// names.
    #[must_use]
    pub fn without_symbols(self) -> Snapshot {
        let Self { mut snapshot, names, files } = self;
        let of_no_file: BTreeSet<Location> =
            locations(&snapshot).filter(|location| !files.contains_key(&location.module)).collect();
        for location in of_no_file {
            snapshot.symbols.insert(location, names.frames(location).into());
        }
        snapshot.merge_samples();
        snapshot
    }

    pub(super) fn new(snapshot: Snapshot, names: Arc<SymbolTable>, locator: &Locator) -> Self {
        let modules: BTreeSet<ModuleId> = locations(&snapshot).map(|location| location.module).collect();
        let files = modules.into_iter().filter_map(|module| Some((module, locator.file(module)?))).collect();
        Self { snapshot, names, files }
    }
}

fn locations(snapshot: &Snapshot) -> impl Iterator<Item = Location> {
    snapshot.samples.iter().flat_map(|sample| sample.stack.iter().copied())
}

impl Finder {
    /// Finds the functions, lines and inlined functions of all locations. What cannot be found, or is not found when `stop`
    /// resolves, stays without, or with the function that the session knows. Needs a tokio runtime.
    pub async fn complete(
        &self,
        unfinished: Unfinished,
        progress: &watch::Sender<Progress>,
        stop: impl Future<Output = ()>,
    ) -> Snapshot {
        let mut found = self.0.lock().await;
        let Unfinished { mut snapshot, names, files } = unfinished;
        let wanted: BTreeSet<Location> = locations(&snapshot).collect();
        tokio::select! {
            () = found.find_lines(&wanted, &files, progress) => {}
            () = stop => {}
        }
        for location in wanted {
            // What no file tells, the session may know: code compiled at run time has its names from the process.
            let table = if found.table.frames(location).is_empty() { &*names } else { &found.table };
            snapshot.symbols.insert(location, table.frames(location).into());
        }
        drop(found);
        mark_whole_stacks(&mut snapshot.samples, &snapshot.symbols);
        snapshot.merge_samples();
        snapshot
    }
}

impl Found {
    async fn find_lines(
        &mut self,
        wanted: &BTreeSet<Location>,
        files: &HashMap<ModuleId, Arc<File>>,
        progress: &watch::Sender<Progress>,
    ) {
        let mut by_file: BTreeMap<ModuleId, Vec<Location>> = BTreeMap::new();
        // What no file is behind has all the names that it will ever have.
        let has_file = |location: &&Location| files.contains_key(&location.module);
        for location in wanted.iter().filter(has_file).filter(|location| !self.table.knows(**location)) {
            by_file.entry(location.module).or_default().push(*location);
        }
        let all = by_file.values().map(Vec::len).sum();
        let mut done = 0;
        progress.send_replace(Progress { done, all });
        for (module, locations) in by_file {
            for some in locations.chunks(AT_ONCE) {
                let queries =
                    some.iter().map(|location| Query { location: *location, file: files.get(&module).cloned() });
                let Some(symbolizer) = self.symbolizer() else { return };
                for (location, frames) in symbolizer.resolve(queries.collect(), Detail::Lines).await {
                    self.table.insert(location, frames);
                }
                done += some.len();
                progress.send_replace(Progress { done, all });
            }
        }
    }

    fn symbolizer(&mut self) -> Option<&Symbolizer> {
        if self.symbolizer.is_none() {
            let started = Symbolizer::start();
            self.symbolizer = started.inspect_err(|error| log::error!("snapshot without lines: {error}")).ok();
        }
        self.symbolizer.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::fixture::Scene;

    /// Names of code compiled at run time come from the process alone: a snapshot has them, with symbols and without.
    #[tokio::test]
    async fn names_of_code_without_file_are_kept() {
        let mut scene = Scene::default();
        scene.sample(&["grow@[jit]", "main@[jit]"], 1, 10, 0);
        let named = scene.snapshot();
        let unfinished = || Unfinished {
            snapshot: Snapshot { symbols: SymbolTable::default(), ..named.clone() },
            names: Arc::new(named.symbols.clone()),
            files: HashMap::new(),
        };
        let progress = watch::Sender::new(Progress::default());
        let complete = Finder::default().complete(unfinished(), &progress, std::future::pending()).await;
        for snapshot in [complete, unfinished().without_symbols()] {
            let frames = snapshot.symbols.frames(snapshot.samples[0].stack[0]);
            assert_eq!(frames[0].function.as_deref(), Some("grow"));
        }
    }
}
