//! From raw stacks to places in files, once for each stack.

mod resolve;
mod resolved;

use std::{
    collections::HashSet,
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};

use self::resolved::Resolved;
use super::{
    python::{Python, Shared as PythonShared},
    safety,
    unwinding::{WantedTable, file_id},
};
use crate::{
    allocators::UserFunctions,
    number_hash::NumberMap,
    process::{AddressSpace, MappedFile, MappedFiles, MappingEvent, Region, elf::ElfFile},
    profile::{Frame, Location, ModuleId, Modules},
    tracer::{CodeMapping, FileId, ProbePlan, ProbedFile, Returns, Search},
};

/// Most time between two readings while the process lives.
const LONGEST_INTERVAL: Duration = Duration::from_secs(5);

/// An allocator that is to be probed.
#[derive(Debug)]
pub struct FoundAllocator {
    /// For people: `glibc (/usr/lib/libc.so.6)`.
    pub name: String,
    /// Its probes.
    pub probes: ProbedFile,
    /// Functions that the user has named and the file lacks.
    pub missing: Vec<String>,
    /// A library that is an allocator and nothing else: what it maps is for its blocks.
    pub is_allocator_library: bool,
}

impl FoundAllocator {
    /// Sentences about what of it is not traced.
    pub fn remarks(&self, returns: Returns) -> impl Iterator<Item = String> + use<> {
        let missing = self.missing.clone();
        let file = self.probes.name.clone();
        let missing = missing.into_iter().map(move |text| format!("{text}: {file} has no such function"));
        missing.chain(safety::skipped(&self.probes, returns))
    }
}

/// What is looked for in files: allocators in any case, and what the user has named.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Functions that the user has named.
    pub user: Arc<UserFunctions>,
    /// The program's own file.
    pub executable: Option<FileId>,
}

impl Wanted {
    /// For a process whose program is known by now.
    #[must_use]
    pub fn of_pid(user: Arc<UserFunctions>, pid: u32) -> Self {
        let executable = File::open(format!("/proc/{pid}/exe")).ok().and_then(|file| file_id(&file));
        Self { user, executable }
    }

    /// The same for the programs that it starts.
    #[must_use]
    pub fn in_children(&self) -> Self {
        Self { user: Arc::clone(&self.user), executable: None }
    }

    /// Looks at a file.
    pub fn find_in(&self, file: &Arc<File>, path: &str) -> Option<FoundAllocator> {
        let is_executable = self.executable.is_some() && self.executable == file_id(file);
        match ProbePlan::of(file, path, Search { user: &self.user, is_executable }) {
            Ok(plan) => plan.map(|plan| FoundAllocator {
                name: plan.name(path),
                probes: plan.probed_file(Arc::clone(file), path),
                is_allocator_library: plan.allocator.is_some_and(|allocator| !allocator.is_c_library) && !is_executable,
                missing: plan.missing,
            }),
            Err(error) => {
                log::info!("not looked at for an allocator: {error}");
                None
            }
        }
    }
}

/// The address space with what has been found in it.
#[derive(Debug)]
pub struct Locator {
    space: AddressSpace,
    wanted: Wanted,
    /// Stacks by their id, as they were resolved when first seen: later mappings do not change them.
    stacks: NumberMap<u32, Resolved>,
    /// Those with an address that was not known to be mapped, and when they were seen first: see `resolve`.
    unsettled: NumberMap<u32, Instant>,
    /// Libraries that are allocators and nothing else.
    allocator_libraries: HashSet<FileId>,
    python: Box<Python>,
    refreshed: Option<Instant>,
    /// The mappings may differ from what the stack walker has been told.
    changed: bool,
    /// Files may be mapped that have not been looked at.
    unexamined: bool,
    /// The same, for Python.
    has_new_files: bool,
}

impl Locator {
    /// Over an address space that is kept up to date through it.
    #[must_use]
    pub fn new(space: AddressSpace, wanted: Wanted) -> Self {
        let (stacks, unsettled, allocator_libraries, python) = Default::default();
        Self {
            space,
            wanted,
            stacks,
            unsettled,
            allocator_libraries,
            python,
            refreshed: None,
            changed: true,
            unexamined: true,
            has_new_files: true,
        }
    }

    /// The same in a session where this is known of Python.
    #[must_use]
    pub(super) fn with_python(self, shared: PythonShared) -> Self {
        Self { python: Box::new(Python::new(shared)), ..self }
    }

    /// Over the address space of a child that the process has just forked.
    #[must_use]
    pub fn fork(&self, pid: u32) -> Self {
        let (allocator_libraries, python) = (self.allocator_libraries.clone(), self.python.clone());
        Self { allocator_libraries, python, ..Self::new(self.space.fork(pid), self.wanted.in_children()) }
    }

    /// The name of a function that was compiled at run time.
    #[must_use]
    pub fn jit_name(&self, location: Location) -> Option<&Arc<str>> {
        self.space.jit_name(location)
    }

    /// The frame of a location that no file is behind: a function that was compiled at run time, or a line of Python.
    #[must_use]
    pub fn own_frame(&self, location: Location) -> Option<Frame> {
        let jit = || {
            let function = self.space.jit_name(location).cloned()?;
            Some(Frame { function: Some(function), source: None, inlined: false })
        };
        self.python.frame(location).or_else(jit)
    }

    /// The address space.
    pub(super) const fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// What is known of its Python interpreter.
    pub(super) const fn python(&self) -> &Python {
        &self.python
    }

    /// Whether files may be mapped that have not been looked at for Python since the last call.
    pub(super) const fn take_new_files(&mut self) -> bool {
        std::mem::replace(&mut self.has_new_files, false)
    }

