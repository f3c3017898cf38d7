//! Turns addresses of one process into places in files, and keeps those files open so that they can be read after
//! the process has exited.
//!
//! A mapping that goes away stays known until another one takes its place: a call stack recorded before a `dlclose`
//! is resolved when it is read after it.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs::File,
    os::unix::ffi::OsStrExt,
    sync::Arc,
};

use super::{
    MapEvent, MappedFile, MappingEvent, TargetError, TargetProcess,
    elf::ElfFile,
    mapped_file::{FileRef, is_deleted, open_mapped},
    maps_line::{MapsLine, without_deleted_mark},
    proc_dir::ProcDir,
    regions::{Region, Regions},
    vdso::vdso_file,
};
use crate::profile::{Location, Module, ModuleId, Modules};

/// Ranges that are no longer mapped are forgotten at a refresh once this many are known.
const MAX_REGIONS: usize = 1 << 18;

/// The executable mappings of one process.
#[derive(Debug)]
pub struct AddressSpace {
    pid: u32,
    directory: ProcDir,
    regions: Regions,
    modules: Modules,
    files: Vec<MappedFile>,
    by_inode: HashMap<(u64, u64), ModuleId>,
    by_name: HashMap<Box<OsStr>, ModuleId>,
}

impl AddressSpace {
    /// An empty one, to be filled by [`Self::refresh`] or [`Self::apply`].
    ///
    /// # Errors
    /// When the process has just exited.
    pub fn new(process: &TargetProcess) -> Result<Self, TargetError> {
        let pid = process.pid();
        let directory = process.directory().try_clone().map_err(|error| TargetError::from_io(pid, "", error))?;
        Ok(Self::of_directory(pid, directory))
    }

    /// The same for a command that is prepared and not yet released, where [`TargetProcess::open`] would see
    /// memtrace's own executable.
    ///
    /// # Errors
    /// When the process has just exited.
    pub fn of_pid(pid: u32) -> Result<Self, TargetError> {
        let directory = ProcDir::open(pid).map_err(|error| TargetError::from_io(pid, "", error))?;
        Ok(Self::of_directory(pid, directory))
    }

    fn of_directory(pid: u32, directory: ProcDir) -> Self {
        let (regions, modules, files) = Default::default();
        Self { pid, directory, regions, modules, files, by_inode: HashMap::new(), by_name: HashMap::new() }
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
            MappingEvent::Exec { pid } if *pid == self.pid => self.regions.clear(),
            _ => {}
        }
    }

    /// The place in a file of a return address. `None` when nothing is known to be mapped there: then
    /// [`Self::refresh`] may help. Code without a file is at [`ModuleId::UNKNOWN`], its offset being the address.
    ///
    /// The address itself is kept, though the call lies before it and a call that is the last instruction of a mapping
    /// returns to the first address after it; who looks up names subtracts one.
    #[must_use]
    pub fn locate(&self, return_address: u64) -> Option<Location> {
        let region = self.regions.containing(return_address.checked_sub(1)?)?;
        let offset = if region.module == ModuleId::UNKNOWN {
            return_address
        } else {
            region.file_offset.wrapping_add(return_address - region.start)
        };
        Some(Location { module: region.module, offset })
    }

    /// The executable mappings, by address.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter()
    }

    /// Names of all files met so far.
    #[must_use]
    pub const fn modules(&self) -> &Modules {
        &self.modules
    }

    /// All files met so far, also those no longer mapped.
    #[must_use]
    pub fn files(&self) -> &[MappedFile] {
        &self.files
    }

    /// The file of a module, for symbols; `None` when it has none or it could not be opened.
    #[must_use]
    pub fn file(&self, module: ModuleId) -> Option<&Arc<File>> {
        // Files are added together with their module, and module 0 is the unknown one.
        let index = (module.0 as usize).checked_sub(1)?;
        self.files.get(index)?.file.as_ref()
    }

    fn add(&mut self, line: &MapsLine) {
        let module = self.module_of(line);
        self.regions.insert(Region { start: line.start, end: line.end, file_offset: line.offset, module });
    }

    fn module_of(&mut self, line: &MapsLine) -> ModuleId {
        if line.inode != 0 && line.name.as_bytes().starts_with(b"/") {
            let key = (line.device, line.inode);
            if let Some(known) = self.by_inode.get(&key) {
                return *known;
            }
            let wanted = FileRef { name: &line.name, device: line.device, inode: line.inode };
            let file = open_mapped(&self.directory, (line.start, line.end), wanted).map(Arc::new);
            let deleted = is_deleted(&self.directory, wanted);
            let module = self.add_file(line, file, deleted);
            self.by_inode.insert(key, module);
            return module;
        }
        // [vdso], [vsyscall], [uprobes]; not [heap], [stack] and [anon:NAME], where a JIT compiler may have put code.
        if !matches!(line.name.as_bytes(), b"[vdso]" | b"[vsyscall]" | b"[uprobes]") {
            return ModuleId::UNKNOWN;
        }
        if let Some(known) = self.by_name.get(line.name.as_os_str()) {
            return *known;
        }
        let file = if line.name == "[vdso]" { vdso_file() } else { None };
        let module = self.add_file(line, file, false);
        self.by_name.insert(line.name.clone().into_boxed_os_str(), module);
        module
    }

    fn add_file(&mut self, line: &MapsLine, file: Option<Arc<File>>, deleted: bool) -> ModuleId {
        let name = if deleted { without_deleted_mark(&line.name).0 } else { &line.name };
        let path: Arc<str> = name.to_string_lossy().into();
        let build_id = file.as_deref().and_then(build_id);
        let module = self.modules.push(Module { path: Arc::clone(&path), build_id });
        self.files.push(MappedFile { module, path, file, device: line.device, inode: line.inode, deleted });
        module
    }
}

/// The build id of a file, by which it is found again when its path leads elsewhere.
fn build_id(file: &File) -> Option<Arc<[u8]>> {
    let elf = ElfFile::new(file.try_clone().ok()?, "").ok()?;
    elf.build_id().ok().flatten().map(Into::into)
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
