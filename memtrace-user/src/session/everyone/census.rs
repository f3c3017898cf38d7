//! Looks at all processes of the machine now and then, on a thread beside: for those that have changed their user or their
//! group since they were executed, and for how many map a probed file.

use std::{collections::HashSet, sync::Arc};

use tokio::{
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{CENSUS_EVERY, Everyone};
use crate::{
    process::{Identity, Selection, all_processes, is_running, maps_any},
    profile::LossReason,
};

/// Looks from one count of the processes that map a probed file to the next: it reads the mappings of all.
const COUNT_EVERY: u64 = 12;

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Processes that are meant.
    pub(super) selected: Vec<u32>,
    /// Processes that are not.
    pub(super) left_out: Vec<u32>,
    /// Processes that map a probed file, if that was asked for.
    pub(super) mapping: Option<u64>,
    /// All processes.
    pub(super) all: HashSet<u32>,
}

/// Looks at all processes, and with `files` for how many map one of them. memtrace's own is left out.
pub(super) fn look(selection: &Selection, files: Option<&HashSet<(u64, u64)>>) -> Found {
    let mut found = Found::default();
    let own = std::process::id();
    found.all = all_processes().into_iter().collect();
    for pid in found.all.iter().copied().filter(|pid| *pid != own) {
        if let Some(files) = files {
            *found.mapping.get_or_insert(0) += u64::from(maps_any(pid, files));
        }
        if selection.is_everybody() {
            found.selected.extend(is_running(pid).then_some(pid));
        } else if let Some(identity) = Identity::of_pid(pid) {
            if selection.has(&identity) { &mut found.selected } else { &mut found.left_out }.push(pid);
        }
    }
    found
}

/// When the next look is due, and the one under way.
#[derive(Debug)]
pub(super) struct Census {
    ticks: Interval,
    looks: u64,
    task: Option<JoinHandle<Found>>,
}

impl Census {
    /// The first look comes in a while.
    pub(super) fn new() -> Self {
        let mut ticks = interval_at(Instant::now() + CENSUS_EVERY, CENSUS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, looks: 0, task: None }
    }

    /// Resolves when a look has ended. May be dropped at any await.
    pub(super) async fn next(&mut self, selection: &Arc<Selection>, files: &Arc<HashSet<(u64, u64)>>) -> Found {
        loop {
            if let Some(task) = &mut self.task {
                let found = task.await.unwrap_or_default();
                self.task = None;
                return found;
            }
            self.ticks.tick().await;
            self.looks += 1;
            let files = self.looks.is_multiple_of(COUNT_EVERY).then(|| Arc::clone(files));
            let selection = Arc::clone(selection);
            self.task = Some(tokio::task::spawn_blocking(move || look(&selection, files.as_deref())));
        }
    }
}

impl Everyone {
    /// Traces processes that are meant and were not, and no more those that were and are not.
    pub(super) fn take_census(&mut self, found: Found) {
        self.cost.processes = found.mapping.unwrap_or(self.cost.processes);
        self.reconcile(&found.all);
        for pid in found.selected {
            if !self.members.has_pid(pid) {
                self.adopt(pid);
            }
        }
        for pid in found.left_out {
            if let Some(slot) = self.members.slot_of_pid(pid) {
                // It may have executed another program since, which the BPF programs have let pass.
                let is_meant = Identity::of_pid(pid).is_none_or(|identity| self.selection.has(&identity));
                if !is_meant {
                    self.close(slot);
                }
            }
        }
    }

    /// Begins to trace a process that runs.
    pub(super) fn adopt(&mut self, pid: u32) {
        match self.tracer.adopt(pid) {
            Ok(Some(slot)) => {
                self.members.add(pid, slot, Arc::default());
                // One that ended meanwhile may not have been seen ending.
                if !is_running(pid) && self.tracer.abandon(pid) {
                    self.members.leave(slot);
                    self.leaving.insert(slot);
                    self.retiring.add(slot);
                }
            }
            // It has executed a program, which is told by an event, or was closed.
            Ok(None) => self.reopen(pid),
            Err(error) => {
                if self.refused.insert(pid) {
                    log::info!("process {pid}: {error}");
                    self.tracer.count_loss(LossReason::NoSlot);
                }
            }
        }
    }
}
