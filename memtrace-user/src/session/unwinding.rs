//! Keeps the stack walker's tables in step with what processes have mapped.
//!
//! Tables are made on threads beside the event loop, each file's by itself, so that a small file need not wait for a large
//! one; a mapping whose table is not there yet is published without, and stacks that meet it are copied and followed later.

use std::{
    collections::{HashSet, VecDeque},
    fs::File,
    future::pending,
    os::unix::fs::MetadataExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use tokio::task::JoinSet;

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
    /// What names it in the store.
    pub id: FileId,
    /// For messages.
    pub path: String,
}

impl WantedTable {
    /// Of an open file.
    #[must_use]
    pub fn of(file: Arc<File>, path: String) -> Option<Self> {
        Some(Self { id: file_id(&file)?, file, path })
    }
}

/// Tables in the making.
#[derive(Debug, Default)]
pub(super) struct InTheMaking {
    waiting: VecDeque<WantedTable>,
    made: JoinSet<FileTable>,
    /// Files that have been asked for, and whose table has not been given.
    asked: HashSet<FileId>,
}

impl InTheMaking {
    /// Has tables made, each once.
    pub(super) fn ask(&mut self, files: impl IntoIterator<Item = WantedTable>) {
        for wanted in files {
            if self.asked.insert(wanted.id) {
                self.waiting.push_back(wanted);
            }
        }
        self.start();
    }

    /// Whether nothing is to come.
    pub(super) fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// All tables that are made, once there is one; never without any to come. May be dropped at any await.
    pub(super) async fn next(&mut self) -> Vec<FileTable> {
        let Some(first) = self.made.join_next().await else { return pending().await };
        let more = std::iter::from_fn(|| self.made.try_join_next());
        let tables: Vec<FileTable> = std::iter::once(first).chain(more).filter_map(Result::ok).collect();
        for table in &tables {
            self.asked.remove(&table.file);
        }
        self.start();
        tables
    }

    fn start(&mut self) {
        let most = thread::available_parallelism().map_or(1, usize::from);
        while self.made.len() < most
            && let Some(wanted) = self.waiting.pop_front()
        {
            self.made.spawn_blocking(move || build_one(&wanted));
        }
    }
}

/// What names a file in the store.
#[must_use]
pub fn file_id(file: &File) -> Option<FileId> {
    file.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Builds tables on all CPUs.
fn build(wanted: &[WantedTable]) -> Vec<FileTable> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut built = Vec::new();
        while let Some(file) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            built.push(build_one(file));
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
pub fn add(store: &mut UnwindStore, files: Vec<WantedTable>) {
    let start = Instant::now();
    let unknown: Vec<WantedTable> = files.into_iter().filter(|wanted| !store.knows(wanted.id)).collect();
    if let Err(error) = store.add(build(&unknown)) {
        log::warn!("unwind tables: {error}");
    }
    log::debug!("unwind tables of {} files took {:?}", unknown.len(), start.elapsed());
}

/// Before a process is traced: builds all its tables and tells the walker its mappings.
pub fn prepare(tracer: &mut Tracer, locator: &mut Locator, slot: u32) {
    let Some(store) = tracer.unwind_store() else { return };
    let unknown = locator.unknown_code(|file| store.knows(file));
    add(store, unknown);
    store.publish(slot, locator.code_mappings());
    locator.take_changed();
}

/// Files without unwind information, and those that make no sense, have no table.
fn build_one(wanted: &WantedTable) -> FileTable {
    let start = Instant::now();
    let elf = wanted.file.try_clone().ok().and_then(|own| ElfFile::new(own, &wanted.path).ok());
    let segments = elf.map(|elf| elf.segments().collect()).unwrap_or_default();
    let table = UnwindTable::of(&wanted.file, &wanted.path).unwrap_or_else(|error| {
        log::info!("stacks are not followed by tables: {error}");
        None
    });
    log::debug!("unwind table of {} took {:?}", wanted.path, start.elapsed());
    FileTable { file: wanted.id, segments, table }
}
