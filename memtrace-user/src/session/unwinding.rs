//! Keeps the stack walker's tables in step with what the process has mapped.
//!
//! Tables are built on threads beside the event loop; a mapping whose table is not there yet is published without, and
//! stacks that meet it end there, marked incomplete.

use std::{
    collections::HashSet,
    fs::File,
    os::unix::fs::MetadataExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use super::locate::Locator;
use crate::{
    process::elf::ElfFile,
    tracer::{FileId, FileTable, Tracer, UnwindStore},
    unwind::UnwindTable,
};

/// A file whose table is wanted.
#[derive(Debug, Clone)]
pub struct WantedTable {
    /// The file.
    pub file: Arc<File>,
    /// For messages.
    pub path: String,
}

/// What names a file in the store.
#[must_use]
pub fn file_id(file: &File) -> Option<FileId> {
    file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Builds tables on all CPUs. Files without unwind information, and those that make no sense, have none.
#[must_use]
pub fn build(wanted: &[WantedTable]) -> Vec<FileTable> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut built = Vec::new();
        while let Some(file) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            built.extend(build_one(file));
        }
        built
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(wanted.len());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    })
}

/// Builds and stores the tables that are not known yet.
pub fn add(store: &mut UnwindStore, files: &[WantedTable]) {
    let start = Instant::now();
    let unknown = unknown(store, files.iter().cloned());
    if let Err(error) = store.add(build(&unknown)) {
        log::warn!("unwind tables: {error}");
    }
    log::debug!("unwind tables of {} files took {:?}", unknown.len(), start.elapsed());
}

/// Of some files, those whose table is not known.
#[must_use]
pub fn unknown(store: &UnwindStore, files: impl Iterator<Item = WantedTable>) -> Vec<WantedTable> {
    files.filter(|wanted| file_id(&wanted.file).is_some_and(|file| !store.knows(file))).collect()
}

/// Each file once.
#[must_use]
pub fn once(files: Vec<WantedTable>) -> Vec<WantedTable> {
    let mut met = HashSet::new();
    files.into_iter().filter(|wanted| file_id(&wanted.file).is_some_and(|file| met.insert(file))).collect()
}

/// Before a process is traced: builds all its tables and tells the walker its mappings.
pub fn prepare(tracer: &mut Tracer, locator: &mut Locator, slot: u32) {
    let Some(store) = tracer.unwind_store() else { return };
    add(store, &locator.mapped_code());
    store.publish(slot, locator.code_mappings());
    locator.take_changed();
}

fn build_one(wanted: &WantedTable) -> Option<FileTable> {
    let file = file_id(&wanted.file)?;
    let elf = wanted.file.try_clone().ok().and_then(|own| ElfFile::new(own, &wanted.path).ok());
    let segments = elf.map(|elf| elf.segments().collect()).unwrap_or_default();
    let table = UnwindTable::of(&wanted.file, &wanted.path).unwrap_or_else(|error| {
        log::info!("stacks are not followed by tables: {error}");
        None
    });
    Some(FileTable { file, segments, table })
}
