//! Names of code, looked up beside the event loop: events that wait for a symbol table to be read would be lost.

use std::{collections::BTreeSet, future::pending, io, sync::Arc};

use tokio::task::JoinHandle;

use super::MachineUpdate;
use crate::{
    process::MappedFiles,
    profile::{Frame, Location, ProcessKey, Profile, SymbolTable, mark_whole_stacks},
    symbolize::{Answer, Detail, Query, Symbolizer},
};

/// Names beyond which all are forgotten; those that are shown are looked up anew.
const MOST_NAMES: usize = 1 << 18;

/// What has been asked for and has no names yet.
pub(super) type Unnamed = Vec<(ProcessKey, Profile)>;

/// What has been found so far, and what is looked up.
#[derive(Debug)]
pub(super) struct Naming {
    symbolizer: Arc<Symbolizer>,
    table: Arc<SymbolTable>,
    with_lines: BTreeSet<Location>,
    task: Option<JoinHandle<Vec<Answer>>>,
    /// Locations whose lines are looked up, where it is lines.
    lines: Option<BTreeSet<Location>>,
    /// Profiles whose names are looked up.
    named: Option<Unnamed>,
    /// Profiles that wait for their turn: of the last asking alone.
    unnamed: Option<Unnamed>,
}

impl Naming {
    /// Starts the symbolizer's thread.
    pub(super) fn new() -> io::Result<Self> {
        let symbolizer = Arc::new(Symbolizer::start()?);
        let (table, with_lines, task, lines, named, unnamed) = Default::default();
        Ok(Self { symbolizer, table, with_lines, task, lines, named, unnamed })
    }

    /// The names of these are looked up next.
    pub(super) fn ask(&mut self, profiles: Unnamed, known: impl Iterator<Item = (Location, Frame)>) {
        if self.table.len() > MOST_NAMES {
            self.table = Arc::default();
            self.with_lines.clear();
        }
        let table = Arc::make_mut(&mut self.table);
        for (location, frame) in known {
            table.insert(location, Arc::new([frame]));
        }
        self.unnamed = Some(profiles);
    }

    /// Begins with what waits, if nothing is under way.
    pub(super) fn begin(&mut self, wanted: &BTreeSet<Location>, files: &MappedFiles) {
        if self.task.is_some() {
            return;
        }
        if let Some(profiles) = self.unnamed.take() {
            let samples = profiles.iter().flat_map(|(_, profile)| &profile.samples);
            let locations: BTreeSet<Location> = samples.flat_map(|sample| sample.stack.iter().copied()).collect();
            let fresh = locations.into_iter().filter(|location| !self.table.knows(*location));
            self.task = Some(self.resolve(fresh, Detail::Names, files));
            self.named = Some(profiles);
            return;
        }
        let is_fresh = |location: &Location| !self.with_lines.contains(location);
        let fresh: BTreeSet<Location> = wanted.iter().copied().filter(is_fresh).collect();
        if !fresh.is_empty() {
            // What no file is behind has no lines.
            let in_files = fresh
                .iter()
                .copied()
                .filter(|location| files.get(location.module).is_some_and(|file| file.file.is_some()));
            self.task = Some(self.resolve(in_files, Detail::Lines, files));
            self.lines = Some(fresh);
        }
    }

    /// Locations mean something else from now on.
    pub(super) fn forget(&mut self) {
        self.table = Arc::default();
        self.with_lines.clear();
        self.unnamed = None;
        if let Some(task) = self.task.take() {
            task.abort();
        }
        (self.lines, self.named) = (None, None);
        // What the old one keeps of files goes with it.
        match Symbolizer::start() {
            Ok(symbolizer) => self.symbolizer = Arc::new(symbolizer),
            Err(error) => log::warn!("names: {error}"),
        }
    }

    /// Whether all lines have been looked up.
    pub(super) fn knows_lines(&self, locations: &BTreeSet<Location>) -> bool {
        locations.is_subset(&self.with_lines)
    }

    fn resolve(
        &self,
        locations: impl Iterator<Item = Location>,
        detail: Detail,
        files: &MappedFiles,
    ) -> JoinHandle<Vec<Answer>> {
        let query =
            |location: Location| Query { location, file: files.get(location.module).and_then(|file| file.file) };
        let queries: Vec<Query> = locations.map(query).collect();
        let symbolizer = Arc::clone(&self.symbolizer);
        tokio::spawn(
            async move { if queries.is_empty() { Vec::new() } else { symbolizer.resolve(queries, detail).await } },
        )
    }

    /// Resolves when something has got its names. May be dropped at any await.
    pub(super) async fn next(&mut self) -> MachineUpdate {
        let Some(task) = &mut self.task else { return pending().await };
        let answers = task.await.unwrap_or_default();
        self.task = None;
        let table = Arc::make_mut(&mut self.table);
        for (location, frames) in answers {
            table.insert(location, frames);
        }
        let symbols = Arc::clone(&self.table);
        if let Some(profiles) = self.named.take() {
            return MachineUpdate::Stacks { profiles: whole(profiles, &symbols), symbols };
        }
        let asked = self.lines.take().unwrap_or_default();
        self.with_lines.extend(&asked);
        MachineUpdate::Lines { symbols, asked }
    }
}

fn whole(profiles: Unnamed, symbols: &SymbolTable) -> Vec<(ProcessKey, Arc<Profile>)> {
    let marked = profiles.into_iter().map(|(key, mut profile)| {
        mark_whole_stacks(&mut profile.samples, symbols);
        (key, Arc::new(profile))
    });
    marked.collect()
}
