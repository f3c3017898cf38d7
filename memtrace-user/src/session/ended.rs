//! What processes that are gone have done. Those that allocated most stay as they were; the others are added up by the name of
//! their program, so that memory is bounded however many come and go.

use std::collections::{BTreeMap, BTreeSet};

use super::family::Done;
use crate::number_hash::{NumberMap, NumberSet};
use crate::profile::{
    AllocStats, CallStack, Domain, Location, ModuleId, ProcessIndex, ProcessInfo, ProcessTotals, StackEnd, StackSample,
    ThreadIndex, TracedProcess, Unfollowed,
};

/// Processes that are gone and kept by themselves, at most.
pub(super) const MOST_OWN: usize = 1000;

/// Call stacks of them together, at most: some 120 MiB. A compiler has five to ten thousand.
const MOST_SAMPLES: usize = 1 << 20;

/// Names of programs under which others are added up, at most.
const MOST_NAMES: usize = 256;

/// Call stacks of the sums together, at most.
const MOST_IN_SUMS: usize = 1 << 17;

/// A call stack of a process that is gone; its numbers are beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Path {
    stack: CallStack,
    end: StackEnd,
    domain: Domain,
    thread: Option<ThreadIndex>,
    unfollowed: Option<Unfollowed>,
}

/// What one of them has done.
#[derive(Debug, Default)]
pub(super) struct Kept(Vec<(Path, AllocStats)>);

/// Several processes of one program.
#[derive(Debug, Default)]
struct Sum {
    processes: u32,
    totals: ProcessTotals,
    paths: NumberMap<Path, AllocStats>,
}

/// What is kept of all of them, but for who they were.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Those that are kept by themselves: bytes allocated, and place.
    own: BTreeSet<(u64, usize)>,
    /// Their call stacks.
    samples: usize,
    sums: BTreeMap<String, Sum>,
    /// Call stacks of the sums.
    in_sums: usize,
    /// Each call stack once.
    stacks: NumberSet<CallStack>,
    /// As many of them were in use when that was looked at last.
    stacks_in_use: usize,
}

impl Kept {
    /// Its samples under a process's index.
    pub(super) fn samples(&self, process: ProcessIndex) -> impl Iterator<Item = (StackSample, Option<Unfollowed>)> {
        self.0.iter().map(move |(path, stats)| (path.sample(process, *stats), path.unfollowed))
    }
}

impl Path {
    fn sample(&self, process: ProcessIndex, stats: AllocStats) -> StackSample {
        let Self { stack, end, domain, thread, .. } = self.clone();
        StackSample { stack, end, domain, process, thread, stats }
    }

    /// What stays of it in a sum: addresses without a file, and threads, are of one process alone.
    fn without_process(self) -> Self {
        let is_own = |location: &Location| location.module == ModuleId::UNKNOWN && location.offset != 0;
        let stack = if self.stack.iter().any(is_own) {
            let bare =
                |location: &Location| if is_own(location) { Location { offset: 0, ..*location } } else { *location };
            self.stack.iter().map(bare).collect()
        } else {
            self.stack
        };
        Self { stack, thread: None, ..self }
    }

    fn without_stack(self) -> Self {
        let (end, unfollowed) = (StackEnd::Incomplete, Some(Unfollowed::NotKept));
        Self { stack: CallStack::from([]), end, unfollowed, ..self }
    }
}

impl Ended {
    /// Takes over what the process at a place has done.
    pub(super) fn keep(&mut self, place: usize, (totals, samples, unfollowed): Done) -> (ProcessTotals, Kept) {
        // Stacks that were copied have a site a call.
        let mut paths: NumberMap<Path, AllocStats> = NumberMap::default();
        for (sample, unfollowed) in samples.into_iter().zip(unfollowed) {
            let StackSample { stack, end, domain, thread, stats, .. } = sample;
            let path = Path { stack: self.once(stack), end, domain, thread, unfollowed };
            *paths.entry(path).or_default() += stats;
        }
        let kept = Kept(paths.into_iter().collect());
        self.own.insert((totals.stats.allocated_bytes, place));
        self.samples += kept.0.len();
        (totals, kept)
    }

    /// A place whose process is one too many to be kept by itself.
    pub(super) fn take_surplus(&mut self) -> Option<usize> {
        let is_surplus = self.own.len() > MOST_OWN || self.samples > MOST_SAMPLES;
        if is_surplus { self.own.pop_first().map(|(_, place)| place) } else { None }
    }

    /// Adds a process up with others of its program.
    pub(super) fn fold(&mut self, command: &str, totals: &ProcessTotals, Kept(paths): Kept) {
        self.samples -= paths.len();
        let name = program_of(command);
        let is_known = self.sums.contains_key(name) || self.sums.len() < MOST_NAMES;
        let sum = self.sums.entry(if is_known { name.to_owned() } else { String::new() }).or_default();
        sum.processes = sum.processes.saturating_add(1);
        sum.totals.add(totals);
        for (path, stats) in paths {
            let path = path.without_process();
            let has_room = self.in_sums < MOST_IN_SUMS || sum.paths.contains_key(&path);
            let path = if has_room { path } else { path.without_stack() };
            let before = sum.paths.len();
            *sum.paths.entry(path).or_default() += stats;
            self.in_sums += sum.paths.len() - before;
        }
        self.forget_stacks();
    }

