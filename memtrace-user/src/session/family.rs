//! The processes that a session follows, besides the one that it is named by: each image of each of them is a member,
//! with its own mappings, counters and call stacks. What a member has done is kept when it is gone.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::SystemTime,
};

use super::locate::{Locator, Wanted};
use crate::{
    process::{AddressSpace, MapEvent, MappedFiles, MappingEvent},
    profile::{CallStack, ProcessIndex, ProcessInfo, ProcessTotals, StackSample, TracedProcess, Unfollowed},
};

/// Mappings of programs that were executed and nobody has asked for are forgotten when there are so many.
const MAX_EXECUTED: usize = 1024;

/// One image of a process.
#[derive(Debug)]
pub(super) struct Member {
    /// Who it is.
    pub(super) info: ProcessInfo,
    /// Where it counts.
    pub(super) slot: u32,
    pub(super) started_at: Option<SystemTime>,
    /// What it has mapped; `None` when it is gone and what it has done is in the fields below.
    pub(super) locator: Option<Locator>,
    pub(super) totals: ProcessTotals,
    pub(super) samples: Vec<StackSample>,
    pub(super) unfollowed: Vec<Option<Unfollowed>>,
}

/// The members.
#[derive(Debug)]
pub(super) struct Family {
    /// All of them, in the order in which they appeared.
    members: Vec<Member>,
    /// Members that have a slot.
    by_slot: BTreeMap<u32, usize>,
    /// Images that run.
    by_pid: HashMap<u32, usize>,
    /// What was mapped for a program that is being executed.
    executed: HashMap<u32, Vec<MapEvent>>,
    files: MappedFiles,
    wanted: Wanted,
    /// Call stacks of members that are gone, each once.
    stacks: HashSet<CallStack>,
}

impl Family {
    /// None but the process that the session is named by, whose files and wishes they share.
    pub(super) fn new(files: MappedFiles, wanted: Wanted) -> Self {
        let (members, by_slot, by_pid, executed, stacks) = Default::default();
        Self { members, by_slot, by_pid, executed, files, wanted, stacks }
    }

    /// All members.
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member that counts in a slot.
    pub(super) fn in_slot(&mut self, slot: u32) -> Option<(ProcessIndex, &mut Member)> {
        let index = *self.by_slot.get(&slot)?;
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        Some((ProcessIndex(number), self.members.get_mut(index)?))
    }

    /// Members whose counters are still in their slots, by slot.
    pub(super) fn counting(&mut self) -> impl Iterator<Item = (u32, &mut Locator)> {
        // Few, of however many there have been.
        let Self { members, by_slot, .. } = self;
        let mut places: Vec<usize> = by_slot.values().copied().collect();
        places.sort_unstable();
        let mut rest = &mut members[..];
        let mut before = 0;
        places.into_iter().filter_map(move |place| {
            let (member, behind) = std::mem::take(&mut rest).get_mut(place - before..)?.split_first_mut()?;
            (rest, before) = (behind, place + 1);
            Some((member.slot, member.locator.as_mut()?))
        })
    }

    /// As snapshots have them.
    pub(super) fn processes(&self) -> impl Iterator<Item = TracedProcess> {
        self.members.iter().map(|member| TracedProcess {
            info: member.info.clone(),
            started_at: member.started_at,
            totals: Some(member.totals),
        })
    }

    /// A member that has a slot from now on.
    pub(super) fn add(&mut self, member: Member) {
        self.by_slot.insert(member.slot, self.members.len());
        if !member.info.exited {
            self.by_pid.insert(member.info.pid, self.members.len());
        }
        self.members.push(member);
    }

    /// What a process has mapped that has just executed a program: as far as events tell, or as it is now.
    pub(super) fn executed(&mut self, pid: u32) -> Locator {
        let mut space = AddressSpace::of_relative(self.files.clone(), pid);
        let maps = self.executed.remove(&pid);
        let is_told = maps.is_some();
        for event in maps.into_iter().flatten() {
            space.apply(&MappingEvent::Map(event));
        }
        let mut locator = Locator::new(space, self.wanted.clone());
        if !is_told {
            locator.refresh();
        }
        locator
    }

    /// The image that runs in a process is there no more.
    pub(super) fn leave(&mut self, pid: u32) {
        if let Some(index) = self.by_pid.remove(&pid) {
            self.members[index].info.exited = true;
        }
    }

    /// Takes in a mapping event; `false` when it is of a process whose image that runs is not a member.
    pub(super) fn apply(&mut self, event: MappingEvent) -> Option<MappingEvent> {
        match event {
            MappingEvent::Exec { pid } => {
                if self.executed.len() > MAX_EXECUTED {
                    self.executed.clear();
                }
                self.executed.insert(pid, Vec::new());
                None
            }
            MappingEvent::Map(map) if self.executed.contains_key(&map.pid) => {
                self.executed.entry(map.pid).or_default().push(map);
                None
            }
            MappingEvent::Map(map) => match self.by_pid.get(&map.pid) {
                Some(index) => {
                    if let Some(locator) = &mut self.members[*index].locator {
                        locator.apply(&MappingEvent::Map(map));
                    }
                    None
                }
                None => Some(MappingEvent::Map(map)),
            },
            MappingEvent::Exit { pid, tid } if pid == tid => {
                self.executed.remove(&pid);
                None
            }
            other @ MappingEvent::Exit { .. } => Some(other),
        }
    }

    /// A member's slot is given to others: what it has done is kept.
    pub(super) fn keep(&mut self, slot: u32, done: (ProcessTotals, Vec<StackSample>, Vec<Option<Unfollowed>>)) {
        let Some(index) = self.by_slot.remove(&slot) else { return };
        let (totals, mut samples, unfollowed) = done;
        for sample in &mut samples {
            match self.stacks.get(&sample.stack) {
                Some(known) => sample.stack = CallStack::clone(known),
                None => drop(self.stacks.insert(CallStack::clone(&sample.stack))),
            }
        }
        let member = &mut self.members[index];
        (member.totals, member.samples, member.unfollowed) = (totals, samples, unfollowed);
        member.locator = None;
    }
}

impl Member {
    /// A process that runs.
    pub(super) fn running(pid: u32, slot: u32, command: String, locator: Locator) -> Self {
        let info = ProcessInfo { pid, command, ..ProcessInfo::default() };
        let (totals, samples, unfollowed) = Default::default();
        Self { info, slot, started_at: Some(SystemTime::now()), locator: Some(locator), totals, samples, unfollowed }
    }
}
