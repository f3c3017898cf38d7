//! Adds samples up by group: what reports, comparisons and trees are made from.
//!
//! Stacks are met many times (by processes, threads, domains, files), and their frames many more. So equal stacks are
//! added up first, each location's names become numbers once, and the rest is arithmetic.

use std::sync::Arc;

use super::{
    AllocStats, GroupBy, GroupName, Modules, SiteNamer, Snapshot, StackSample, SymbolTable, TracedProcess,
    TracedThread,
    filter::{Filters, Verdict},
    frame_keys::FrameKeys,
    owners::Owners,
    path_key::PathKeys,
    stack_keys::{StackKeys, StackReader},
};
use crate::number_hash::NumberMap;

/// Samples with what their numbers refer to.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    /// A record a call stack.
    pub samples: &'a [StackSample],
    /// Names of their locations.
    pub symbols: &'a SymbolTable,
    /// Files of their locations.
    pub modules: &'a Modules,
    /// Their processes; may be empty when nothing is known of them.
    pub processes: &'a [TracedProcess],
    /// Their threads.
    pub threads: &'a [TracedThread],
}

impl<'a> From<&'a Snapshot> for Samples<'a> {
    fn from(snapshot: &'a Snapshot) -> Self {
        Self {
            samples: &snapshot.samples,
            symbols: &snapshot.symbols,
            modules: &snapshot.modules,
            processes: &snapshot.processes,
            threads: &snapshot.threads,
        }
    }
}

/// Which frame of a stack its samples belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SiteRule {
    /// The one that [`SiteNamer`] chooses: the innermost function, inlined ones too, that is neither an allocation
    /// wrapper nor of a runtime library.
    #[default]
    Code,
    /// The innermost one, whatever it is: pprof's `flat`.
    Leaf,
}

/// How to group.
#[derive(Debug, Clone, Default)]
pub struct GroupOptions {
    /// By what.
    pub by: GroupBy,
    /// Which frame a sample belongs to.
    pub site: SiteRule,
    /// A sample counts for every group on its stack, once each. Only for [`GroupBy::is_of_frames`].
    pub cumulative: bool,
    /// Which samples.
    pub filters: Filters,
    /// Knows allocation wrappers and runtime libraries.
    pub namer: SiteNamer,
}

impl GroupOptions {
    /// Whether call stacks decide anything.
    fn looks_at_stacks(&self) -> bool {
        !self.by.is_of_owners() || self.filters.look_at_code()
    }
}

/// Whether the same process can have another id in another profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// No: two ids are two processes.
    Same,
    /// Yes, it may have been started anew: processes and threads are recognised by their names where these tell.
    Restarted,
}

/// Sums of some sides (one for a report, two for a comparison) by group.
#[derive(Debug)]
pub(super) struct Tally<const N: usize> {
    /// Each group with its sum on each side, in no order.
    pub(super) groups: Vec<(GroupName, [AllocStats; N])>,
    /// Sum over the samples that pass the filters, by side.
    pub(super) totals: [AllocStats; N],
}

/// A stack with what was allocated through it by owners that are one to the grouping.
pub(super) struct MergedStack<'a> {
    /// Its frames and end are this sample's.
    pub(super) sample: &'a StackSample,
    /// Number of the group of its owner.
    pub(super) owner: u32,
    pub(super) verdict: Verdict,
    pub(super) stats: AllocStats,
}

