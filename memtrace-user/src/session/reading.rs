//! Readings: the counters as they are, with the names of their functions.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Session, Update,
    complete::{Unfinished, about},
    ended,
    family::{Family, Member},
    notes::Subject,
    released, safety,
    unnamed::{Unnamed, log_stacks},
};
use crate::{
    process::{TargetProcess, command_of},
    profile::{
        AllocRates, Location, ProcessIndex, ProcessTotals, Profile, Snapshot, StackSample, SymbolTable, TracedProcess,
        Unfollowed, UnfollowedBytes, mark_whole_stacks, some_run,
    },
    tracer::Tracer,
};

impl Session {
    /// A reading at once, with names.
    pub async fn read_now(&mut self) -> (Arc<Profile>, Arc<SymbolTable>) {
        self.unnamed = Some(self.read());
        loop {
            if let Some(Update::Reading { profile, symbols }) = self.name_reading().await {
                return (profile, symbols);
            }
        }
    }

    /// Looks up the lines of `wanted` and returns all names known.
    pub async fn lines_of(&mut self, wanted: &BTreeSet<Location>) -> Arc<SymbolTable> {
        self.names.find_lines(wanted, &self.locator).await;
        self.names.table()
    }

    /// A reading at once, without names.
    #[must_use]
    pub fn peek(&mut self) -> Profile {
        // The rates of the next reading are from the last one that was shown.
        let previous = self.previous;
        let profile = self.read().named(&SymbolTable::default());
        self.previous = previous;
        profile
    }

    /// A reading at once for a snapshot; its names are found beside the session.
    #[must_use]
    pub fn take_snapshot(&mut self) -> Unfinished {
        let profile = self.peek();
        self.snapshot_of(&profile)
    }

    /// A snapshot of a reading of this session.
    #[must_use]
    pub fn snapshot_of(&self, profile: &Profile) -> Unfinished {
        let about = about(self.tracer.options(), profile);
        let mut snapshot = Snapshot::of(profile, &SymbolTable::default(), about);
        mark_whole_stacks(&mut snapshot.samples, &self.names.table());
        let started_at = self.target.as_ref().and_then(TargetProcess::started_at);
        if let Some(process) = snapshot.processes.first_mut() {
            process.started_at = started_at;
        }
        Unfinished::new(snapshot, self.names.table(), &self.locator)
    }

    /// A snapshot of some samples alone.
    pub(super) fn unfinished(&self, samples: Vec<StackSample>) -> Unfinished {
        let snapshot =
            Snapshot { samples, threads: self.threads.list(), modules: self.locator.modules(), ..Snapshot::default() };
        Unfinished::new(snapshot, self.names.table(), &self.locator)
    }

    pub(super) async fn name_reading(&mut self) -> Option<Update> {
        let unnamed = self.unnamed.as_ref()?;
        // Those of processes that are gone are in `nameless`, once.
        let samples = unnamed.profile.samples.iter().take(unnamed.fresh);
        let locations = samples.flat_map(|sample| sample.stack.iter()).chain(&self.nameless).copied();
        self.names.find_names(locations, &self.locator).await;
        self.nameless.clear();
        let symbols = self.names.table();
        let profile = self.unnamed.take()?.named(&symbols);
        if profile.process.exited {
            log_stacks(&profile, self.tracer.walker_runs());
            self.log_cost(profile.totals.cpu_nanos);
        }
        Some(Update::Reading { profile: Arc::new(profile), symbols })
    }

