//! Reads the maps into a [`RawProfile`].

mod stacks;

use std::{mem::offset_of, ops::Range, time::Duration};

use memtrace_common::{
    loss,
    process::{HIT_PARTS, HitsRecord, ProcessRecord, current},
    sampling::BLOCK_BITS,
    site::{self, RELEASED, SiteRecord},
    steps,
};

use self::stacks::KnownStack;
use super::{SAMPLING_STEP, choice::Choice, eras::SITE_COUNTERS, mapped::MappedArray, mapping::MappedStats};
use crate::number_hash::NumberMap;
use crate::profile::{AllocStats, Hits, LossReason, Losses, ProcessTotals, RawProfile, RawStack, Unfollowed};

/// The kernel's counters of losses, by what they mean here.
const LOSS_REASONS: [(u32, LossReason); loss::COUNT as usize] = [
    (loss::NO_THREAD_STATE, LossReason::NoThreadState),
    (loss::NEVER_RETURNED, LossReason::NeverReturned),
    (loss::UNPAIRED_RETURN, LossReason::UnpairedReturn),
    (loss::LIVE_FULL, LossReason::LiveFull),
    (loss::SITES_FULL, LossReason::SitesFull),
    (loss::FRAMES_FULL, LossReason::FramesFull),
    (loss::MISSED_FREE, LossReason::MissedFree),
    (loss::ADDRESS_RANGE, LossReason::AddressRange),
    (loss::UNREADABLE_RESULT, LossReason::UnreadableResult),
    (loss::EVENT_DROPPED, LossReason::EventDropped),
    (loss::LATE_PROBES, LossReason::LateProbes),
    (loss::NO_SLOT, LossReason::NoSlot),
    (loss::MAPPING_DROPPED, LossReason::MappingDropped),
    (loss::PYTHON_CODE, LossReason::PythonCode),
    (loss::SHARE_OF_BLOCKS, LossReason::ShareOfBlocks),
    (loss::SHARE_OF_SITES, LossReason::ShareOfSites),
];

/// Above all numbers of sites.
const DOMAIN_SHIFT: u32 = 24;
const _: () = assert!(site::SITES <= 1 << DOMAIN_SHIFT);

/// The maps that are read.
#[derive(Debug)]
pub struct Maps {
    /// How far tables have been used, and read.
    pub cursors: MappedArray<u64>,
    /// Counters of processes.
    pub processes: MappedArray<ProcessRecord>,
    /// Probe hits of processes, in parts.
    pub hits: MappedArray<HitsRecord>,
    /// Counters of call stacks.
    pub sites: MappedArray<SiteRecord>,
    /// Frames of call stacks.
    pub frames: MappedArray<u64>,
    /// Losses.
    pub losses: MappedArray<u64>,
}

/// Where the parts of a slot's hits are.
pub(super) fn parts_of(slot: u32) -> Range<u32> {
    slot * HIT_PARTS..(slot + 1) * HIT_PARTS
}

/// Reads on from where it stopped, so that a reading costs what is new plus a few nanoseconds a stack.
#[derive(Debug)]
pub struct Reader {
    maps: Maps,
    /// Stacks are followed by words that name their thread.
    per_thread: bool,
    /// How blocks are chosen.
    choice: Choice,
    /// Losses that are told no more.
    forgotten: Losses,
    /// Words of `frames` read, of all that were ever appended.
    next_word: u64,
    /// Where the stacks of sites are: process slot, and place in its list.
    seen_sites: NumberMap<u32, (u32, usize)>,
    /// Stacks that were followed in user space, of sites that have not been read yet.
    replacements: NumberMap<u32, (Vec<u64>, u64)>,
    stacks: NumberMap<u32, Vec<KnownStack>>,
}

impl Reader {
    /// A reader that has seen nothing yet.
    #[must_use]
    pub fn new(maps: Maps, per_thread: bool, choice: Choice) -> Self {
        let (forgotten, seen_sites, replacements, stacks) = Default::default();
        if let Choice::Steps { first, .. } = choice {
            maps.cursors.store(SAMPLING_STEP, 0, first);
        }
        Self { maps, per_thread, choice, forgotten, next_word: 0, seen_sites, replacements, stacks }
    }

