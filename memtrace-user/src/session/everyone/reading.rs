//! Readings: a line of numbers for each process, and the call stacks of those that are looked at.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::super::{notes::Subject, safety};
use super::{Everyone, members::About};
use crate::{
    process::{Identity, command_of, resident_bytes, user_name},
    profile::{
        AllocRates, Frame, Location, Machine, MachineProcess, ModuleId, Overhead, ProcessIndex, ProcessInfo,
        ProcessKey, ProcessTotals, Profile, UnfollowedBytes,
    },
};

impl Everyone {
    /// Asks for the call stacks of processes: they come as an update. What was asked for before and has not come is
    /// forgotten.
    pub fn look_at(&mut self, keys: &[ProcessKey]) {
        let slots: Vec<(ProcessKey, u32)> =
            keys.iter().filter_map(|key| Some((*key, self.members.slot_of(*key)?))).collect();
        let mut profiles = Vec::new();
        let mut known = Vec::new();
        for (key, slot) in slots {
            if let Some(profile) = self.profile_of(slot) {
                known.extend(self.own_frames(slot, &profile));
                profiles.push((key, profile));
            }
        }
        self.naming.ask(profiles, known.into_iter());
    }

    pub(super) fn read(&mut self) -> Machine {
        let elapsed = self.tracer.elapsed();
        let mut processes = Vec::with_capacity(self.members.len());
        let mut all = self.ended_totals;
        let mut ended = self.ended;
        for member in self.members.all_mut() {
            let totals = self.tracer.totals(member.slot);
            all.add(&totals);
            if member.has_exited {
                // Its slot is being given back.
                ended.count += 1;
                ended.stats += totals.stats;
                continue;
            }
            let share = self.tracer.share(member.slot);
            let rates = member.previous.map_or_else(AllocRates::default, |(before, stats)| {
                AllocRates::between(&stats, &totals.stats, elapsed.saturating_sub(before))
            });
            member.previous = Some((elapsed, totals.stats));
            processes.push(MachineProcess {
                key: member.key,
                pid: member.pid,
                command: Arc::clone(&member.about.command),
                user: Arc::clone(&member.about.user),
                container: member.about.container.clone(),
                rss_bytes: resident_bytes(member.pid),
                totals,
                rates,
                growth_bytes: member.growth(elapsed, totals.stats.live_bytes()),
                refused_blocks: share.refused_blocks,
                refused_stacks: share.refused_sites,
            });
        }
        self.notes.set(Subject::LiveTable, self.tracer.refusal().map(safety::live_table_refused));
        Machine {
            taken_at: SystemTime::now(),
            elapsed,
            overhead: self.measure(&processes, &all),
            processes,
            ended,
            allocators: self.probed.allocators.clone(),
            cost: self.cost,
            losses: self.tracer.losses(),
            sample_bytes: Some(self.tracer.options().sample_bytes).filter(|bytes| *bytes > 0),
            notes: self.notes.lines(&all),
        }
    }

    fn measure(&mut self, processes: &[MachineProcess], all: &ProcessTotals) -> Overhead {
        // Threads are not counted one by one: a process has at least one that has allocated.
        let threads = processes.len() as u64;
        let cpu = Duration::from_nanos(all.cpu_nanos);
        self.overhead = self.meter.overhead(&self.tracer, threads, all.hits(), self.tracer.elapsed(), cpu);
        self.overhead
    }

    /// The call stacks of the process in a slot, without names.
    fn profile_of(&mut self, slot: u32) -> Option<Profile> {
        self.know(slot);
        if self.members.get_mut(slot)?.locator.is_none() {
            self.refresh(slot);
        }
        let elapsed = self.tracer.elapsed();
        let raw = self.tracer.read(slot);
        let member = self.members.get_mut(slot)?;
        let locator = member.locator.as_mut()?;
        let samples = locator.samples(&raw, ProcessIndex(0), &mut self.threads);
        let share = self.tracer.share(slot);
        let rates = member.previous_look.map_or_else(AllocRates::default, |(before, stats)| {
            AllocRates::between(&stats, &raw.totals.stats, elapsed.saturating_sub(before))
        });
        member.previous_look = Some((elapsed, raw.totals.stats));
        let info = ProcessInfo {
            pid: member.pid,
            command: member.about.command.to_string(),
            exited: member.has_exited,
            rss_bytes: resident_bytes(member.pid),
            allocators: Vec::new(),
            notes: refused(share.refused_blocks, share.refused_sites),
        };
        Some(Profile {
            taken_at: SystemTime::now(),
            elapsed,
            started_at: None,
            process: info,
            totals: raw.totals,
            own_totals: raw.totals,
            others: Vec::new(),
            rates,
            stack_ids: raw.stacks.iter().map(|stack| stack.id).collect(),
            samples,
            threads: Vec::new(),
            modules: self.files.modules(),
            losses: raw.losses,
            sample_bytes: raw.sample_bytes,
            overhead: self.overhead,
            unfollowed: UnfollowedBytes::default(),
        })
    }

    /// Frames of a process's stacks that no file is behind: functions that it has compiled at run time.
    fn own_frames(&mut self, slot: u32, profile: &Profile) -> Vec<(Location, Frame)> {
        let Some(locator) = self.members.get_mut(slot).and_then(|member| member.locator.as_ref()) else {
            return Vec::new();
        };
        if !locator.has_jit() {
            return Vec::new();
        }
        let locations: BTreeSet<Location> =
            profile.samples.iter().flat_map(|sample| sample.stack.iter().copied()).collect();
        let own = locations.into_iter().filter(|location| location.module != ModuleId::UNKNOWN);
        own.filter_map(|location| Some((location, locator.own_frame(location)?))).collect()
    }

    /// Asks a process who it is.
    pub(super) fn know(&mut self, slot: u32) {
        let Some(member) = self.members.get_mut(slot) else { return };
        let Some(identity) = Identity::of_pid(member.pid) else { return };
        let command = command_of(member.pid).unwrap_or_else(|| format!("[{}]", identity.name));
        let is_same = |about: &About| about.is_known && *about.command == *command && about.uid == identity.user;
        if is_same(&member.about) {
            return;
        }
        let user = self.users.entry(identity.user).or_insert_with(|| user_name(identity.user).into());
        let container = identity.groups.container().map(Arc::from);
        let about =
            About { command: command.into(), uid: identity.user, user: Arc::clone(user), container, is_known: true };
        member.about = Arc::new(about);
    }
}

/// Sentences about what of a process could not be recorded.
fn refused(blocks: u64, stacks: u64) -> Vec<String> {
    let mut notes = Vec::new();
    if blocks > 0 {
        notes.push(format!("{blocks} of its blocks are not recorded: it had its share of the table of live blocks"));
    }
    if stacks > 0 {
        notes.push(format!("{stacks} of its allocations count under no call stack: it had its share of their table"));
    }
    notes
}