    pub(super) fn read(&mut self) -> Unnamed {
        if self.slot != 0 {
            self.locator.refresh_at_times();
        }
        self.take_mappings();
        // Before the counters are read: that an allocator is found late is one of the losses.
        self.probe_new_allocators();
        if let Some(command) = self.target.as_ref().and_then(TargetProcess::current_command) {
            self.command_line.see(&mut self.info.command, command);
        }
        let mut raw = self.tracer.read(self.slot);
        self.add_cpu_time(&mut raw.totals);
        // After the stacks: what they name has come before them.
        self.take_python_codes();
        let threads = self.target.as_ref().and_then(TargetProcess::threads).unwrap_or(1);
        self.info.rss_bytes = self.target.as_ref().filter(|_| !self.info.exited).and_then(TargetProcess::rss_bytes);
        self.notes.see_memory(self.target.as_ref().and_then(TargetProcess::anonymous_bytes));
        self.note_python(&raw.totals);
        self.notes.set(Subject::LiveTable, self.tracer.refusal().map(safety::live_table_refused));
        self.info.notes = self.notes.lines(&raw.totals);
        self.info.notes.extend(self.notes_on_others(raw.elapsed));
        let mut samples = self.locator.samples(&raw, ProcessIndex(0), &mut self.threads);
        let mut unfollowed = raw.stacks.iter().map(|stack| stack.unfollowed).collect();
        self.threads.refresh_names(self.info.pid);
        self.follow_mappings();
        let mut stack_ids: Vec<u32> = raw.stacks.iter().map(|stack| stack.id).collect();
        let fresh = self.read_members(&mut samples, &mut unfollowed);
        let mut own_totals = raw.totals;
        let (others, totals) = self.sum_up(&mut own_totals, &mut samples);
        stack_ids.resize(samples.len(), NO_STACK_ID);
        let rates = self.previous.map_or_else(AllocRates::default, |(elapsed, stats)| {
            AllocRates::between(&stats, &totals.stats, raw.elapsed.saturating_sub(elapsed))
        });
        self.previous = Some((raw.elapsed, totals.stats));
        let profile = Profile {
            taken_at: SystemTime::now(),
            elapsed: raw.elapsed,
            started_at: self.target.as_ref().and_then(TargetProcess::started_at),
            process: self.info.clone(),
            totals,
            own_totals,
            others,
            rates,
            stack_ids,
            samples,
            threads: self.threads.list(),
            modules: self.locator.modules(),
            losses: raw.losses,
            sample_bytes: raw.sample_bytes,
            overhead: self.meter.overhead(
                &self.tracer,
                threads,
                totals.hits(),
                raw.elapsed,
                Duration::from_nanos(totals.cpu_nanos),
            ),
            unfollowed: UnfollowedBytes::default(),
        };
        Unnamed { profile, unfollowed, fresh }
    }

    /// The others of the family, and the sum of all.
    fn sum_up(&mut self, own: &mut ProcessTotals, samples: &mut [StackSample]) -> (Vec<TracedProcess>, ProcessTotals) {
        let Some(family) = &mut self.family else { return (Vec::new(), *own) };
        let mut others: Vec<_> = family.processes().collect();
        let mut totals = released::release(self.info.exited, own, &mut others, samples);
        // What each held at its end has not lived at one time.
        let at_once = if some_run(self.info.exited, &others) { totals.current_bytes } else { 0 };
        totals.peak_bytes = family.peak_of_all(totals.peak_bytes.max(at_once));
        (others, totals)
    }

    /// Sentences about the processes that are followed, and about those that pay for it.
    fn notes_on_others(&self, elapsed: Duration) -> impl Iterator<Item = String> + use<> {
        let family = self.family.as_ref().filter(|_| elapsed < COST_IS_SAID && !self.info.exited);
        let cost = family.map(|_| safety::cost_of_following(self.meter.trap_cost()));
        cost.into_iter().chain(self.family.as_ref().and_then(|family| ended::note(family.folded())))
    }

    /// Adds what the members have done. Returns how many samples are not of processes that are gone.
    fn read_members(&mut self, samples: &mut Vec<StackSample>, unfollowed: &mut Vec<Option<Unfollowed>>) -> usize {
        let members = self.family.iter_mut().flat_map(Family::counting).filter(|member| !member.is_forgotten);
        for slot in members.map(|member| member.slot).collect::<Vec<_>>() {
            let Some(done) = self.read_member(slot) else { continue };
            if let Some((_, member)) = self.family.as_mut().and_then(|family| family.in_slot(slot)) {
                member.totals = done.0;
                name_worker(&self.tracer, member);
            }
            samples.extend(done.1);
            unfollowed.extend(done.2);
        }
        let fresh = samples.len();
        for (sample, reason) in self.family.iter().flat_map(Family::kept) {
            samples.push(sample);
            unfollowed.push(reason);
        }
        fresh
    }
}

/// A forked worker says by its command line what it does. One that is about to execute a program does so at once: its name is
/// its parent's. Whether the image that is named still runs is looked at last.
fn name_worker(tracer: &Tracer, member: &mut Member) {
    let age = member.started_at.and_then(|start| start.elapsed().ok()).unwrap_or_default();
    if member.info.exited || age < WORKERS_LIVE {
        return;
    }
    if let Some(command) = command_of(member.info.pid)
        && tracer.home_of(member.info.pid) == Some(member.home)
    {
        member.command_line.see(&mut member.info.command, command);
    }
}

/// A process that has lived so long without executing a program will hardly do so any more.
const WORKERS_LIVE: Duration = Duration::from_secs(1);

/// What following costs others is said for so long: whoever has read it wants the space on the screen.
const COST_IS_SAID: Duration = Duration::from_secs(30);

/// What stands for the number of a stack that is not of the process that the session is named by.
const NO_STACK_ID: u32 = 0;
