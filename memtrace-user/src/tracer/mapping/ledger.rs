//! Takes events of the mmap domain out of their ring and keeps the ranges and counters of each process.

use std::{collections::HashMap, io};

use aya::maps::{MapData, RingBuf};
use memtrace_common::{
    loss,
    mapping::{MappingEvent, kind},
};

use super::{
    programs::Programs,
    space::{MappedRange, Space},
};
use crate::{
    process::{AnonymousRange, ProcDir, anonymous_ranges},
    profile::{AllocStats, Domain, LossReason, Losses},
    tracer::mapped::MappedArray,
};

/// Counters of a call site in one domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedStats {
    /// The site.
    pub site: u32,
    /// Its layer.
    pub domain: Domain,
    /// A block is what one call has mapped.
    pub stats: AllocStats,
}

/// Counters by process slot, call site and domain.
#[derive(Debug, Default)]
pub struct Counters {
    slots: HashMap<u32, HashMap<(u32, Domain), AllocStats>>,
    /// Ticks of a mapping's life up to which it is a short one.
    short_life: u32,
}

impl Counters {
    pub fn new(short_life: u32) -> Self {
        Self { slots: HashMap::new(), short_life }
    }

    fn of(&mut self, slot: u32, site: u32, domain: Domain) -> &mut AllocStats {
        self.slots.entry(slot).or_default().entry((site, domain)).or_default()
    }

    /// Counts bytes as mapped; with `is_new`, a block.
    pub fn add(&mut self, slot: u32, site: u32, domain: Domain, bytes: u64, is_new: bool) {
        let stats = self.of(slot, site, domain);
        stats.allocated_bytes += bytes;
        stats.allocated_blocks += u64::from(is_new);
    }

    /// Counts bytes as unmapped; with `age`, in ticks, they were the last of a block.
    pub fn take(&mut self, slot: u32, site: u32, domain: Domain, bytes: u64, age: Option<u32>) {
        let short_life = self.short_life;
        let stats = self.of(slot, site, domain);
        stats.freed_bytes += bytes;
        stats.freed_blocks += u64::from(age.is_some());
        stats.short_lived_blocks += u64::from(age.is_some_and(|age| age <= short_life));
    }

    /// Bytes that were counted as unmapped are there after all; with `is_whole`, a block is.
    pub fn untake(&mut self, slot: u32, site: u32, domain: Domain, bytes: u64, is_whole: bool) {
        let stats = self.of(slot, site, domain);
        stats.freed_bytes -= bytes;
        stats.freed_blocks -= u64::from(is_whole);
    }

    /// The counters of a slot.
    pub fn of_slot(&self, slot: u32) -> impl Iterator<Item = MappedStats> + '_ {
        let sites = self.slots.get(&slot).into_iter().flatten();
        sites.map(|(&(site, domain), &stats)| MappedStats { site, domain, stats })
    }
}

/// A traced process.
#[derive(Debug)]
struct Process {
    /// `None` of one that had ended when its events were taken in.
    directory: Option<ProcDir>,
    slot: u32,
    space: Space,
}

impl Process {
    /// One that an event tells of. `same_ids`: it can be looked up by its id in the initial namespace.
    fn made(event: &MappingEvent, space: Space, same_ids: bool) -> Self {
        let directory = if same_ids { ProcDir::open(event.tgid).ok() } else { None };
        Self { directory, slot: event.slot, space }
    }

    /// Takes what is mapped as what was there before. Events that are still in the ring may tell of a part of it: they are
    /// taken in later and come to the same.
    fn begin(&mut self, slot: u32) {
        self.slot = slot;
        let ranges = self.ranges().unwrap_or_else(|error| {
            log::debug!("what is mapped at the beginning is not known: {error}");
            Vec::new()
        });
        self.space.begin(&ranges);
    }

    /// What the kernel says that it has mapped; nothing when it has ended.
    fn ranges(&self) -> io::Result<Vec<AnonymousRange>> {
        self.directory.as_ref().map_or_else(|| Ok(Vec::new()), anonymous_ranges)
    }
}

/// The ranges and counters of the mmap domain.
pub struct Ledger {
    ring: RingBuf<MapData>,
    losses: MappedArray<u64>,
    programs: Programs,
    processes: HashMap<u32, Process>,
    counters: Counters,
    /// memtrace counts process ids as the initial namespace does: children can be looked up.
    same_ids: bool,
    /// Events that were lost, when the ranges were set right.
    corrected_at: u64,
    /// Ranges for which there was no room.
    refused: u64,
}

impl Ledger {
    /// Of the ring, the array of losses and the attached programs.
    #[must_use]
    pub fn new(ring: RingBuf<MapData>, losses: MappedArray<u64>, programs: Programs, short_life: u32) -> Self {
        let counters = Counters::new(short_life);
        Self {
            ring,
            losses,
            programs,
            processes: HashMap::new(),
            counters,
            same_ids: false,
            corrected_at: 0,
            refused: 0,
        }
    }

