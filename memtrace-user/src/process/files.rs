//! The mapped files of all processes of a session: each has one id and is open once, in however many processes it is
//! mapped.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::File,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    MappedFile,
    elf::ElfFile,
    mapped_file::{FileRef, is_deleted, open_mapped},
    maps_line::{MapsLine, without_deleted_mark},
    proc_dir::ProcDir,
    vdso::vdso_file,
};
use crate::profile::{Module, ModuleId, Modules};

/// Files met so far. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct MappedFiles(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    modules: Modules,
    files: Vec<MappedFile>,
    by_inode: HashMap<(u64, u64), ModuleId>,
    by_name: HashMap<Box<OsStr>, ModuleId>,
    examined: HashSet<(u64, u64)>,
}

impl MappedFiles {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list().files.len()
    }

    /// Names of all files met so far.
    #[must_use]
    pub fn modules(&self) -> Modules {
        self.list().modules.clone()
    }

    /// All files met so far, also those no longer mapped.
    #[must_use]
    pub fn all(&self) -> Vec<MappedFile> {
        self.list().files.clone()
    }

    /// One of them; `None` for code that has none.
    #[must_use]
    pub fn get(&self, module: ModuleId) -> Option<MappedFile> {
        // Files are added together with their module, and module 0 is the unknown one.
        self.list().files.get((module.0 as usize).checked_sub(1)?).cloned()
    }

    /// Whether a file, by the device and inode that stat(2) states, is asked about for the first time.
    #[must_use]
    pub fn examine(&self, file: (u64, u64)) -> bool {
        self.list().examined.insert(file)
    }

    /// The module of a mapping; [`ModuleId::UNKNOWN`] for memory without a file.
    pub(super) fn module_of(&self, line: &MapsLine, directory: &ProcDir) -> ModuleId {
        let mut list = self.list();
        if line.inode != 0 && line.name.as_bytes().starts_with(b"/") {
            let key = (line.device, line.inode);
            if let Some(known) = list.by_inode.get(&key) {
                return *known;
            }
            let wanted = FileRef { name: &line.name, device: line.device, inode: line.inode };
            let file = open_mapped(directory, (line.start, line.end), wanted).map(Arc::new);
            let deleted = is_deleted(directory, wanted);
            let module = list.add(line, file, deleted);
            list.by_inode.insert(key, module);
            return module;
        }
        // [vdso], [vsyscall], [uprobes]; not [heap], [stack] and [anon:NAME], where a JIT compiler may have put code.
        if !matches!(line.name.as_bytes(), b"[vdso]" | b"[vsyscall]" | b"[uprobes]") {
            return ModuleId::UNKNOWN;
        }
        if let Some(known) = list.by_name.get(line.name.as_os_str()) {
            return *known;
        }
        let file = if line.name == "[vdso]" { vdso_file() } else { None };
        let module = list.add(line, file, false);
        list.by_name.insert(line.name.clone().into_boxed_os_str(), module);
        module
    }

    /// A module that no file is behind, as `[jit]` for what a process has compiled at run time.
    pub(super) fn add_pseudo_file(&self, name: &str) -> ModuleId {
        let mut list = self.list();
        let module = list.modules.add(name);
        let path = Arc::clone(list.modules.path(module));
        list.files.push(MappedFile { module, path, file: None, id: None, device: 0, inode: 0, deleted: false });
        module
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn add(&mut self, line: &MapsLine, file: Option<Arc<File>>, deleted: bool) -> ModuleId {
        let name = if deleted { without_deleted_mark(&line.name).0 } else { &line.name };
        let path: Arc<str> = name.to_string_lossy().into();
        let build_id = file.as_deref().and_then(build_id);
        let module = self.modules.push(Module { path: Arc::clone(&path), build_id });
        let id = file.as_deref().and_then(|file| file.metadata().ok()).map(|metadata| (metadata.dev(), metadata.ino()));
        self.files.push(MappedFile { module, path, file, id, device: line.device, inode: line.inode, deleted });
        module
    }
}

/// The build id of a file, by which it is found again when its path leads elsewhere.
fn build_id(file: &File) -> Option<Arc<[u8]>> {
    let elf = ElfFile::new(file.try_clone().ok()?, "").ok()?;
    elf.build_id().ok().flatten().map(Into::into)
}
