//! The processes that a session follows, besides the one that it is named by: each image of each of them is a member,
//! with its own mappings, counters and call stacks. What a member has done is kept when it is gone (`ended`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, SystemTime},
};

use super::{
    command::CommandLine,
    ended::{Ended, Kept},
    locate::{Locator, Wanted},
    python::Shared as PythonShared,
};
use crate::{
    process::{AddressSpace, MapEvent, MappedFiles, MappingEvent},
    profile::{ProcessIndex, ProcessInfo, ProcessTotals, StackSample, TracedProcess, Unfollowed},
};

/// Mappings of programs that were executed and nobody has asked for are forgotten when there are so many.
const MAX_EXECUTED: usize = 1024;

/// One that nobody has asked for and that maps more is asked itself, if that ever comes.
const MAX_EXECUTED_MAPS: usize = 4096;

/// What a process has done: its counters, its samples, and why the stack of each is incomplete.
pub(super) type Done = (ProcessTotals, Vec<StackSample>, Vec<Option<Unfollowed>>);

/// One image of a process.
#[derive(Debug)]
pub(super) struct Member {
    /// Who it is.
    pub(super) info: ProcessInfo,
    pub(super) command_line: CommandLine,
    /// Where it began: events name it by this slot.
    pub(super) home: u32,
    /// Where it counts; another than `home` once something has been forgotten.
    pub(super) slot: u32,
    pub(super) started_at: Option<SystemTime>,
    /// What it has mapped; `None` when it is gone and what it has done is in the fields below.
    pub(super) locator: Option<Locator>,
    pub(super) totals: ProcessTotals,
    /// CPU time that it had had when what was recorded was forgotten.
    pub(super) earlier: Duration,
    kept: Kept,
    /// It had ended when what was recorded was forgotten, and has its slot still.
    pub(super) is_forgotten: bool,
}

/// The members.
#[derive(Debug)]
pub(super) struct Family {
    /// All of them, in the order in which they appeared; places of those that are added up elsewhere are used again, so that
    /// a member's place, which views know it by, stays the same.
    places: Vec<Option<Member>>,
    vacant: BTreeSet<usize>,
    /// Members that have a slot, by where they began and where they count.
    by_slot: BTreeMap<u32, usize>,
    /// Images that run.
    by_pid: HashMap<u32, usize>,
    /// What was mapped for a program that is being executed.
    executed: HashMap<u32, Vec<MapEvent>>,
    files: MappedFiles,
    wanted: Wanted,
    python: PythonShared,
    ended: Ended,
    /// Most bytes that lived in all of them at a reading, or in one of them at any time.
    peak_bytes: u64,
}

impl Family {
    /// None but the process that the session is named by, whose files and wishes they share.
    pub(super) fn new(files: MappedFiles, wanted: Wanted, python: PythonShared) -> Self {
        let (places, vacant, by_slot, by_pid, executed, ended, peak_bytes) = Default::default();
        Self { places, vacant, by_slot, by_pid, executed, files, wanted, python, ended, peak_bytes }
    }

    /// The member that counts, or has begun, in a slot.
    pub(super) fn in_slot(&mut self, slot: u32) -> Option<(ProcessIndex, &mut Member)> {
        let place = *self.by_slot.get(&slot)?;
        let index = self.index(place);
        Some((index, self.places.get_mut(place)?.as_mut()?))
    }

    /// The same, to look at.
    pub(super) fn member_in(&self, slot: u32) -> Option<&Member> {
        self.places.get(*self.by_slot.get(&slot)?)?.as_ref()
    }

    /// Members whose counters are still in their slots: few, of however many there have been.
    pub(super) fn counting(&mut self) -> impl Iterator<Item = &mut Member> {
        let counting: BTreeSet<usize> = self.by_slot.values().copied().collect();
        let mut rest = &mut self.places[..];
        let mut before = 0;
        counting.into_iter().filter_map(move |place| {
            let (member, behind) = std::mem::take(&mut rest).get_mut(place - before..)?.split_first_mut()?;
            (rest, before) = (behind, place + 1);
            member.as_mut()
        })
    }

