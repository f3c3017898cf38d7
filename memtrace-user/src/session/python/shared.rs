//! What the processes of a session have in common: code objects, whose numbers no two of them share, and what their files
//! are, each of which is looked at once.

use std::{
    collections::HashMap,
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    process::{AddressSpace, MappedFiles},
    profile::{ModuleId, PYTHON_MODULE},
    python::{Codes, PythonFile, ThreadValues},
};

/// Clones are the same.
#[derive(Debug, Clone, Default)]
pub(in crate::session) struct Shared(Arc<Mutex<List>>);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct List {
    /// Code objects, and the lines that were met.
    pub(super) codes: Codes,
    /// The lines' module, once there are any.
    pub(super) module: Option<ModuleId>,
    files: HashMap<ModuleId, Kind>,
}

/// What a file is to Python.
#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing.
    Other,
    /// It keeps threads' values.
    CLibrary(ThreadValues),
    /// It runs Python.
    Interpreter(Arc<PythonFile>),
    /// So it does, in a way that is not understood: the reason.
    NotUnderstood(String),
}

impl Shared {
    /// The list, for a moment.
    pub(super) fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// What a mapped file is.
    pub(super) fn kind(&mut self, module: ModuleId, files: &MappedFiles) -> &Kind {
        self.files.entry(module).or_insert_with(|| {
            let mapped = files.get(module);
            let opened = mapped.as_ref().and_then(|mapped| mapped.file.as_ref());
            opened.zip(mapped.as_ref()).map_or(Kind::Other, |(file, mapped)| Kind::of(file, &mapped.path))
        })
    }

    /// The lines' module.
    pub(super) fn module(&mut self, space: &AddressSpace) -> ModuleId {
        *self.module.get_or_insert_with(|| space.add_pseudo_file(PYTHON_MODULE))
    }
}

impl Kind {
    fn of(file: &File, path: &str) -> Self {
        if may_be_c_library(path) {
            return ThreadValues::of(file, path).map_or(Self::Other, Self::CLibrary);
        }
        if !may_be_python(path) {
            return Self::Other;
        }
        match PythonFile::of(file, path) {
            Ok(Some(file)) => Self::Interpreter(Arc::new(file)),
            Ok(None) => Self::Other,
            Err(error) => Self::NotUnderstood(error.to_string()),
        }
    }
}

/// By the names that libraries have: looking through all symbols of every file would take long.
fn may_be_c_library(path: &str) -> bool {
    let beginnings = ["libc.so", "libc-2.", "ld-musl-"];
    path.rsplit('/').next().is_some_and(|name| beginnings.iter().any(|beginning| name.starts_with(beginning)))
}

/// The same; programs that have an interpreter in them (uwsgi, blender) may have any name, but no `.so` in it.
pub(super) fn may_be_python(path: &str) -> bool {
    path.starts_with('/')
        && path.rsplit('/').next().is_some_and(|name| name.contains("python") || !name.contains(".so"))
}