    /// The sums, as snapshots have processes.
    pub(super) fn processes(&self) -> impl Iterator<Item = TracedProcess> {
        self.sums.iter().map(|(name, sum)| {
            let name = if name.is_empty() { "other programs" } else { name };
            let plural = if sum.processes == 1 { "" } else { "es" };
            let command = format!("{name} ({} process{plural})", sum.processes);
            TracedProcess {
                info: ProcessInfo { command, exited: true, ..ProcessInfo::default() },
                started_at: None,
                totals: Some(sum.totals),
                further: sum.processes.saturating_sub(1),
            }
        })
    }

    /// Samples of the sums, whose indexes begin at `first`.
    pub(super) fn samples(&self, first: u32) -> impl Iterator<Item = (StackSample, Option<Unfollowed>)> {
        let indexes = (first..).map(ProcessIndex);
        indexes.zip(self.sums.values()).flat_map(|(index, sum)| {
            sum.paths.iter().map(move |(path, stats)| (path.sample(index, *stats), path.unfollowed))
        })
    }

    /// Counters of the sums.
    pub(super) fn totals(&self) -> impl Iterator<Item = &ProcessTotals> {
        self.sums.values().map(|sum| &sum.totals)
    }

    /// See [`super::family::Family::begin_peak`].
    pub(super) fn forget_peaks(&mut self) {
        for sum in self.sums.values_mut() {
            sum.totals.peak_bytes = 0;
        }
    }

    /// How many processes are added up with others.
    pub(super) fn folded(&self) -> u64 {
        self.sums.values().map(|sum| u64::from(sum.processes)).sum()
    }

    /// The one of equal stacks that is kept.
    fn once(&mut self, stack: CallStack) -> CallStack {
        if let Some(known) = self.stacks.get(&stack) {
            return CallStack::clone(known);
        }
        self.stacks.insert(CallStack::clone(&stack));
        stack
    }

    /// Forgets stacks that nobody has any more, once they may be half of all.
    fn forget_stacks(&mut self) {
        if self.stacks.len() > 2 * self.stacks_in_use + 1024 {
            self.stacks.retain(|stack| CallStack::strong_count(stack) > 1);
            self.stacks_in_use = self.stacks.len();
        }
    }
}

/// A sentence about processes that are added up, if there are any.
pub(super) fn note(folded: u64) -> Option<String> {
    (folded > 0).then(|| {
        format!(
            "{folded} processes that have ended are added up by program: of so many, those that allocated most are kept by \
             themselves"
        )
    })
}

/// The name of the program of a command line.
fn program_of(command: &str) -> &str {
    let path = command.split(' ').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(offset: u64, bytes: u64) -> Done {
        let location = Location { module: ModuleId(1), offset };
        let stats = AllocStats { allocated_blocks: 1, allocated_bytes: bytes, ..AllocStats::default() };
        let sample = StackSample {
            stack: CallStack::from([location]),
            end: StackEnd::Whole,
            domain: Domain::Malloc,
            process: ProcessIndex(0),
            thread: None,
            stats,
        };
        (ProcessTotals { stats, ..ProcessTotals::default() }, vec![sample], vec![None])
    }

    /// The smallest are added up by their program, and no block is lost; as many stacks are kept as differ.
    #[test]
    fn small_processes_are_added_up() {
        let mut ended = Ended::default();
        let mut places = BTreeMap::new();
        for number in 0..3 * MOST_OWN {
            let bytes = 1 + (number % 7) as u64;
            places.insert(number, ended.keep(number, done(number as u64 % 5, bytes)));
            while let Some(place) = ended.take_surplus() {
                let (totals, kept) = places.remove(&place).expect("kept before");
                ended.fold(if place % 2 == 0 { "/bin/even -v" } else { "odd" }, &totals, kept);
            }
        }
        assert_eq!((places.len(), ended.folded()), (MOST_OWN, 2 * MOST_OWN as u64));
        assert!(places.values().all(|(totals, _)| totals.stats.allocated_bytes >= 5), "the largest stay");
        let samples: Vec<_> = ended.samples(7).map(|(sample, _)| sample).collect();
        assert_eq!(samples.len(), 10);
        let blocks: u64 = samples.iter().map(|sample| sample.stats.allocated_blocks).sum();
        assert_eq!(blocks, 2 * MOST_OWN as u64);
        assert!(samples.iter().all(|sample| [7, 8].contains(&sample.process.0)));
        let names: Vec<_> = ended.processes().map(|process| process.info.command).collect();
        assert!(names[0].starts_with("even (") && names[1].starts_with("odd ("), "{names:?}");
        assert_eq!(ended.stacks.len(), 5);
    }

    /// Programs beyond a number of names are added up together.
    #[test]
    fn names_are_bounded() {
        let mut ended = Ended::default();
        for number in 0..2 * MOST_NAMES {
            let (totals, kept) = ended.keep(number, done(1, 1));
            ended.fold(&format!("program{number}"), &totals, kept);
        }
        assert!(ended.processes().count() <= MOST_NAMES + 1);
        let blocks: u64 = ended.samples(0).map(|(sample, _)| sample.stats.allocated_blocks).sum();
        assert_eq!(blocks, 2 * MOST_NAMES as u64);
    }
}
