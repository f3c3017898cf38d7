//! Numbers for places in the code: places that are one group have one number.
//!
//! Names are compared once for each location of a profile; whatever follows works on numbers.

use std::{collections::HashMap, sync::Arc};

use super::{
    Frame, GroupBy, Location, Modules, Place, SourceLine,
    number_hash::NumberMap,
    path_key::{PathKeys, file_name},
};

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

/// The places met so far.
#[derive(Debug)]
pub(super) struct FrameKeys {
    by: GroupBy,
    modules: PathKeys,
    files: PathKeys,
    names: HashMap<Arc<str>, u32>,
    numbers: NumberMap<FrameKey, u32>,
    places: Vec<Place>,
}

impl FrameKeys {
    /// For grouping by this; any that is not of frames tells lines apart.
    pub(super) fn new(by: GroupBy, modules: PathKeys, files: PathKeys) -> Self {
        Self { by, modules, files, names: HashMap::new(), numbers: NumberMap::default(), places: Vec::new() }
    }

    /// What a number stands for.
    pub(super) fn place(&self, number: u32) -> &Place {
        &self.places[number as usize]
    }

    /// The number of a frame of a location; `None` is the frame of a location without names.
    pub(super) fn number(&mut self, location: Location, frame: Option<&Frame>, modules: &Modules) -> u32 {
        let place = self.place_of(location, frame, modules);
        let key = self.key_of(&place);
        let next = u32::try_from(self.places.len()).expect("fewer than 2^32 places");
        let number = *self.numbers.entry(key).or_insert(next);
        match self.places.get_mut(number as usize) {
            None => self.places.push(place),
            // Of the paths of one file, the first by name is shown, whichever profile comes first.
            Some(known) if place < *known => *known = place,
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
            (GroupBy::Function, _) => Place { function, module: module(), ..Place::default() },
            _ => Place {
                offset: function.is_none().then_some(location.offset),
                function,
                file: source.map(|source| Arc::clone(&source.file)),
                line: source.map_or(0, |source: &SourceLine| source.line),
                module: module(),
            },
        }
    }

    /// The directory of a source file is no part of a line's key: it changes with the place of the build.
    fn key_of(&mut self, place: &Place) -> FrameKey {
        let module = place.module.as_deref().map(|path| self.modules.key(path).into_owned());
        let file = place.file.as_deref().map(|path| match self.by {
            GroupBy::File => self.files.key(path).into_owned(),
            _ => file_name(path).to_owned(),
        });
        FrameKey {
            function: self.name(place.function.as_deref()),
            file: self.name(file.as_deref()),
            line: place.line,
            module: self.name(module.as_deref()),
            offset: place.offset.unwrap_or(u64::MAX),
        }
    }

    fn name(&mut self, name: Option<&str>) -> u32 {
        let Some(name) = name else { return NONE };
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).expect("fewer than 2^32 names");
        self.names.insert(name.into(), number);
        number
    }
}
