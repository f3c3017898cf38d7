//! Turns addresses of one process into places in files, and keeps those files open so that they can be read after
//! the process has exited.
//!
//! A mapping that goes away stays known until another one takes its place: a call stack recorded before a `dlclose`
//! is resolved when it is read after it.

use std::{collections::HashSet, fs::File, sync::Arc, time::SystemTime};

use super::{
    MapEvent, MappedFile, MappedFiles, MappingEvent, TargetError, TargetProcess,
    maps_line::MapsLine,
    perf_map::PerfMap,
    proc_dir::ProcDir,
    regions::{Region, Regions},
};
use crate::profile::{Location, ModuleId, Modules};

/// Ranges that are no longer mapped are forgotten at a refresh once this many are known.
const MAX_REGIONS: usize = 1 << 18;

/// The executable mappings of one process.
#[derive(Debug)]
pub struct AddressSpace {
    pid: u32,
    directory: ProcDir,
    regions: Regions,
    files: MappedFiles,
    /// Regions that were not there when the mappings were read last, by their first address.
    gone: HashSet<u64>,
    /// When its program was started: names of code that are older are another's.
    since: SystemTime,
    /// Opened when code of no file is met.
    perf_map: Option<PerfMap>,
    /// Module of the code that `perf_map` names, once it names any.
    jit: Option<ModuleId>,
}

impl AddressSpace {
    /// An empty one, to be filled by [`Self::refresh`] or [`Self::apply`].
    ///
    /// # Errors
    /// When the process has just exited.
    pub fn new(process: &TargetProcess) -> Result<Self, TargetError> {
        let pid = process.pid();
        let directory = process.directory().try_clone().map_err(|error| TargetError::from_io(pid, "", error))?;
        Self::of_directory(pid, directory, process.started_at().unwrap_or(SystemTime::UNIX_EPOCH))
    }

    /// The same for a command that is prepared and not yet released, where [`TargetProcess::open`] would see
    /// memtrace's own executable.
    ///
    /// # Errors
    /// When the process has just exited.
    pub fn of_pid(pid: u32) -> Result<Self, TargetError> {
        let directory = ProcDir::open(pid).map_err(|error| TargetError::from_io(pid, "", error))?;
        Self::of_directory(pid, directory, SystemTime::now())
    }

    fn of_directory(pid: u32, directory: ProcDir, started_at: SystemTime) -> Result<Self, TargetError> {
        let own = directory.try_clone().map_err(|error| TargetError::from_io(pid, "", error))?;
        let perf_map = Some(PerfMap::new(own, pid, started_at));
        let (regions, files, gone) = Default::default();
        Ok(Self { pid, directory, regions, files, gone, since: started_at, perf_map, jit: None })
    }

    /// An empty one for another process of the same session, whose files are the same list. The process may be gone.
    #[must_use]
    pub fn of_relative(files: MappedFiles, pid: u32) -> Self {
        let directory = ProcDir::open_or_gone(pid);
        Self {
            pid,
            directory,
            regions: Regions::default(),
            files,
            gone: HashSet::new(),
            since: SystemTime::now(),
            perf_map: None,
            jit: None,
        }
    }

    /// The same with the mappings that this process has now, for a child that it has forked.
    #[must_use]
    pub fn fork(&self, pid: u32) -> Self {
        let (regions, gone) = (self.regions.clone(), self.gone.clone());
        Self { regions, gone, ..Self::of_relative(self.files.clone(), pid) }
    }

    /// Reads `/proc/PID/maps`: the first time, and when an address is met that [`Self::locate`] does not know. It costs
    /// a microsecond a mapping, so the caller limits how often.
    ///
    /// # Errors
    /// When the process has exited or may not be read; what was known stays known.
    pub fn refresh(&mut self) -> Result<(), TargetError> {
        let maps = self.directory.read("maps").map_err(|error| TargetError::from_io(self.pid, "maps", error))?;
        let lines = maps.split(|byte| *byte == b'\n').filter(|line| MapsLine::is_executable(line));
        let mut present = HashSet::new();
        for line in lines.filter_map(MapsLine::parse) {
            present.insert(line.start);
            self.add(&line);
        }
        // Nothing is mapped in a process that has just ended: what was mapped to its end stays.
        if !present.is_empty() {
            self.gone =
                self.regions.iter().map(|region| region.start).filter(|start| !present.contains(start)).collect();
        }
        // Memory without a file resolves to nothing, so there is no use in remembering where it was; JIT compilers
        // map and unmap it all the time.
        let crowded = self.regions.len() > MAX_REGIONS;
        self.regions
            .retain(|region| (region.module != ModuleId::UNKNOWN && !crowded) || present.contains(&region.start));
        Ok(())
    }

    /// Takes in an event of [`super::MappingEvents`]. Events of other processes are ignored.
    pub fn apply(&mut self, event: &MappingEvent) {
        match event {
            MappingEvent::Map(map) if map.pid == self.pid => self.add(&MapsLine::from(map)),
            MappingEvent::Exec { pid } if *pid == self.pid => {
                self.regions.clear();
                self.gone.clear();
            }
            _ => {}
        }
    }

