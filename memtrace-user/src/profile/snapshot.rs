//! A profile that is complete in itself: what a snapshot file holds, and what is ranked, compared and exported.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    AllocStats, Domain, Losses, Modules, ProcessInfo, ProcessTotals, Profile, SortBy, StackSample, SymbolTable,
    main_domain, sum_of_domain,
};

/// A profile of one or several processes with all names that are known.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// How and when it was taken.
    pub about: About,
    /// The traced processes; a sample names its own by [`super::ProcessIndex`].
    pub processes: Vec<TracedProcess>,
    /// The threads that are told apart; a sample names its own by [`super::ThreadIndex`].
    pub threads: Vec<TracedThread>,
    /// Files that the stacks refer to.
    pub modules: Modules,
    /// A record a call stack (of a process, a thread and a domain).
    pub samples: Vec<StackSample>,
    /// Functions and lines of the stacks' locations.
    pub symbols: SymbolTable,
}

/// How and when a snapshot was taken. What a file of another program does not tell is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    /// Program and version that took it, as `memtrace 0.1.0`.
    pub tool: Option<String>,
    /// Name of the machine.
    pub host: Option<String>,
    /// Its kernel release.
    pub kernel: Option<String>,
    /// Wall-clock time at which tracing began.
    pub started_at: Option<SystemTime>,
    /// Wall-clock time of the reading.
    pub taken_at: Option<SystemTime>,
    /// Time from the beginning of tracing to the reading.
    pub elapsed: Option<Duration>,
    /// What was recorded.
    pub options: TraceOptions,
    /// The number that a reader wants first.
    pub default_sort: SortBy,
    /// What could not be recorded.
    pub losses: Losses,
    /// What the numbers cannot tell, as the file does not hold it; empty for our own.
    pub lacks: Vec<Lack>,
    /// Comments that mean nothing to memtrace, kept as they were.
    pub comments: Vec<String>,
}

/// What was recorded, and how. `None` where a file does not tell, or where it does not apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// Numbers are estimates: on average one byte in so many was looked at. `None` when every block was recorded.
    pub sample_bytes: Option<u64>,
    /// Blocks of fewer bytes were not recorded.
    pub min_size: Option<u64>,
    /// Most frames recorded of a stack.
    pub max_frames: Option<u32>,
    /// How stacks were followed, as the command line has it: `auto`, `fp`, `dwarf`.
    pub unwind: Option<String>,
}

/// A traced process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TracedProcess {
    /// Who it is.
    pub info: ProcessInfo,
    /// When it was started; tells processes of one id apart.
    pub started_at: Option<SystemTime>,
    /// Its counters, peak among them; `None` where the file does not tell.
    pub totals: Option<ProcessTotals>,
    /// How many processes that have ended are added up in this one, beyond the first: see `docs/architecture.md`.
    pub further: u32,
}

/// A traced thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TracedThread {
    /// Its id, as memtrace's own process id namespace counts; 0 when not known.
    pub tid: u32,
    /// Its name (`comm`).
    pub name: Arc<str>,
}

/// One line a thing that may be missing: its name in a file, and what it does to the numbers.
const LACKS: [(Lack, &str, &str); 8] = [
    (Lack::Allocated, "allocated", "only live memory is known: allocated repeats live, and freed is 0"),
    (Lack::Live, "live", "only allocations are known: live repeats allocated"),
    (Lack::Blocks, "blocks", "blocks are not counted: they are 0"),
    (Lack::Bytes, "bytes", "bytes are not counted: they are 0"),
    (Lack::Process, "process", "the process is not named"),
    (Lack::StackEnds, "stack-ends", "whether stacks are whole is not known"),
    (Lack::Functions, "functions", "some code has no function name"),
    (Lack::Lines, "lines", "there are no source lines"),
];

/// Something that a profile of another program does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Only live memory is known: allocated numbers repeat the live ones, freed ones are 0.
    Allocated,
    /// Only allocations are known: live numbers repeat the allocated ones.
    Live,
    /// Bytes alone are known: blocks are 0.
    Blocks,
    /// Blocks alone are known: bytes are 0.
    Bytes,
    /// Nothing says which process the samples are of.
    Process,
    /// Nothing says whether the stacks are whole.
    StackEnds,
    /// Some locations have no function name.
    Functions,
    /// No location has a source line.
    Lines,
}

