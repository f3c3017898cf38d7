//! One traced process from its attach to its end: events in, readings out.
//!
//! [`Session::next`] waits for whatever comes first (a tick, an event of the BPF programs, new mappings, the end of the
//! process) and gives the next thing to show. It may be dropped at any await and called again: nothing is lost.

mod attach;
mod budget;
mod budget_words;
mod command;
mod complete;
mod ended;
mod everyone;
mod family;
mod floor;
mod following;
mod happenings;
mod kinship;
mod launch;
mod locate;
mod look;
mod meter;
mod names;
mod notes;
mod orders;
mod probing;
mod python;
mod reading;
mod released;
mod retiring;
mod safety;
mod spending;
mod threads;
mod unnamed;
mod unwinding;
mod waits;

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval_at},
};

pub use self::{
    attach::{AttachError, AttachStep, Attachment, attach},
    complete::{Finder, Progress, Unfinished},
    everyone::{Everyone, MachineUpdate, trace_everyone},
    floor::place_floor,
    launch::{LaunchError, Launched, launch},
    orders::{FoundBlock, OrderError},
};
use self::{
    command::CommandLine,
    family::Family,
    happenings::Happenings,
    kinship::family_of,
    locate::Locator,
    meter::OwnUse,
    names::Names,
    notes::Notes,
    orders::Orders,
    retiring::Retiring,
    spending::Spending,
    threads::Threads,
    unnamed::Unnamed,
    unwinding::InTheMaking,
    waits::{CopySource, MappingSource, ended, mappings_ready, readable, stack_ticks, swept, unknown_code},
};
use crate::{
    process::TargetProcess,
    profile::{AllocStats, Location, ProcessInfo, Profile, SymbolTable},
    readable::Readable,
    tracer::{EventKind, Events, Tracer, TracerEvent},
};

/// The end of the process, as whoever started the session watches it.
type Exit = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What [`Session::next`] brings.
#[derive(Debug)]
pub enum Update {
    /// A reading, with the names of its functions.
    Reading {
        /// What was read.
        profile: Arc<Profile>,
        /// Names of its locations.
        symbols: Arc<SymbolTable>,
    },
    /// More names of what was asked for.
    Symbols(Arc<SymbolTable>),
    /// The process replaced its program by another.
    Exec,
    /// What was recorded before is forgotten. A reading follows.
    Cleared,
    /// The peak is that of what is live from now on. A reading follows.
    PeakReset,
    /// Tracing costs more than it may: something is done about it, or it cannot be.
    Budget {
        /// A sentence for the user.
        message: String,
        /// Tracing is to end.
        ends: bool,
    },
    /// The process has ended. The reading before was the last, and nothing but symbols will follow.
    Ended,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    /// The process has ended.
    Ending,
    /// The last reading has been taken.
    LastReading,
    /// That has been told. Lines can still be asked for.
    Over,
}

/// A traced process.
#[expect(missing_debug_implementations, reason = "futures and event rings have none")]
pub struct Session {
    tracer: Tracer,
    events: Events,
    mapping_events: Option<MappingSource>,
    copies: Option<CopySource>,
    python_codes: Option<Readable>,
    python: python::State,
    locator: Locator,
    names: Names,
    notes: Notes,
    meter: OwnUse,
    spending: Spending,
    info: ProcessInfo,
    command_line: CommandLine,
    target: Option<TargetProcess>,
    /// The slot that the process began in.
    home: u32,
    /// The slot that its calls are counted in.
    slot: u32,
    host_tgid: u32,
    threads: Threads,
    orders: Orders,
    ticks: Interval,
    /// When new stacks are taken out of the kernel's store, which would be full in some tenths of a second.
    stack_ticks: Interval,
    exit: Option<Exit>,
    previous: Option<(Duration, AllocStats)>,
    /// A reading whose names are still looked up.
    unnamed: Option<Unnamed>,
    tables: InTheMaking,
    /// Breakpoints being taken out of children.
    sweeping: Option<JoinHandle<()>>,
    /// The process has forked since `sweeping` began.
    forked: bool,
    /// The processes that are followed, besides; `None` when only the one that is named is traced.
    family: Option<Family>,
    happenings: Happenings,
    retiring: Retiring,
    /// Places in call stacks of members that are gone, until they have names.
    nameless: BTreeSet<Location>,
    stage: Stage,
}

/// What a session begins with; the rest of its state is the same for every one.
struct Beginning {
    tracer: Tracer,
    events: Events,
    mapping_events: Option<MappingSource>,
    locator: Locator,
    names: Names,
    notes: Notes,
    info: ProcessInfo,
    target: Option<TargetProcess>,
    slot: u32,
    host_tgid: u32,
    exit: Exit,
}

impl Session {
    /// Begins; the cost of a trap is measured beside from here on.
    fn begin(beginning: Beginning) -> Self {
        let mut session = Self::before_counting(beginning);
        // As soon as can be: what is recorded before has no lines of Python.
        session.follow_python();
        session.count_anew();
        session
    }