    /// The place in a file of a return address. `None` when nothing is known to be mapped there: then
    /// [`Self::refresh`] may help. Code without a file is at [`ModuleId::UNKNOWN`], its offset being the address.
    ///
    /// The address itself is kept, though the call lies before it and a call that is the last instruction of a mapping
    /// returns to the first address after it; who looks up names subtracts one.
    ///
    /// A function that a compiler at run time has named is at a module of its own, `[jit]`; its offset is a key that no
    /// other function has, see [`Self::jit_name`].
    #[must_use]
    pub fn locate(&self, return_address: u64) -> Option<Location> {
        self.locate_near(return_address, &mut None)
    }

    /// [Locates](Self::locate) the return addresses of a stack, up to the first that is in no mapping.
    #[must_use]
    pub fn locate_stack(&self, return_addresses: &[u64]) -> Vec<Location> {
        let mut near = None;
        return_addresses.iter().map_while(|address| self.locate_near(*address, &mut near)).collect()
    }

    /// Callers are mostly of one file: the region of the one before is tried first.
    fn locate_near<'a>(&'a self, return_address: u64, near: &mut Option<&'a Region>) -> Option<Location> {
        let address = return_address.checked_sub(1)?;
        let region = near.filter(|near| near.holds(address)).or_else(|| self.regions.containing(address));
        *near = region;
        if let Some(region) = region.filter(|region| region.module != ModuleId::UNKNOWN) {
            let offset = region.file_offset.wrapping_add(return_address - region.start);
            return Some(Location { module: region.module, offset });
        }
        let unnamed = region.map(|_| Location { module: ModuleId::UNKNOWN, offset: return_address });
        self.jit_location(address).or(unnamed)
    }

    fn jit_location(&self, address: u64) -> Option<Location> {
        let (offset, _) = self.perf_map.as_ref()?.names().find(address)?;
        Some(Location { module: self.jit?, offset })
    }

    /// The process's memory; `None` when it may not be read, or is no more.
    #[must_use]
    pub fn memory(&self) -> Option<File> {
        self.directory.open_file(std::path::Path::new("mem"), nix::fcntl::OFlag::O_RDONLY).ok()
    }

    /// The process's directory in `/proc`.
    pub(crate) const fn directory(&self) -> &ProcDir {
        &self.directory
    }

    /// Whether the process was started with `NAME=value` in its environment. A process can change that later.
    #[must_use]
    pub fn has_environment(&self, setting: &[u8]) -> bool {
        self.directory.read("environ").is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one == setting))
    }

    /// Adds a module that no file is behind.
    #[must_use]
    pub fn add_pseudo_file(&self, name: &str) -> ModuleId {
        self.files.add_pseudo_file(name)
    }

    /// Reads what a compiler at run time has told of its functions since the last time; returns whether there is more
    /// to know.
    pub fn update_names(&mut self) -> bool {
        if self.perf_map.is_none() {
            self.open_names();
        }
        let has_new = self.perf_map.as_mut().is_some_and(PerfMap::update);
        if has_new && self.jit.is_none() {
            self.jit = Some(self.files.add_pseudo_file("[jit]"));
        }
        has_new
    }

    /// The name of a function that was compiled at run time; `None` for all other locations.
    #[must_use]
    pub fn jit_name(&self, location: Location) -> Option<&Arc<str>> {
        let names = self.perf_map.as_ref().filter(|_| Some(location.module) == self.jit)?;
        names.names().name(location.offset)
    }

    /// Whether any function is known that was compiled at run time.
    #[must_use]
    pub const fn has_jit(&self) -> bool {
        self.jit.is_some()
    }

    /// The process runs another program, whose functions are others.
    pub fn forget_names(&mut self) {
        self.since = SystemTime::now();
        self.open_names();
        self.jit = None;
    }

    fn open_names(&mut self) {
        if let Ok(directory) = self.directory.try_clone() {
            self.perf_map = Some(PerfMap::new(directory, self.pid, self.since));
        }
    }

    /// The executable mappings that are still there as far as is known, by address.
    pub fn present_regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().filter(|region| !self.gone.contains(&region.start))
    }

    /// The executable mappings, by address.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter()
    }

    /// Names of all files met so far.
    #[must_use]
    pub fn modules(&self) -> Modules {
        self.files.modules()
    }

    /// All files met so far, also those no longer mapped and those of other processes of the session.
    #[must_use]
    pub fn files(&self) -> Vec<MappedFile> {
        self.files.all()
    }

    /// The list of the files.
    #[must_use]
    pub const fn file_list(&self) -> &MappedFiles {
        &self.files
    }

    /// The file of a module, for symbols; `None` when it has none or it could not be opened.
    #[must_use]
    pub fn file(&self, module: ModuleId) -> Option<Arc<File>> {
        self.files.get(module)?.file
    }

    fn add(&mut self, line: &MapsLine) {
        self.gone.remove(&line.start);
        let module = self.files.module_of(line, &self.directory);
        self.regions.insert(Region { start: line.start, end: line.end, file_offset: line.offset, module });
    }
}

impl From<&MapEvent> for MapsLine {
    fn from(event: &MapEvent) -> Self {
        Self {
            start: event.address,
            end: event.address.saturating_add(event.length),
            offset: event.file_offset,
            device: event.device,
            inode: event.inode,
            name: event.name.clone(),
        }
    }
}

#[cfg(test)]
#[path = "mappings_tests.rs"]
mod tests;