impl Lack {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        LACKS.iter().map(|(lack, ..)| *lack)
    }

    /// Its name in a file.
    #[must_use]
    pub fn name(self) -> &'static str {
        LACKS[self as usize].1
    }

    /// What it does to the numbers, for a reader.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        LACKS[self as usize].2
    }
}

impl Snapshot {
    /// The snapshot of a profile; `about` is completed with what the profile knows.
    #[must_use]
    pub fn of(profile: &Profile, symbols: &SymbolTable, about: About) -> Self {
        let about = About {
            taken_at: Some(profile.taken_at),
            elapsed: Some(profile.elapsed),
            losses: profile.losses.clone(),
            ..about
        };
        let process = TracedProcess {
            info: profile.process.clone(),
            started_at: None,
            totals: Some(profile.own_totals),
            further: 0,
        };
        Self {
            about,
            processes: std::iter::once(process).chain(profile.others.iter().cloned()).collect(),
            threads: profile.threads.clone(),
            modules: profile.modules.clone(),
            samples: profile.samples.clone(),
            symbols: symbols.clone(),
        }
    }

    /// Adds up samples that differ in nothing but their numbers: a stack may have been recorded in several places, as one
    /// that was followed later than others.
    pub fn merge_samples(&mut self) {
        let mut known: HashMap<_, usize> = HashMap::with_capacity(self.samples.len());
        let mut merged: Vec<StackSample> = Vec::with_capacity(self.samples.len());
        for sample in self.samples.drain(..) {
            let key = (Arc::clone(&sample.stack), sample.end, sample.domain, sample.process, sample.thread);
            match known.entry(key) {
                Entry::Occupied(entry) => merged[*entry.get()].stats += sample.stats,
                Entry::Vacant(entry) => {
                    entry.insert(merged.len());
                    merged.push(sample);
                }
            }
        }
        self.samples = merged;
    }

    /// Sum over all samples.
    /// Sum over the samples of the main domain; domains are never added up.
    #[must_use]
    pub fn total(&self) -> AllocStats {
        sum_of_domain(&self.samples, main_domain(&self.samples))
    }

    /// Leaves samples of a domain alone, of the main one's layer unless one is wanted: for what can tell no domains apart.
    pub fn keep_domain(&mut self, wanted: Option<Domain>) {
        let main = main_domain(&self.samples);
        self.samples.retain(|sample| wanted.map_or(sample.domain.is_beside(main), |wanted| sample.domain == wanted));
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{StackEnd, fixture::Scene},
        Lack,
    };

    /// The table is indexed by the enum, so its lines must be in the enum's order.
    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, lack) in Lack::all().enumerate() {
            assert_eq!(lack as usize, index);
        }
    }

    /// Taking a snapshot of a profile loses none of its bytes and blocks.
    #[test]
    fn snapshot_of_a_profile_keeps_its_sum() {
        let mut scene = Scene::default();
        scene.sample(&["a@app"], 3, 10, 1);
        scene.sample(&["b@app", "a@app"], 2, 5, 0);
        assert_eq!(scene.snapshot().total(), scene.profile().totals.stats);
        assert_eq!(scene.snapshot().total().live_bytes(), 30);
    }

    /// Stacks that are equal become one; whether they are whole tells them apart.
    #[test]
    fn equal_samples_are_added_up() {
        let mut scene = Scene::default();
        for _ in 0..3 {
            scene.sample(&["a@app", "b@app"], 3, 10, 1);
        }
        scene.sample(&["a@app"], 3, 10, 1);
        let mut snapshot = scene.snapshot();
        snapshot.samples[2].end = StackEnd::Truncated;
        let total = snapshot.total();
        snapshot.merge_samples();
        assert_eq!(snapshot.samples.iter().map(|sample| sample.stats.allocated_blocks).collect::<Vec<_>>(), [6, 3, 3]);
        assert_eq!(snapshot.total(), total);
    }
}
