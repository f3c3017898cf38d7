//! Code locations that outlive a process, and the names found for them.

use std::{fmt::Write as _, sync::Arc};

use crate::number_hash::NumberMap;

/// Index of a mapped file in [`Modules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleId(pub u32);

impl ModuleId {
    /// Code that belongs to no known file; the location's offset is then the address itself.
    pub const UNKNOWN: Self = Self(0);
}

/// A place in a mapped file: survives the exit of the process and address space randomisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// The file.
    pub module: ModuleId,
    /// Offset in the file, in bytes. Of a return address, so the call is the instruction before it.
    pub offset: u64,
}

/// A mapped file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Module {
    /// Its path as the process sees it, or a pseudo name, as `[vdso]`.
    pub path: Arc<str>,
    /// The linker's build id, when it has been read and there is one.
    pub build_id: Option<Arc<[u8]>>,
}

/// A build id as it is written: two hexadecimal digits a byte.
#[must_use]
pub fn build_id_text(build_id: &[u8]) -> String {
    build_id.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The mapped files, by [`ModuleId`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules(Vec<Module>);

impl Default for Modules {
    fn default() -> Self {
        Self(vec![Module { path: "[unknown]".into(), build_id: None }])
    }
}

impl Modules {
    /// Adds a file by its path (or pseudo name, as `[vdso]`) and returns its id.
    ///
    /// # Panics
    /// With more than 2^32 files.
    pub fn add(&mut self, path: &str) -> ModuleId {
        self.push(Module { path: path.into(), build_id: None })
    }

    /// Adds a file and returns its id.
    ///
    /// # Panics
    /// With more than 2^32 files.
    pub fn push(&mut self, module: Module) -> ModuleId {
        self.0.push(module);
        ModuleId(u32::try_from(self.0.len() - 1).expect("fewer than 2^32 mapped files"))
    }

    /// The path, as the process sees it.
    #[must_use]
    pub fn path(&self, id: ModuleId) -> &Arc<str> {
        &self.module(id).path
    }

    /// The file; that of [`ModuleId::UNKNOWN`] for an id that was never given.
    #[must_use]
    pub fn module(&self, id: ModuleId) -> &Module {
        self.0.get(id.0 as usize).unwrap_or(&self.0[0])
    }

    /// Tells a file's build id.
    pub fn set_build_id(&mut self, id: ModuleId, build_id: Option<Arc<[u8]>>) {
        if let Some(module) = self.0.get_mut(id.0 as usize) {
            module.build_id = build_id;
        }
    }

    /// Every file with its id, [`ModuleId::UNKNOWN`] first.
    pub fn iter(&self) -> impl Iterator<Item = (ModuleId, &Module)> {
        (0..).map(ModuleId).zip(&self.0)
    }
}

/// A line of source.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceLine {
    /// Path as the compiler recorded it.
    pub file: Arc<str>,
    /// Counted from 1; 0 when only the file is known.
    pub line: u32,
}

/// One function of a call stack, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Demangled name; `None` when the file has no symbol here.
    pub function: Option<Arc<str>>,
    /// Where in the source, when debug information tells.
    pub source: Option<SourceLine>,
    /// The function was inlined into the next frame outwards.
    pub inlined: bool,
}

/// Frames of each known location. Inlined functions come first, the physical function last.
#[derive(Debug, Clone, Default)]
pub struct SymbolTable {
    frames: NumberMap<Location, Arc<[Frame]>>,
}

impl SymbolTable {
    /// Stores the frames of a location, innermost first.
    pub fn insert(&mut self, location: Location, frames: Arc<[Frame]>) {
        self.frames.insert(location, frames);
    }

    /// The frames of a location; empty when it has not been looked up or has no symbol.
    #[must_use]
    pub fn frames(&self, location: Location) -> &[Frame] {
        self.frames.get(&location).map_or(&[], |frames| frames)
    }

    /// Every location that has been looked up, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Location, &Arc<[Frame]>)> {
        self.frames.iter().map(|(location, frames)| (*location, frames))
    }

    /// How many locations have been looked up.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether the location has been looked up.
    #[must_use]
    pub fn knows(&self, location: Location) -> bool {
        self.frames.contains_key(&location)
    }
}