    /// The address space, and what is known of its Python interpreter.
    pub(super) const fn space_and_python(&mut self) -> (&mut AddressSpace, &mut Python) {
        (&mut self.space, &mut self.python)
    }

    /// Whether any function is known that was compiled at run time.
    #[must_use]
    pub const fn has_jit(&self) -> bool {
        self.space.has_jit()
    }

    /// What it looks for.
    #[must_use]
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Reads the mappings of the process.
    pub fn refresh(&mut self) {
        self.refreshed = Some(Instant::now());
        (self.changed, self.unexamined, self.has_new_files) = (true, true, true);
        if let Err(error) = self.space.refresh() {
            log::debug!("mappings: {error}");
        }
    }

    /// Reads the mappings again when that was long ago: nothing tells of files that are mapped no more.
    pub fn refresh_at_times(&mut self) {
        if self.refreshed.is_none_or(|time| time.elapsed() >= LONGEST_INTERVAL) {
            self.refresh();
        }
    }

    /// Takes in a mapping event.
    pub fn apply(&mut self, event: &MappingEvent) {
        self.space.apply(event);
        (self.changed, self.unexamined, self.has_new_files) = (true, true, true);
    }

    /// The process runs another program. With mapping events its mappings are told; of a process that is merely attached to
    /// they are read.
    pub fn follow_exec(&mut self, has_events: bool) {
        self.space.forget_names();
        *self.python = Python::new(self.python.shared().clone());
        if !has_events {
            self.refresh();
        }
        self.changed = true;
    }

    /// Whether mappings may have changed since the last call.
    pub const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.changed, false)
    }

    /// Makes the next [`Self::take_changed`] say yes.
    pub const fn set_changed(&mut self) {
        self.changed = true;
    }

    /// The executable mappings, for the stack walker.
    #[must_use]
    pub fn code_mappings(&self) -> Vec<CodeMapping> {
        let mapping = |region: &Region| {
            let mapped = self.space.file_list().get(region.module);
            CodeMapping {
                start: region.start,
                end: region.end,
                file_offset: region.file_offset,
                file: mapped.as_ref().and_then(|mapped| mapped.id),
                kernel_file: mapped.map_or((0, 0), |mapped| (mapped.device, mapped.inode)),
            }
        };
        self.space.present_regions().map(mapping).collect()
    }

    /// Files whose code is mapped and whose unwind tables are not known.
    #[must_use]
    pub fn unknown_code(&self, is_known: impl Fn(FileId) -> bool) -> Vec<WantedTable> {
        let wanted = self.mapped_files().filter_map(|mapped| {
            let id = mapped.id.filter(|id| !is_known(*id))?;
            Some(WantedTable { file: mapped.file?, id, path: mapped.path.to_string() })
        });
        wanted.collect()
    }

    /// Files whose code is mapped.
    pub fn mapped_files(&self) -> impl Iterator<Item = MappedFile> {
        let mapped: HashSet<ModuleId> = self.space.present_regions().map(|region| region.module).collect();
        mapped.into_iter().filter_map(|module| self.space.file_list().get(module))
    }

    /// Names of the mapped files.
    #[must_use]
    pub fn modules(&self) -> Modules {
        self.space.modules()
    }

    /// The files of all processes of the session.
    #[must_use]
    pub const fn files(&self) -> &MappedFiles {
        self.space.file_list()
    }

    /// The file of a module.
    #[must_use]
    pub fn file(&self, module: ModuleId) -> Option<Arc<File>> {
        self.space.file(module)
    }

    /// Paths of the files looked at for allocators.
    pub fn examined_paths(&self) -> impl Iterator<Item = Arc<str>> {
        self.space.files().into_iter().map(|file| file.path)
    }

    /// Allocators among the mapped files that have not been looked at before.
    pub fn new_allocators(&mut self) -> Vec<FoundAllocator> {
        if !std::mem::take(&mut self.unexamined) {
            return Vec::new();
        }
        let mapped: HashSet<ModuleId> = self.space.regions().map(|region| region.module).collect();
        let files = mapped.into_iter().filter_map(|module| self.space.file_list().get(module));
        let is_fresh = |mapped: &MappedFile| mapped.id.is_some_and(|id| self.space.file_list().examine(id));
        let wanted = &self.wanted;
        let find = |mapped: MappedFile| wanted.find_in(mapped.file.as_ref()?, &mapped.path);
        let found: Vec<FoundAllocator> = files.filter(is_fresh).filter_map(find).collect();
        self.mark_allocators(&found);
        found
    }

    /// Libraries among these are known by what they map from now on.
    pub fn mark_allocators(&mut self, found: &[FoundAllocator]) {
        let libraries = found.iter().filter(|allocator| allocator.is_allocator_library);
        self.allocator_libraries.extend(libraries.filter_map(|library| file_id(&library.probes.file)));
    }

    /// The program's path, if it is static and stripped.
    #[must_use]
    pub fn stripped_program(&self) -> Option<String> {
        let own = |mapped: &MappedFile| {
            let id = mapped.file.as_deref().and_then(file_id);
            id.is_some() && id == self.wanted.executable
        };
        let program = self.space.files().into_iter().find(own)?;
        let file = program.file.as_ref()?.try_clone().ok()?;
        let elf = ElfFile::new(file, &*program.path).ok()?;
        elf.is_static_and_stripped().then(|| program.path.to_string())
    }

    /// The process runs the program of `pid` now.
    pub fn set_program(&mut self, pid: u32) {
        self.wanted = Wanted::of_pid(Arc::clone(&self.wanted.user), pid);
    }

    /// Files that have been looked at elsewhere need not be looked at here.
    pub fn mark_examined(&self, files: impl Iterator<Item = FileId>) {
        for file in files {
            let _known = self.space.file_list().examine(file);
        }
    }
}
