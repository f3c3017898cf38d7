//! Tracing of the whole machine: many processes at a time, those that begin later as well, in memory that does not grow
//! with how many have come and gone.
//!
//! What is kept of a process that has ended is its part of a sum. Mappings are read from `/proc` a moment after a process
//! has begun, so those that live shorter cost nothing here: the BPF programs count them by themselves. Call stacks are
//! resolved only of processes that somebody looks at.

mod census;
mod closed;
mod events;
mod files;
mod group_check;
mod members;
mod naming;
mod reading;
mod reconcile;
mod start;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

pub use self::start::trace_everyone;
use self::{
    census::Census,
    closed::Closed,
    files::{ProbedFiles, examined},
    members::Members,
    naming::Naming,
};
use super::{
    locate::Wanted,
    meter::OwnUse,
    notes::Notes,
    retiring::Retiring,
    threads::Threads,
    unwinding::InTheMaking,
    waits::{CopySource, MappingSource, mappings_ready, unknown_code},
};
use crate::{
    process::{MappedFiles, Selection},
    profile::{
        CostToAll, EndedProcesses, Location, Machine, Overhead, ProcessKey, ProcessTotals, Profile, SymbolTable,
    },
    tracer::{Events, Tracer},
};

/// Time from one look at all processes of the machine to the next: for those that have changed their user or group.
const CENSUS_EVERY: Duration = Duration::from_secs(5);

/// What [`Everyone::next`] brings.
#[derive(Debug)]
pub enum MachineUpdate {
    /// A line of numbers for each process.
    Reading(Arc<Machine>),
    /// The call stacks of processes that [`Everyone::look_at`] has asked for, with the names of their functions.
    Stacks {
        /// Each by its key; without those that are gone.
        profiles: Vec<(ProcessKey, Arc<Profile>)>,
        /// Names of their locations.
        symbols: Arc<SymbolTable>,
    },
    /// Code is numbered anew: names that are kept of locations belong to others from now on.
    Renumbered,
    /// Lines of what was wanted.
    Lines {
        /// All names that are known.
        symbols: Arc<SymbolTable>,
        /// The locations whose lines have been looked up.
        asked: BTreeSet<Location>,
    },
}

/// All selected processes of the machine under tracing.
#[expect(missing_debug_implementations, reason = "futures and event rings have none")]
pub struct Everyone {
    tracer: Tracer,
    events: Events,
    mapping_events: MappingSource,
    copies: Option<CopySource>,
    selection: Arc<Selection>,
    members: Members,
    ended: EndedProcesses,
    /// All counters of those that have ended.
    ended_totals: ProcessTotals,
    retiring: Retiring,
    /// Slots that are being given back.
    leaving: HashSet<u32>,
    closed: Closed,
    /// Processes that run and found no slot, each counted once.
    refused: HashSet<u32>,
    /// Events of processes that were lost when all was put right last.
    lost_before: u64,
    wanted: Wanted,
    files: MappedFiles,
    probed: ProbedFiles,
    naming: Naming,
    threads: Threads,
    /// Names of users by their number.
    users: HashMap<u32, Arc<str>>,
    notes: Notes,
    meter: OwnUse,
    /// Of the last reading.
    overhead: Overhead,
    cost: CostToAll,
    ticks: Interval,
    stack_ticks: Interval,
    census: Census,
    tables: InTheMaking,
    /// A reading is due to be told.
    reading: Option<Arc<Machine>>,
}

impl Everyone {
    /// Sets the time between readings; the first comes at once.
    pub fn set_interval(&mut self, period: Duration) {
        self.ticks = interval_at(Instant::now(), period);
        // After a pause one reading is enough.
        self.ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }

    /// Waits for the next update; lines of `wanted` are looked up beside. May be dropped at any await and called again.
    ///
    /// # Errors
    /// When the event ring cannot be waited for.
    pub async fn next(&mut self, wanted: &BTreeSet<Location>) -> std::io::Result<MachineUpdate> {
        loop {
            if self.renumber_if_crowded() {
                return Ok(MachineUpdate::Renumbered);
            }
            if let Some(machine) = self.reading.take() {
                return Ok(MachineUpdate::Reading(machine));
            }
            self.naming.begin(wanted, &self.files);
            self.retiring.begin(&self.tracer);
            tokio::select! {
                biased;
                event = self.events.next() => {
                    self.take_event(event?);
                    self.take_events();
                }
                () = mappings_ready(Some(&self.mapping_events)) => self.take_mappings(),
                () = self.retiring.next() => self.fold_unused(),
                _ = self.ticks.tick() => self.reading = Some(Arc::new(self.read())),
                _ = self.stack_ticks.tick() => self.tracer.keep_room_for_stacks(),
                update = self.naming.next() => return Ok(update),
                found = examined(self.probed.examining.as_mut()) => self.place_found(found),
                tables = self.tables.next() => self.take_tables(tables),
                found = self.census.next(&self.selection, &self.probed.inodes) => self.take_census(found),
                () = unknown_code(self.copies.as_ref()) => self.follow_copies(),
                // Last, as in a storm there is always somebody to be looked at.
                () = self.members.due() => self.look_at_mappings(),
            }
        }
    }

    /// Whether the lines of locations have been looked up.
    #[must_use]
    pub fn knows_lines(&self, locations: &BTreeSet<Location>) -> bool {
        self.naming.knows_lines(locations)
    }

    /// A reading at once.
    pub fn read_now(&mut self) -> Arc<Machine> {
        self.take_events();
        Arc::new(self.read())
    }
}