    /// Begins with a process, after its events; `pid` is its id as memtrace counts, `tgid` in the initial namespace. Without
    /// a slot it will come with the process's exec.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn begin(&mut self, tgid: u32, pid: u32, slot: Option<u32>) -> io::Result<()> {
        self.same_ids = tgid == pid;
        let directory = Some(ProcDir::open(pid)?);
        let mut process = Process { directory, slot: 0, space: Space::default() };
        if let Some(slot) = slot {
            process.begin(slot);
        }
        self.processes.insert(tgid, process);
        Ok(())
    }

    /// Takes in what has happened.
    pub fn update(&mut self) {
        // Before events are taken out: what came before a lost one must not be taken in after the ranges have been set right.
        let lost = self.lost();
        self.drain();
        if lost == self.corrected_at {
            return;
        }
        self.corrected_at = lost;
        for process in self.processes.values_mut() {
            match process.ranges() {
                Ok(ranges) if !ranges.is_empty() => {
                    process.space.correct(&ranges, process.slot, 0, &mut self.counters);
                }
                Ok(_) => {}
                Err(error) => log::debug!("mappings are not set right: {error}"),
            }
        }
        self.drain();
    }

    /// Events that were lost so far: those for which the ring had no room, and those that were left out.
    fn lost(&self) -> u64 {
        self.losses.load(loss::MAPPING_DROPPED, 0) + self.programs.left_out()
    }

    /// Whether every system call of every process is slowed down.
    pub const fn slows_all_calls(&self) -> bool {
        self.programs.slow_all_calls()
    }

    /// Adds what the kernel's counters do not tell.
    pub fn add_losses(&self, losses: &mut Losses) {
        losses.add(LossReason::MappingDropped, self.programs.left_out());
        losses.add(LossReason::LiveFull, self.refused);
    }

    /// The counters of a slot.
    pub fn stats(&self, slot: u32) -> impl Iterator<Item = MappedStats> + '_ {
        self.counters.of_slot(slot)
    }

    /// The ranges of a process.
    #[must_use]
    pub fn ranges(&self, tgid: u32) -> Vec<MappedRange> {
        self.processes.get(&tgid).map(|process| process.space.ranges().collect()).unwrap_or_default()
    }

    /// A process's calls are counted in another slot from now on, and what it has mapped counts as from before.
    pub fn begin_era(&mut self, before: u32, slot: u32) {
        self.update();
        for process in self.processes.values_mut().filter(|process| process.slot == before) {
            process.space.forget(before);
            process.slot = slot;
        }
    }

    /// Forgets the counters of a slot.
    pub fn empty_slot(&mut self, slot: u32) {
        self.drain();
        self.counters.slots.remove(&slot);
    }

    /// Forgets a slot in which no process counts any more.
    pub fn release_slot(&mut self, slot: u32) {
        self.empty_slot(slot);
        self.processes.retain(|_, process| process.slot != slot);
    }

    /// A child has its parent's ranges, as from before.
    fn fork(&mut self, event: &MappingEvent) {
        let parent = u32::try_from(event.start).ok().and_then(|parent| self.processes.get(&parent));
        let space = parent.map(|parent| parent.space.inherited()).unwrap_or_default();
        let child = Process::made(event, space, self.same_ids);
        self.processes.insert(event.tgid, child);
    }

    fn drain(&mut self) {
        while let Some(event) = self.ring.next().map(|bytes| parse(&bytes)) {
            let Some(event) = event else { continue };
            if event.kind == kind::FORK {
                self.fork(&event);
                continue;
            }
            // A child that shares its parent's memory until it executes a program.
            let process = self.processes.entry(event.tgid).or_insert_with(|| {
                let mut process = Process::made(&event, Space::default(), self.same_ids);
                process.begin(event.slot);
                process
            });
            if event.kind == kind::EXEC {
                process.begin(event.slot);
            } else if !process.space.apply(&event, &mut self.counters) {
                self.refused += 1;
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Option<MappingEvent> {
    let small = |index: usize| Some(u32::from_ne_bytes(bytes.get(index * 4..index * 4 + 4)?.try_into().ok()?));
    let large = |index: usize| Some(u64::from_ne_bytes(bytes.get(index * 8..index * 8 + 8)?.try_into().ok()?));
    Some(MappingEvent {
        kind: small(0)?,
        tgid: small(1)?,
        tid: small(2)?,
        slot: small(3)?,
        site: small(4)?,
        ticks: small(5)?,
        protection: small(6)?,
        flags: small(7)?,
        in_allocator: small(8)?,
        padding: 0,
        start: large(5)?,
        length: large(6)?,
        result: large(7)?,
    })
}