    /// The maps.
    #[must_use]
    pub const fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Bytes of maps that are seen as memory.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        let Maps { cursors, processes, hits, sites, frames, losses } = &self.maps;
        cursors.bytes() + processes.bytes() + hits.bytes() + sites.bytes() + frames.bytes() + losses.bytes()
    }

    /// Reads the counters of a process slot.
    #[must_use]
    pub fn read(&mut self, slot: u32, elapsed: Duration) -> RawProfile {
        self.take_new_stacks();
        let stacks = self.stacks.get(&slot).map_or(&[][..], Vec::as_slice);
        let mut stacks: Vec<RawStack> = stacks
            .iter()
            .map(|stack| RawStack { stats: self.stats(stack.site), ..stack.raw() })
            // What was forgotten leaves stacks without numbers.
            .filter(|stack| stack.stats != AllocStats::default())
            .collect();
        stacks.extend(self.unattributed(slot));
        let mut totals = self.totals(slot);
        totals.stats = stacks.iter().map(|stack| stack.stats).sum();
        RawProfile { elapsed, totals, stacks, losses: self.losses(), sample_bytes: self.choice.mean(self.step()) }
    }

    /// The step at which blocks are chosen.
    #[must_use]
    pub fn step(&self) -> u64 {
        if self.choice == Choice::All { steps::ALL } else { self.maps.cursors.load(SAMPLING_STEP, 0) }
    }

    /// How often the probes of a slot's process have been hit.
    #[must_use]
    pub fn hits(&self, slot: u32) -> Hits {
        let sum = |offset| parts_of(slot).map(|part| self.maps.hits.load(part, offset)).sum();
        let entries = sum(offset_of!(HitsRecord, entries));
        let returns = if self.choice == Choice::All { entries } else { sum(offset_of!(HitsRecord, returns)) };
        Hits { entries, returns, releases: sum(offset_of!(HitsRecord, releases)) }
    }

    /// CPU time of the threads of a slot's process that have ended.
    #[must_use]
    pub fn ended_cpu_time(&self, slot: u32) -> Duration {
        Duration::from_nanos(self.maps.processes.load(slot, offset_of!(ProcessRecord, ended_nanos)))
    }

    /// Mean bytes of the blocks that a slot's process has allocated; 0 when there are none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean of which two digits matter")]
    pub fn mean_block(&mut self, slot: u32) -> f64 {
        self.take_new_stacks();
        let sum: AllocStats = self.stacks.get(&slot).into_iter().flatten().map(|stack| self.stats(stack.site)).sum();
        sum.allocated_bytes as f64 / sum.allocated_blocks.max(1) as f64
    }

    /// The counters of a process slot without its call stacks.
    #[must_use]
    pub fn sums(&mut self, slot: u32) -> ProcessTotals {
        self.take_new_stacks();
        let sites = self.stacks.get(&slot).into_iter().flatten().map(|stack| stack.site).chain([slot]);
        let stats = sites.map(|site| self.stats(site)).sum();
        ProcessTotals { stats, ..self.totals(slot) }
    }

    /// Adds what the process has mapped by itself. The process's totals are of blocks alone.
    pub fn add_mapped(&mut self, slot: u32, mapped: impl Iterator<Item = MappedStats>, profile: &mut RawProfile) {
        self.take_new_stacks();
        let known = self.stacks.get(&slot).map_or(&[][..], Vec::as_slice);
        let known: NumberMap<u32, &KnownStack> = known.iter().map(|stack| (stack.site, stack)).collect();
        profile.stacks.extend(mapped.map(|MappedStats { site, domain, stats }| {
            let stack = known.get(&site).map_or_else(
                || RawStack { id: site, unfollowed: Some(Unfollowed::NotKept), ..RawStack::default() },
                |known| known.raw(),
            );
            // Part of what a site has mapped may be in another domain.
            RawStack { id: site | (domain as u32) << DOMAIN_SHIFT, domain, stats, ..stack }
        }));
    }

    /// Gives a site another stack than the one that BPF stored. The site need not have been read yet.
    pub fn replace_stack(&mut self, site: u32, (addresses, end): (Vec<u64>, u64)) {
        // There may be as many as there are sites: none is searched for.
        let place = self.seen_sites.get(&site);
        let known = place.and_then(|(slot, index)| self.stacks.get_mut(slot)?.get_mut(*index));
        match known {
            Some(stack) => {
                stack.addresses = addresses.into();
                stack.end = end;
            }
            None => drop(self.replacements.insert(site, (addresses, end))),
        }
    }

    /// The stack of a site of a slot, without its counters. Empty where it is not known.
    #[must_use]
    pub fn stack_of(&mut self, slot: u32, site: u32) -> RawStack {
        self.take_new_stacks();
        let known = self.stacks.get(&slot).and_then(|stacks| stacks.iter().find(|stack| stack.site == site));
        known.map_or_else(|| RawStack { id: site, ..RawStack::default() }, KnownStack::raw)
    }

    /// Sites that a slot has counted under, the one for what has no stack included.
    pub fn sites_of(&mut self, slot: u32) -> impl Iterator<Item = u32> {
        self.take_new_stacks();
        self.stacks.get(&slot).into_iter().flatten().map(|stack| stack.site).chain([slot])
    }

    /// Losses up to here are told no more.
    pub fn forget_losses(&mut self) {
        self.forgotten = self.all_losses();
    }

    /// Counts a loss.
    pub fn count_loss(&self, reason: LossReason) {
        if let Some((index, _)) = LOSS_REASONS.iter().find(|(_, known)| *known == reason) {
            self.maps.losses.words(*index)[0].fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        }
    }

    /// What found no room in the tables: counted, under no stack.
    fn unattributed(&self, slot: u32) -> Option<RawStack> {
        let stats = self.stats(slot);
        (stats.allocated_blocks > 0).then(|| RawStack {
            id: slot,
            unfollowed: Some(Unfollowed::NotKept),
            stats,
            ..RawStack::default()
        })
    }

    /// Gives back a slot's sites, which no program uses any more.
    pub fn release(&mut self, slot: u32) {
        for stack in self.stacks.remove(&slot).unwrap_or_default() {
            self.seen_sites.remove(&stack.site);
            self.replacements.remove(&stack.site);
            for offset in SITE_COUNTERS {
                self.maps.sites.store(stack.site, offset, 0);
            }
            self.maps.sites.store(stack.site, offset_of!(SiteRecord, hash), RELEASED);
        }
        for offset in SITE_COUNTERS {
            self.maps.sites.store(slot, offset, 0);
        }
    }

    /// Short-lived before freed before allocated: all only grow, so a reading in between cannot show more freed than
    /// allocated.
    fn stats(&self, site: u32) -> AllocStats {
        let load = |offset| self.maps.sites.load(site, offset);
        let is_sampled = self.choice != Choice::All;
        let blocks = |offset| if is_sampled { rounded(load(offset)) } else { load(offset) };
        let variance = |offset| if is_sampled { u128::from(load(offset)) << self.choice.variance_shift() } else { 0 };
        let short_lived_blocks = blocks(offset_of!(SiteRecord, short_lived));
        let freed_blocks = blocks(offset_of!(SiteRecord, freed_blocks));
        let freed_bytes = load(offset_of!(SiteRecord, freed_bytes));
        let freed_variance = variance(offset_of!(SiteRecord, freed_variance));
        AllocStats {
            allocated_blocks: blocks(offset_of!(SiteRecord, allocated_blocks)),
            allocated_bytes: load(offset_of!(SiteRecord, allocated_bytes)),
            freed_blocks,
            freed_bytes,
            short_lived_blocks,
            allocated_variance: variance(offset_of!(SiteRecord, allocated_variance)),
            freed_variance,
        }
    }

    fn totals(&self, slot: u32) -> ProcessTotals {
        let load = |offset| self.maps.processes.load(slot, offset);
        let Hits { entries, returns, releases } = self.hits(slot);
        let now = load(offset_of!(ProcessRecord, current));
        let peak = load(offset_of!(ProcessRecord, peaks) + 8 * current::peak(now));
        ProcessTotals {
            current_bytes: current::bytes(now),
            // A program adds first and raises the peak a moment later.
            peak_bytes: peak.max(current::bytes(now)),
            stats: AllocStats::default(),
            failed_calls: load(offset_of!(ProcessRecord, failed_calls)),
            unknown_frees: load(offset_of!(ProcessRecord, unknown_frees)),
            entry_hits: entries,
            return_hits: returns,
            release_hits: releases,
            cpu_nanos: load(offset_of!(ProcessRecord, ended_nanos)),
        }
    }

    /// What could not be recorded, of all processes.
    #[must_use]
    pub fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        for (reason, count) in self.all_losses().iter() {
            losses.add(reason, count.saturating_sub(self.forgotten.count(reason)));
        }
        losses
    }

    fn all_losses(&self) -> Losses {
        let mut losses = Losses::default();
        for (index, reason) in LOSS_REASONS {
            losses.add(reason, self.maps.losses.load(index, 0));
        }
        losses
    }
}

/// The whole blocks of a number with a fraction.
const fn rounded(blocks: u64) -> u64 {
    (blocks + (1 << (BLOCK_BITS - 1))) >> BLOCK_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reason that the kernel counts is read, and each reason of the profile is fed by one.
    #[test]
    fn loss_reasons_map_one_to_one() {
        for (index, (kernel, _)) in LOSS_REASONS.iter().enumerate() {
            assert_eq!(*kernel as usize, index);
        }
        for reason in LossReason::all() {
            assert_eq!(LOSS_REASONS.iter().filter(|(_, mapped)| *mapped == reason).count(), 1);
        }
    }
}