    /// All members that are by themselves.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.places.iter().flatten()
    }

    /// Counters of those that are added up.
    pub(super) fn folded_totals(&self) -> impl Iterator<Item = &ProcessTotals> {
        self.ended.totals()
    }

    /// As snapshots have them.
    pub(super) fn processes(&self) -> impl Iterator<Item = TracedProcess> {
        let members = self.places.iter().flatten().map(|member| TracedProcess {
            info: member.info.clone(),
            started_at: member.started_at,
            totals: Some(member.totals),
            further: 0,
        });
        members.chain(self.ended.processes())
    }

    /// Samples of all that are gone.
    pub(super) fn kept(&self) -> impl Iterator<Item = (StackSample, Option<Unfollowed>)> {
        let members = self.places.iter().flatten();
        let first = 1 + u32::try_from(self.places.len() - self.vacant.len()).unwrap_or(u32::MAX);
        let own = (1..).map(ProcessIndex).zip(members).flat_map(|(index, member)| member.kept.samples(index));
        own.chain(self.ended.samples(first))
    }

    /// The peak of all of them, as far as readings tell, of which this is one.
    pub(super) fn peak_of_all(&mut self, bytes: u64) -> u64 {
        self.peak_bytes = self.peak_bytes.max(bytes);
        self.peak_bytes
    }

    /// The peak is that of what is live from here on: those that are gone have none.
    pub(super) fn begin_peak(&mut self) {
        self.peak_bytes = 0;
        for member in self.places.iter_mut().flatten().filter(|member| member.locator.is_none()) {
            member.totals.peak_bytes = 0;
        }
        self.ended.forget_peaks();
    }

    /// How many are added up with others.
    pub(super) fn folded(&self) -> u64 {
        self.ended.folded()
    }

    /// A member that has a slot from now on.
    pub(super) fn add(&mut self, member: Member) {
        let place = self.vacant.pop_first().unwrap_or(self.places.len());
        self.by_slot.insert(member.home, place);
        self.by_slot.insert(member.slot, place);
        if !member.info.exited {
            self.by_pid.insert(member.info.pid, place);
        }
        match self.places.get_mut(place) {
            Some(vacant) => *vacant = Some(member),
            None => self.places.push(Some(member)),
        }
    }

    /// What a process has mapped that has just executed a program: as far as events tell, or as it is now.
    pub(super) fn executed(&mut self, pid: u32) -> Locator {
        let mut space = AddressSpace::of_relative(self.files.clone(), pid);
        let maps = self.executed.remove(&pid);
        let is_told = maps.is_some();
        for event in maps.into_iter().flatten() {
            space.apply(&MappingEvent::Map(event));
        }
        let mut locator = Locator::new(space, self.wanted.clone()).with_python(self.python.clone());
        if !is_told {
            locator.refresh();
        }
        locator
    }

    /// The image that runs in a process is there no more.
    pub(super) fn leave(&mut self, pid: u32) {
        let place = self.by_pid.remove(&pid);
        if let Some(member) = place.and_then(|place| self.places.get_mut(place)?.as_mut()) {
            member.info.exited = true;
        }
    }

    /// Takes in a mapping event; gives it back when it is of a process whose image that runs is not a member.
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
                let pid = map.pid;
                let maps = self.executed.entry(pid).or_default();
                maps.push(map);
                if maps.len() > MAX_EXECUTED_MAPS {
                    self.executed.remove(&pid);
                }
                None
            }
            MappingEvent::Map(map) => match self.by_pid.get(&map.pid) {
                Some(place) => {
                    let member = self.places.get_mut(*place).and_then(Option::as_mut);
                    if let Some(locator) = member.and_then(|member| member.locator.as_mut()) {
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

    /// The slot of a member that is gone is given to others: what it has done is kept.
    pub(super) fn keep(&mut self, slot: u32, done: Done) {
        let Some(place) = self.by_slot.get(&slot).copied() else { return };
        let Some(member) = self.places.get_mut(place).and_then(Option::as_mut) else { return };
        self.by_slot.remove(&member.home);
        self.by_slot.remove(&member.slot);
        if member.is_forgotten {
            drop(self.vacate(place));
            return;
        }
        member.locator = None;
        (member.totals, member.kept) = self.ended.keep(place, done);
        while let Some(place) = self.ended.take_surplus() {
            if let Some(member) = self.vacate(place) {
                self.ended.fold(&member.info.command, &member.totals, member.kept);
            }
        }
    }

    /// Forgets all that is gone. What runs has begun anew in other slots: see [`Self::move_to`].
    pub(super) fn forget(&mut self) {
        self.ended = Ended::default();
        self.peak_bytes = 0;
        for place in 0..self.places.len() {
            let Some(member) = &mut self.places[place] else { continue };
            if member.locator.is_none() {
                drop(self.vacate(place));
            } else if member.info.exited {
                (member.totals, member.is_forgotten) = (ProcessTotals::default(), true);
            }
        }
    }

    /// The member that began in slot `home` counts in another slot from now on; returns the one before, if it is not that
    /// in which it began.
    pub(super) fn move_to(&mut self, home: u32, slot: u32, cpu: Duration) -> Option<u32> {
        let place = *self.by_slot.get(&home)?;
        let member = self.places.get_mut(place)?.as_mut()?;
        member.earlier = cpu;
        let before = std::mem::replace(&mut member.slot, slot);
        if before != home {
            self.by_slot.remove(&before);
        }
        self.by_slot.insert(slot, place);
        (before != home).then_some(before)
    }

    fn vacate(&mut self, place: usize) -> Option<Member> {
        let member = self.places.get_mut(place)?.take()?;
        self.vacant.insert(place);
        if self.by_pid.get(&member.info.pid) == Some(&place) {
            self.by_pid.remove(&member.info.pid);
        }
        Some(member)
    }

    /// What samples name the member at a place by.
    fn index(&self, place: usize) -> ProcessIndex {
        let before = self.vacant.range(..place).count();
        ProcessIndex(u32::try_from(1 + place - before).unwrap_or(u32::MAX))
    }
}

impl Member {
    /// A process that runs.
    pub(super) fn running(pid: u32, slot: u32, command: String, locator: Locator) -> Self {
        let info = ProcessInfo { pid, command, ..ProcessInfo::default() };
        let (command_line, totals, earlier, kept) = Default::default();
        let (started_at, locator) = (Some(SystemTime::now()), Some(locator));
        Self { info, command_line, home: slot, slot, started_at, locator, totals, earlier, kept, is_forgotten: false }
    }
}
