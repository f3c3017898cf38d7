//! Names of locations: functions for all, lines for what is shown.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    sync::Arc,
};

use super::locate::Locator;
use crate::{
    profile::{Frame, Location, StackSample, SymbolTable},
    symbolize::{Detail, Query, Symbolizer},
};

/// What has been found so far.
#[derive(Debug)]
pub struct Names {
    symbolizer: Symbolizer,
    table: Arc<SymbolTable>,
    with_lines: HashSet<Location>,
}

impl Names {
    /// Starts the symbolizer's thread.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn new() -> io::Result<Self> {
        Ok(Self { symbolizer: Symbolizer::start()?, table: Arc::default(), with_lines: HashSet::new() })
    }

    /// All names found so far.
    #[must_use]
    pub fn table(&self) -> Arc<SymbolTable> {
        Arc::clone(&self.table)
    }

    /// Whether a location has been looked up.
    pub fn knows(&self, location: Location) -> bool {
        self.table.knows(location)
    }

    /// Finds the functions of locations that are not known yet.
    pub async fn find_names(&mut self, locations: impl Iterator<Item = Location>, locator: &Locator) {
        let fresh: BTreeSet<Location> = locations.filter(|location| !self.table.knows(*location)).collect();
        self.resolve(fresh, Detail::Names, locator).await;
    }

    /// Finds lines and inlined functions; returns whether any was looked up.
    pub async fn find_lines(&mut self, locations: &BTreeSet<Location>, locator: &Locator) -> bool {
        let fresh: BTreeSet<Location> =
            locations.iter().copied().filter(|location| !self.with_lines.contains(location)).collect();
        if fresh.is_empty() {
            return false;
        }
        self.resolve(fresh.clone(), Detail::Lines, locator).await;
        self.with_lines.extend(fresh);
        true
    }

    /// Takes over the names of functions that a process of these samples has compiled at run time.
    pub fn add_jit(&mut self, samples: &[StackSample], locator: &Locator) {
        if !locator.has_jit() {
            return;
        }
        let locations = samples.iter().flat_map(|sample| sample.stack.iter().copied());
        let named = locations.filter_map(|location| Some((location, locator.jit_name(location)?)));
        let fresh: Vec<_> = named.filter(|(location, _)| !self.table.knows(*location)).collect();
        if !fresh.is_empty() {
            let table = Arc::make_mut(&mut self.table);
            for (location, name) in fresh {
                table.insert(location, jit_frames(name));
            }
        }
    }

    async fn resolve(&mut self, locations: BTreeSet<Location>, detail: Detail, locator: &Locator) {
        let table = Arc::make_mut(&mut self.table);
        let lacks_frame = |location: &Location| match locator.own_frame(*location) {
            Some(frame) => {
                table.insert(*location, Arc::new([frame]));
                false
            }
            // Nothing more is to be known of what another process has compiled at run time.
            None => !table.knows(*location) || locator.file(location.module).is_some(),
        };
        let locations: BTreeSet<Location> = locations.into_iter().filter(lacks_frame).collect();
        if locations.is_empty() {
            return;
        }
        let query = |location: Location| Query { location, file: locator.file(location.module) };
        let answers = self.symbolizer.resolve(locations.into_iter().map(query).collect(), detail).await;
        let table = Arc::make_mut(&mut self.table);
        for (location, frames) in answers {
            table.insert(location, frames);
        }
    }
}

fn jit_frames(name: &Arc<str>) -> Arc<[Frame]> {
    Arc::new([Frame { function: Some(Arc::clone(name)), source: None, inlined: false }])
}