    fn before_counting(beginning: Beginning) -> Self {
        let Beginning { tracer, events, mapping_events, locator, names, notes, info, target, slot, host_tgid, exit } =
            beginning;
        Self {
            meter: OwnUse::start(&tracer),
            spending: Spending::new(tracer.options()),
            copies: tracer.unknown_code().map(CopySource::new),
            family: family_of(tracer.options().follow, &locator, locator.wanted()),
            command_line: CommandLine::default(),
            happenings: Happenings::default(),
            retiring: Retiring::new(),
            nameless: BTreeSet::new(),
            python_codes: tracer.python_codes(),
            python: python::State::default(),
            tracer,
            events,
            mapping_events,
            locator,
            names,
            notes,
            info,
            target,
            home: slot,
            slot,
            host_tgid,
            threads: Threads::default(),
            orders: Orders::default(),
            ticks: tokio::time::interval(Duration::from_secs(1)),
            stack_ticks: stack_ticks(),
            exit: Some(exit),
            previous: None,
            unnamed: None,
            tables: InTheMaking::default(),
            sweeping: None,
            forked: false,
            stage: Stage::Running,
        }
    }

    /// Sets the time between readings; the first comes at once.
    pub fn set_interval(&mut self, period: Duration) {
        self.ticks = interval_at(tokio::time::Instant::now(), period);
        // After a pause (a suspended memtrace, a slow lookup) one reading is enough.
        self.ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }

    /// Waits for the next update; lines of `wanted` are looked up on the way.
    ///
    /// # Errors
    /// When the event ring cannot be waited for.
    pub async fn next(&mut self, wanted: &BTreeSet<Location>) -> std::io::Result<Update> {
        loop {
            if let Some(update) = self.name_reading().await {
                return Ok(update);
            }
            if self.names.find_lines(wanted, &self.locator).await {
                return Ok(Update::Symbols(self.names.table()));
            }
            if let Some(update) = self.obey() {
                return Ok(update);
            }
            match self.stage {
                Stage::Running => {}
                Stage::Ending => {
                    // Tables in the making are waited for: stacks that were copied need them.
                    if !self.tables.is_empty() {
                        let tables = self.tables.next().await;
                        self.take_tables(tables);
                        continue;
                    }
                    self.stage = Stage::LastReading;
                    self.unnamed = Some(self.read());
                    continue;
                }
                Stage::LastReading => {
                    self.stage = Stage::Over;
                    return Ok(Update::Ended);
                }
                Stage::Over => {
                    let event = self.orders.next().await;
                    self.take_order_event(event);
                    continue;
                }
            }
            self.retiring.begin(&self.tracer);
            let exit = self.exit.as_mut();
            tokio::select! {
                biased;
                event = self.events.next() => if self.handle(event?) { return Ok(Update::Exec) },
                () = mappings_ready(self.mapping_events.as_ref()) => {
                    self.take_mappings();
                    self.probe_new_allocators();
                }
                () = readable(self.python_codes.as_ref()) => self.take_python_codes(),
                () = unknown_code(self.copies.as_ref()) => self.look_for_code(),
                tables = self.tables.next() => self.take_tables(tables),
                () = swept(self.sweeping.as_mut()) => self.swept(),
                () = self.retiring.next() => self.fold_unused(),
                event = self.orders.next() => self.take_order_event(event),
                () = ended(exit) => self.end(),
                () = self.spending.next() => if let Some(update) = self.look_at_cost() { return Ok(update) },
                _ = self.stack_ticks.tick() => {
                    self.tracer.keep_room_for_stacks();
                    self.check_python();
                }
                _ = self.ticks.tick() => self.unnamed = Some(self.read()),
            }
        }
    }

    /// Whether the traced process has ended.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.info.exited
    }

    /// Returns whether the process has replaced its program, and what it did before is forgotten.
    fn handle(&mut self, event: TracerEvent) -> bool {
        if self.family.is_some() {
            self.happenings.add(event);
            self.take_happenings();
            return false;
        }
        match event.kind {
            EventKind::Fork => {
                self.sweep_children();
                false
            }
            EventKind::Exec { slot, by_thread, .. } if event.tgid == self.host_tgid => {
                if by_thread && let Err(error) = self.tracer.replace_probes(self.info.pid) {
                    log::warn!("the probes are gone since the exec: {error}");
                }
                self.follow_exec(slot);
                true
            }
            _ => false,
        }
    }

    fn follow_exec(&mut self, slot: u32) {
        for old in [self.home, self.slot, self.orders.take_spare().unwrap_or(0)] {
            self.retiring.add(old);
        }
        if let Some(store) = self.tracer.unwind_store() {
            store.remove(self.slot);
        }
        (self.home, self.slot) = (slot, slot);
        self.previous = None;
        // First of all, as the program may allocate already: the walker's mappings.
        self.locator.set_program(self.info.pid);
        self.notes.begin_anew();
        self.locator.follow_exec(self.mapping_events.is_some());
        self.take_mappings();
        self.target = TargetProcess::open(self.info.pid).ok();
        self.count_anew();
        self.probe_new_allocators();
    }

    /// Takes breakpoints out of the process's children. One sweep at a time: forks during one are seen to by the next.
    fn sweep_children(&mut self) {
        self.forked = true;
        if self.sweeping.is_none()
            && let Some(work) = self.tracer.sweep_work()
        {
            self.forked = false;
            self.sweeping = Some(tokio::task::spawn_blocking(work));
        }
    }

    fn swept(&mut self) {
        self.sweeping = None;
        if self.forked {
            self.sweep_children();
        }
    }

    fn end(&mut self) {
        self.exit = None;
        self.info.exited = true;
        self.stage = Stage::Ending;
        // What was mapped until the end.
        self.take_mappings();
        self.check_python_at_end();
    }
}