impl<const N: usize> Tally<N> {
    /// Adds up the samples of each side.
    pub(super) fn of(sides: [&[Samples<'_>]; N], options: &GroupOptions, runs: Runs) -> Self {
        let all: Vec<_> = sides.concat();
        let mut adder = Adder::<N> {
            options,
            frames: frame_keys(&all, options.by),
            owners: Owners::new(&all, options, runs),
            stacks: StackKeys::default(),
            sums: Vec::new(),
            without_stack: [AllocStats::default(); N],
            totals: [AllocStats::default(); N],
        };
        for (side, profiles) in sides.into_iter().enumerate() {
            for samples in profiles {
                adder.add(side, samples);
            }
        }
        adder.finish()
    }
}

/// Keys of places for some profiles.
pub(super) fn frame_keys(all: &[Samples<'_>], by: GroupBy) -> FrameKeys {
    let modules = PathKeys::of(all.iter().map(|side| side.modules.iter().map(|(_, module)| &*module.path)));
    let files = match by {
        GroupBy::File => PathKeys::of(all.iter().map(|side| {
            let frames = side.symbols.iter().flat_map(|(_, frames)| frames.iter());
            frames.filter_map(|frame| frame.source.as_ref()).map(|source| &*source.file)
        })),
        _ => PathKeys::default(),
    };
    FrameKeys::new(by, modules, files)
}

/// Adds up what was allocated through one stack by owners of one group. Stacks that are shared in memory are found to
/// be equal; others only cost time.
pub(super) fn merge<'a>(samples: &Samples<'a>, owners: &mut Owners) -> Vec<MergedStack<'a>> {
    let mut merged: Vec<MergedStack<'a>> = Vec::new();
    let mut numbers: NumberMap<(usize, u32), usize> = NumberMap::default();
    let mut owners = owners.of(samples);
    for sample in samples.samples {
        let (class, owner, verdict) = owners.of(sample);
        let address = sample.stack.as_ptr().addr();
        let index = *numbers.entry((address, class)).or_insert(merged.len());
        match merged.get_mut(index) {
            // Empty stacks may share an address without being one.
            Some(known) if known.sample.stack.len() == sample.stack.len() && known.sample.end == sample.end => {
                known.stats += sample.stats;
            }
            _ => merged.push(MergedStack { sample, owner, verdict, stats: sample.stats }),
        }
    }
    merged
}

struct Adder<'o, const N: usize> {
    options: &'o GroupOptions,
    frames: FrameKeys,
    owners: Owners,
    stacks: StackKeys,
    /// By the number of the group.
    sums: Vec<[AllocStats; N]>,
    without_stack: [AllocStats; N],
    totals: [AllocStats; N],
}

impl<const N: usize> Adder<'_, N> {
    fn add(&mut self, side: usize, samples: &Samples<'_>) {
        if self.options.looks_at_stacks() { self.add_stacks(side, samples) } else { self.add_owners(side, samples) }
    }

    fn add_owners(&mut self, side: usize, samples: &Samples<'_>) {
        let mut owners = self.owners.of(samples);
        for sample in samples.samples {
            let (_, owner, verdict) = owners.of(sample);
            if self.options.filters.passes(verdict) {
                self.totals[side] += sample.stats;
                count(&mut self.sums, side, owner, sample.stats);
            }
        }
    }

    fn add_stacks(&mut self, side: usize, samples: &Samples<'_>) {
        let merged = merge(samples, &mut self.owners);
        let mut reader = StackReader::new(samples, self.options);
        for stack in &merged {
            let frames = reader.read(&stack.sample.stack, &mut self.frames);
            if self.options.filters.passes(stack.verdict.or(frames.verdict)) {
                self.totals[side] += stack.stats;
                self.add_stack(side, stack, &frames);
            }
        }
    }

    fn add_stack(&mut self, side: usize, stack: &MergedStack<'_>, frames: &StackFrames<'_>) {
        let by = self.options.by;
        match frames.site {
            _ if by.is_of_owners() => count(&mut self.sums, side, stack.owner, stack.stats),
            None => self.without_stack[side] += stack.stats,
            Some(_) if by == GroupBy::Stack => {
                let number = self.stacks.number(frames.all, stack.sample.end);
                count(&mut self.sums, side, number, stack.stats);
            }
            Some(_) if self.options.cumulative => {
                for number in frames.all {
                    count(&mut self.sums, side, *number, stack.stats);
                }
            }
            Some(site) => count(&mut self.sums, side, site, stack.stats),
        }
    }

    /// Groups without any allocation are places that were met on stacks only.
    fn finish(self) -> Tally<N> {
        let is_empty = |sums: &[AllocStats; N]| sums.iter().all(|stats| *stats == AllocStats::default());
        let sums = (0..).zip(self.sums).filter(|(_, sums)| !is_empty(sums));
        let name = |number: u32| match self.options.by {
            GroupBy::Stack => self.stacks.name(number, &self.frames),
            by if by.is_of_frames() => GroupName::Place(Arc::clone(self.frames.place(number))),
            _ => self.owners.name(number),
        };
        let mut groups: Vec<_> = sums.map(|(number, sums)| (name(number), sums)).collect();
        if !is_empty(&self.without_stack) {
            groups.push((GroupName::NoStack, self.without_stack));
        }
        Tally { groups, totals: self.totals }
    }
}

/// Adds to the sum of a group.
fn count<const N: usize>(sums: &mut Vec<[AllocStats; N]>, side: usize, group: u32, stats: AllocStats) {
    let group = group as usize;
    if group >= sums.len() {
        sums.resize(group + 1, [AllocStats::default(); N]);
    }
    sums[group][side] += stats;
}

/// What is known of the frames of a stack.
pub(super) struct StackFrames<'a> {
    /// The frame that names it; `None` for a stack without frames.
    pub(super) site: Option<u32>,
    /// Its frames, innermost first. When counting cumulatively, each number once.
    pub(super) all: &'a [u32],
    pub(super) verdict: Verdict,
}
