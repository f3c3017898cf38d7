//! From raw stacks to places in files, once for each stack.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    safety,
    threads::Threads,
    unwinding::{WantedTable, file_id},
};
use crate::{
    allocators::UserFunctions,
    process::{AddressSpace, MappedFile, MappingEvent, Region, elf::ElfFile},
    profile::{CallStack, Location, ModuleId, Modules, ProcessIndex, RawProfile, RawStack, StackEnd, StackSample},
    tracer::{CodeMapping, FileId, ProbePlan, ProbedFile, Returns, Search},
};

/// Least time between two readings of `/proc/PID/maps` for addresses that are not known.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

/// An allocator that is to be probed.
#[derive(Debug)]
pub struct FoundAllocator {
    /// For people: `glibc (/usr/lib/libc.so.6)`.
    pub name: String,
    /// Its probes.
    pub probes: ProbedFile,
    /// Functions that the user has named and the file lacks.
    pub missing: Vec<String>,
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

    /// Looks at a file.
    pub fn find_in(&self, file: &Arc<File>, path: &str) -> Option<FoundAllocator> {
        let is_executable = self.executable.is_some() && self.executable == file_id(file);
        match ProbePlan::of(file, path, Search { user: &self.user, is_executable }) {
            Ok(plan) => plan.map(|plan| FoundAllocator {
                name: plan.name(path),
                probes: plan.probed_file(Arc::clone(file), path),
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
    stacks: HashMap<u32, Resolved>,
    /// Files that have been looked at for allocators.
    examined: HashSet<FileId>,
    refreshed: Option<Instant>,
    /// The mappings may differ from what the stack walker has been told.
    changed: bool,
}

impl Locator {
    /// Over an address space that is kept up to date through it.
    #[must_use]
    pub fn new(space: AddressSpace, wanted: Wanted) -> Self {
        Self { space, wanted, stacks: HashMap::new(), examined: HashSet::new(), refreshed: None, changed: true }
    }

    /// The samples of a raw profile.
    pub fn samples(&mut self, raw: &RawProfile, threads: &mut Threads) -> Vec<StackSample> {
        self.learn_mappings(&raw.stacks);
        raw.stacks
            .iter()
            .map(|stack| {
                let space = &self.space;
                let resolved = self.stacks.entry(stack.id).or_insert_with(|| Resolved::of(space, stack));
                // Followed by user space in the meantime.
                if !Arc::ptr_eq(&resolved.addresses, &stack.addresses) {
                    *resolved = Resolved::of(space, stack);
                }
                let frames = Arc::clone(&resolved.frames);
                StackSample {
                    stack: frames,
                    end: resolved.end,
                    domain: stack.domain,
                    process: ProcessIndex(0),
                    thread: stack.thread.as_ref().map(|thread| threads.index(thread)),
                    stats: stack.stats,
                }
            })
            .collect()
    }

    /// Reads the mappings again when a new stack has an address that is not known.
    fn learn_mappings(&mut self, stacks: &[RawStack]) {
        let fresh = stacks.iter().filter(|stack| !self.stacks.contains_key(&stack.id));
        let mut addresses = fresh.flat_map(|stack| stack.addresses.iter());
        let unknown = addresses.any(|address| self.space.locate(*address).is_none());
        let recent = self.refreshed.is_some_and(|time| time.elapsed() < REFRESH_INTERVAL);
        if unknown && !recent {
            self.refresh();
        }
    }

    /// Reads the mappings of the process.
    pub fn refresh(&mut self) {
        self.refreshed = Some(Instant::now());
        self.changed = true;
        if let Err(error) = self.space.refresh() {
            log::debug!("mappings: {error}");
        }
    }

    /// Takes in a mapping event.
    pub fn apply(&mut self, event: &MappingEvent) {
        self.space.apply(event);
        self.changed = true;
    }

    /// The process runs another program. With mapping events its mappings are told; otherwise they are read.
    pub fn follow_exec(&mut self, has_events: bool) {
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
        let mut ids = HashMap::new();
        let mut id =
            |module| *ids.entry(module).or_insert_with(|| self.space.file(module).and_then(|file| file_id(file)));
        let mapping = |region: &Region| CodeMapping {
            start: region.start,
            end: region.end,
            file_offset: region.file_offset,
            file: id(region.module),
        };
        self.space.regions().map(mapping).collect()
    }

    /// Mapped files, for unwind tables.
    pub fn mapped_code(&self) -> impl Iterator<Item = WantedTable> {
        self.space.files().iter().filter_map(|mapped| {
            Some(WantedTable { file: Arc::clone(mapped.file.as_ref()?), path: mapped.path.to_string() })
        })
    }

    /// Names of the mapped files.
    #[must_use]
    pub const fn modules(&self) -> &Modules {
        self.space.modules()
    }

    /// The file of a module.
    #[must_use]
    pub fn file(&self, module: ModuleId) -> Option<Arc<File>> {
        self.space.file(module).cloned()
    }

    /// Paths of the files looked at for allocators.
    pub fn examined_paths(&self) -> impl Iterator<Item = &str> {
        self.space.files().iter().map(|file| &*file.path)
    }

    /// Allocators among the mapped files that have not been looked at before.
    pub fn new_allocators(&mut self) -> Vec<FoundAllocator> {
        let files = self.space.files().iter();
        let is_fresh = |mapped: &&MappedFile| {
            let id = mapped.file.as_deref().and_then(file_id);
            id.is_some_and(|id| self.examined.insert(id))
        };
        let wanted = &self.wanted;
        files.filter(is_fresh).filter_map(|mapped| wanted.find_in(mapped.file.as_ref()?, &mapped.path)).collect()
    }

    /// The program's path, if it is static and stripped.
    #[must_use]
    pub fn stripped_program(&self) -> Option<String> {
        let own = |mapped: &&MappedFile| {
            let id = mapped.file.as_deref().and_then(file_id);
            id.is_some() && id == self.wanted.executable
        };
        let program = self.space.files().iter().find(own)?;
        let file = program.file.as_ref()?.try_clone().ok()?;
        let elf = ElfFile::new(file, &*program.path).ok()?;
        elf.is_static_and_stripped().then(|| program.path.to_string())
    }

    /// The process runs the program of `pid` now.
    pub fn set_program(&mut self, pid: u32) {
        self.wanted = Wanted::of_pid(Arc::clone(&self.wanted.user), pid);
    }

    /// Files that have been looked at elsewhere need not be looked at here.
    pub fn mark_examined(&mut self, files: impl Iterator<Item = FileId>) {
        self.examined.extend(files);
    }
}

/// A stack and what it was resolved to.
#[derive(Debug)]
struct Resolved {
    addresses: Arc<[u64]>,
    frames: CallStack,
    end: StackEnd,
}

impl Resolved {
    fn of(space: &AddressSpace, stack: &RawStack) -> Self {
        let (frames, end) = resolve(space, stack);
        Self { addresses: Arc::clone(&stack.addresses), frames, end }
    }
}

/// Where a stack leads to memory that holds no code, the frame pointer was no frame pointer: what follows is no stack.
fn resolve(space: &AddressSpace, stack: &RawStack) -> (CallStack, StackEnd) {
    let locate = |address: &u64| space.locate(*address);
    let located: Vec<Location> = stack.addresses.iter().map_while(locate).collect();
    if located.len() == stack.addresses.len() {
        return (located.into(), stack.end);
    }
    if located.is_empty() {
        // The caller itself is real in any case: it is the return address of a call that was seen.
        let caller = stack.addresses.iter().take(1);
        let unknown = caller.map(|address| Location { module: ModuleId::UNKNOWN, offset: *address });
        return (unknown.collect(), StackEnd::Incomplete);
    }
    (located.into(), StackEnd::Incomplete)
}
