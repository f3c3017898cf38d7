//! What the processes map: looked at for allocators, probed, and made unwind tables of.

use std::{collections::HashSet, fs::File, sync::Arc};

use tokio::task::JoinHandle;

use super::{
    super::{
        locate::{FoundAllocator, Locator, Wanted},
        unwinding::file_id,
    },
    Everyone,
};
use crate::{
    process::{AddressSpace, MappedFile},
    profile::LossReason,
    tracer::FileTable,
};

/// Processes whose mappings are looked at in one go: some milliseconds.
const AT_ONCE: usize = 32;

/// Most files that are probed. Programs that have an allocator in them are probed one by one.
const MOST_PROBED: usize = 512;

/// Most files that are known to have been met; beyond, mappings of known files are looked at as those of others.
const MOST_MET: usize = 1 << 16;

/// A file and its path.
type Examinee = (Arc<File>, Arc<str>);

/// What is known of files.
#[derive(Debug, Default)]
pub(super) struct ProbedFiles {
    /// Files that have been met, by device and inode as `/proc/PID/maps` states them.
    pub(super) met: HashSet<(u64, u64)>,
    /// Those that are probed, in the same way.
    pub(super) inodes: Arc<HashSet<(u64, u64)>>,
    /// Names of the allocators therein.
    pub(super) allocators: Vec<String>,
    waiting: Vec<(MappedFile, Examinee)>,
    /// A look for allocators.
    pub(super) examining: Option<JoinHandle<Vec<Examined>>>,
}

/// A file that has an allocator.
pub(super) type Examined = (MappedFile, FoundAllocator);

/// Resolves when files have been looked at; never without any.
pub(super) async fn examined(task: Option<&mut JoinHandle<Vec<Examined>>>) -> Vec<Examined> {
    match task {
        Some(task) => task.await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

impl ProbedFiles {
    /// Files that have not been met before are to be looked at.
    pub(super) fn meet(&mut self, locator: &Locator) {
        if self.met.len() > MOST_MET {
            self.met.clear();
        }
        for mapped in locator.mapped_files() {
            if !self.met.insert((mapped.device, mapped.inode)) {
                continue;
            }
            let Some(file) = mapped.file.clone() else { continue };
            if file_id(&file).is_some_and(|id| locator.files().examine(id)) {
                let path = Arc::clone(&mapped.path);
                self.waiting.push((mapped, (file, path)));
            }
        }
    }

    /// All files are met anew.
    pub(super) fn forget_met(&mut self) {
        self.met.clear();
    }

    /// Looks for allocators in files that wait for it. Takes about a millisecond a file.
    pub(super) fn examine(&mut self, wanted: &Wanted) -> Vec<Examined> {
        examine(std::mem::take(&mut self.waiting), wanted)
    }

    /// The same on a thread beside, one look at a time.
    fn begin(&mut self, wanted: &Wanted) {
        if self.examining.is_none() && !self.waiting.is_empty() {
            let (files, wanted) = (std::mem::take(&mut self.waiting), wanted.clone());
            self.examining = Some(tokio::task::spawn_blocking(move || examine(files, &wanted)));
        }
    }
}

fn examine(files: Vec<(MappedFile, Examinee)>, wanted: &Wanted) -> Vec<Examined> {
    let find = |(mapped, (file, path)): (MappedFile, Examinee)| Some((mapped, wanted.find_in(&file, &path)?));
    files.into_iter().filter_map(find).collect()
}

impl Everyone {
    /// Reads what members map whose time it is, and tells the stack walker.
    pub(super) fn look_at_mappings(&mut self) {
        for slot in self.members.take_due(AT_ONCE) {
            self.refresh(slot);
        }
        self.probed.begin(&self.wanted);
    }

    /// Reads what a member maps.
    pub(super) fn refresh(&mut self, slot: u32) {
        self.know(slot);
        let Some(member) = self.members.get_mut(slot) else { return };
        let locator = member.locator.get_or_insert_with(|| {
            Locator::new(AddressSpace::of_relative(self.files.clone(), member.pid), self.wanted.clone())
        });
        locator.refresh();
        self.probed.meet(locator);
        if let Some(store) = self.tracer.unwind_store() {
            store.publish(slot, locator.code_mappings());
            locator.take_changed();
            self.tables.ask(locator.unknown_code(|file| store.knows(file)));
        }
    }

    /// Tables are there: members that map their files are told to the stack walker anew.
    pub(super) fn take_tables(&mut self, tables: Vec<FileTable>) {
        let Some(store) = self.tracer.unwind_store() else { return };
        let fresh: HashSet<_> = tables.iter().map(|table| table.file).collect();
        if let Err(error) = store.add(tables) {
            log::warn!("unwind tables: {error}");
        }
        for member in self.members.running_mut() {
            let Some(locator) = &member.locator else { continue };
            let mappings = locator.code_mappings();
            if mappings.iter().any(|mapping| mapping.file.is_some_and(|file| fresh.contains(&file))) {
                store.publish(member.slot, mappings);
            }
        }
        if self.tables.is_empty() {
            self.tracer.follow_copies();
        }
    }

    /// Allocators have been found in files that running processes map.
    pub(super) fn place_found(&mut self, found: Vec<Examined>) {
        self.probed.examining = None;
        for (mapped, allocator) in found {
            if self.place(&mapped, &allocator) {
                // The program runs already.
                self.tracer.count_loss(LossReason::LateProbes);
            }
        }
        self.probed.begin(&self.wanted);
    }

    /// Places the probes of a file; `false` when they were there, or cannot be.
    pub(super) fn place(&mut self, mapped: &MappedFile, allocator: &FoundAllocator) -> bool {
        if self.probed.inodes.len() >= MOST_PROBED {
            self.notes.extend([format!(
                "{MOST_PROBED} files are probed, and no more will be: allocators in programs that begin from now on are \
                 not seen"
            )]);
            return false;
        }
        match self.tracer.place_probes(&allocator.probes, 0) {
            Ok(true) => {
                log::debug!("{}: {} probes", allocator.name, allocator.probes.probes.len());
                self.notes.extend(allocator.remarks(self.tracer.returns()));
                self.probed.allocators.push(allocator.name.clone());
                Arc::make_mut(&mut self.probed.inodes).insert((mapped.device, mapped.inode));
                true
            }
            Ok(false) => false,
            Err(error) => {
                log::warn!("{}: {error}", allocator.name);
                false
            }
        }
    }
}
