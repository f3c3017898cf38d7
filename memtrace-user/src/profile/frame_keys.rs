//! Numbers for places in the code: places that are one group have one number.
//!
//! Names are compared once for each location of a profile; whatever follows works on numbers.

use std::{borrow::Cow, sync::Arc};

use super::{
    Frame, GroupBy, Location, Modules, PYTHON_MODULE, Place, SourceLine,
    path_key::{PathKeys, file_name},
};
use crate::number_hash::NumberMap;

/// Stands for a name that is not known or left out.
const NONE: u32 = u32::MAX;

/// What places are compared by: numbers of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FrameKey {
    function: u32,
    file: u32,
    line: u32,
    module: u32,
    offset: u64,
}

/// The places met so far. Must not outlive the profiles: it knows paths by their address.
#[derive(Debug)]
pub(super) struct FrameKeys {
    by: GroupBy,
    modules: PathKeys,
    files: PathKeys,
    names: NumberMap<Arc<str>, u32>,
    numbers: NumberMap<FrameKey, u32>,
    places: Vec<Arc<Place>>,
    /// Numbers of the keys of paths, by the address of the path: profiles share one copy of each among locations.
    paths: NumberMap<(usize, usize, PathOf), u32>,
}

impl FrameKeys {
    /// For grouping by this; any that is not of frames tells lines apart.
    pub(super) fn new(by: GroupBy, modules: PathKeys, files: PathKeys) -> Self {
        Self {
            by,
            modules,
            files,
            names: NumberMap::default(),
            numbers: NumberMap::default(),
            places: Vec::new(),
            paths: NumberMap::default(),
        }
    }

    /// What a number stands for.
    pub(super) fn place(&self, number: u32) -> &Arc<Place> {
        &self.places[number as usize]
    }

    /// The number of a frame of a location; `None` is the frame of a location without names.
    pub(super) fn number(&mut self, location: Location, frame: Option<&Frame>, modules: &Modules) -> u32 {
        let place = self.place_of(location, frame, modules);
        let key = self.key_of(&place);
        let next = u32::try_from(self.places.len()).expect("fewer than 2^32 places");
        let number = *self.numbers.entry(key).or_insert(next);
        match self.places.get_mut(number as usize) {
            None => self.places.push(Arc::new(place)),
            // Of the paths of one file, the first by name is shown, whichever profile comes first.
            Some(known) if place < **known => *known = Arc::new(place),
            Some(_) => {}
        }
        number
    }

    /// The part of a frame that the grouping looks at.
    fn place_of(&self, location: Location, frame: Option<&Frame>, modules: &Modules) -> Place {
        let module = || Some(Arc::clone(modules.path(location.module)));
        let function = frame.and_then(|frame| frame.function.clone());
        let source = frame.and_then(|frame| frame.source.as_ref());
        match (self.by, source) {
            (GroupBy::Module, _) | (GroupBy::File, None) => Place { module: module(), ..Place::default() },
            (GroupBy::File, Some(source)) => Place { file: Some(Arc::clone(&source.file)), ..Place::default() },
            // Plain names, as `__init__`, that say little without their file.
            (GroupBy::Function, Some(source)) if **modules.path(location.module) == *PYTHON_MODULE => {
                Place { function, file: Some(Arc::clone(&source.file)), module: module(), ..Place::default() }
            }
            (GroupBy::Function, _) => Place { function, module: module(), ..Place::default() },
            _ => Place {
                // Offsets in the upper half stand for code that has none.
                offset: (function.is_none() && location.offset < 1 << 63).then_some(location.offset),
                function,
                file: source.map(|source| Arc::clone(&source.file)),
                line: source.map_or(0, |source: &SourceLine| source.line),
                module: module(),
            },
        }
    }

    /// The directory of a source file is no part of a line's key: it changes with the place of the build.
    fn key_of(&mut self, place: &Place) -> FrameKey {
        let is_python = place.is_python();
        // Of Python, a line is its file and number.
        let function = place.function.as_ref().filter(|_| !(is_python && self.by == GroupBy::Line && place.line > 0));
        let of = if is_python { PathOf::Python } else { PathOf::Source };
        FrameKey {
            function: function.map_or(NONE, |name| self.name(name)),
            file: place.file.as_ref().map_or(NONE, |path| self.path(path, of)),
            line: place.line,
            module: place.module.as_ref().map_or(NONE, |path| self.path(path, PathOf::Module)),
            offset: place.offset.unwrap_or(u64::MAX),
        }
    }

    /// The number of a path's key.
    fn path(&mut self, path: &Arc<str>, of: PathOf) -> u32 {
        let address = (path.as_ptr().addr(), path.len(), of);
        if let Some(number) = self.paths.get(&address) {
            return *number;
        }
        let key = match (of, self.by) {
            (PathOf::Module, _) => self.modules.key(path),
            // There is an `__init__.py` in every directory.
            (PathOf::Python, _) => Cow::Borrowed(&**path),
            (PathOf::Source, GroupBy::File) => self.files.key(path),
            (PathOf::Source, _) => file_name(path).into(),
        };
        let key: Arc<str> = key.into();
        let number = self.name(&key);
        self.paths.insert(address, number);
        number
    }

    fn name(&mut self, name: &Arc<str>) -> u32 {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("fewer than 2^32 names");
        self.names.insert(Arc::clone(name), number);
        number
    }
}

/// Whose path it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PathOf {
    Module,
    Source,
    Python,
}
