//! A profile before and after its addresses are resolved, with what belongs to the process as a whole.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    AllocStats, Domain, Losses, Modules, StackEnd, StackSample, TracedProcess, TracedThread, Unfollowed,
    UnfollowedBytes, main_domain,
};

/// Counters of a whole process, exact at every instant: they are kept in BPF by atomic additions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessTotals {
    /// Bytes live now, of those allocated while traced.
    pub current_bytes: u64,
    /// Highest value that `current_bytes` had since tracing began, or since `reset-peak`.
    pub peak_bytes: u64,
    /// Sum over all stacks.
    pub stats: AllocStats,
    /// Calls that returned no memory.
    pub failed_calls: u64,
    /// Frees of blocks that tracing did not see allocated: from before the attach, or below `--min-size`.
    pub unknown_frees: u64,
    /// Hits of the probes on allocating functions: an entry and a return each.
    pub entry_hits: u64,
    /// Hits at returns of allocating functions: fewer than [`Self::entry_hits`] where blocks are sampled.
    pub return_hits: u64,
    /// Hits of the probes on freeing functions.
    pub release_hits: u64,
    /// CPU time of the process in nanoseconds, its probes included, since tracing began; 0 where it is not known.
    pub cpu_nanos: u64,
}

/// How often probes have been hit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hits {
    /// Entries of allocating functions.
    pub entries: u64,
    /// Their returns.
    pub returns: u64,
    /// Calls of freeing functions.
    pub releases: u64,
}

impl ProcessTotals {
    /// Adds another process's. The peak of several processes together is not known: that of the greatest stays.
    pub fn add(&mut self, other: &Self) {
        self.current_bytes = self.current_bytes.saturating_add(other.current_bytes);
        self.peak_bytes = self.peak_bytes.max(other.peak_bytes);
        self.stats += other.stats;
        self.failed_calls = self.failed_calls.saturating_add(other.failed_calls);
        self.unknown_frees = self.unknown_frees.saturating_add(other.unknown_frees);
        self.entry_hits = self.entry_hits.saturating_add(other.entry_hits);
        self.return_hits = self.return_hits.saturating_add(other.return_hits);
        self.release_hits = self.release_hits.saturating_add(other.release_hits);
        self.cpu_nanos = self.cpu_nanos.saturating_add(other.cpu_nanos);
    }

    /// The same when nothing lives any more.
    #[must_use]
    pub const fn released(self) -> Self {
        Self { current_bytes: 0, stats: self.stats.released(), ..self }
    }

    /// The hits.
    #[must_use]
    pub const fn hits(&self) -> Hits {
        Hits { entries: self.entry_hits, returns: self.return_hits, releases: self.release_hits }
    }
}

/// A thread, as the kernel's programs name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawThread {
    /// Tells threads apart that had one id after the other.
    pub number: u32,
    /// Its id in the initial process id namespace.
    pub tid: u32,
    /// Its name (`comm`) when it first allocated through a stack.
    pub name: Arc<str>,
}

/// One call stack with raw addresses.
#[derive(Debug, Clone, Default)]
pub struct RawStack {
    /// Names the stack from one reading to the next; equal in two stacks of one profile only for those without frames.
    pub id: u32,
    /// Return addresses in the process, innermost first.
    pub addresses: Arc<[u64]>,
    /// Frames of Python, innermost first, each a word as `memtrace_common::python::frame` packs it.
    pub python: Arc<[u64]>,
    /// How far the walk came.
    pub end: StackEnd,
    /// Why an incomplete walk came no further.
    pub unfollowed: Option<Unfollowed>,
    /// Layer of memory.
    pub domain: Domain,
    /// The allocating thread, where threads are told apart.
    pub thread: Option<RawThread>,
    /// Its counters.
    pub stats: AllocStats,
}

/// What the tracer read from the kernel at one instant.
#[derive(Debug, Clone, Default)]
pub struct RawProfile {
    /// Time since tracing began, or since `clear`.
    pub elapsed: Duration,
    /// Counters of the process.
    pub totals: ProcessTotals,
    /// A record a call stack.
    pub stacks: Vec<RawStack>,
    /// What could not be recorded.
    pub losses: Losses,
    /// Numbers are estimates: on average one byte in so many was looked at. `None` when every block was recorded.
    pub sample_bytes: Option<u64>,
}

/// Who is traced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// As memtrace's own process id namespace counts.
    pub pid: u32,
    /// Command line, or the kernel's name of the process when it has none. Not escaped: see `report::escape`.
    pub command: String,
    /// The process has ended.
    pub exited: bool,
    /// Resident set size in bytes; `None` once the process has exited.
    pub rss_bytes: Option<u64>,
    /// What is probed, as `glibc (/usr/lib/x86_64-linux-gnu/libc.so.6)`.
    pub allocators: Vec<String>,
    /// What the numbers cannot show, and what tracing does differently for this process: full sentences, not escaped.
    pub notes: Vec<String>,
}

/// What tracing itself costs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Overhead {
    /// Estimated time spent in probes as a share of the elapsed time of one core; `None` when not calibrated.
    pub core_share: Option<f64>,
    /// The same as a share of the CPU time of the process, the probes' included.
    pub cpu_share: Option<f64>,
    /// memtrace's resident memory plus its BPF maps, in bytes.
    pub own_memory_bytes: u64,
    /// The part of `own_memory_bytes` that lies in BPF maps.
    pub bpf_memory_bytes: u64,
}

/// Share of what was allocated whose call stack is whole.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Coverage {
    /// Allocated bytes with whole stacks over all allocated bytes; 1 when nothing was allocated.
    pub whole: f64,
    /// The same for stacks cut at `--max-frames`.
    pub truncated: f64,
    /// The same for stacks that could not be followed to their end.
    pub incomplete: f64,
}

/// A profile whose stacks are resolved to locations in files.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Wall-clock time of the reading.
    pub taken_at: SystemTime,
    /// Time since tracing began, or since `clear`.
    pub elapsed: Duration,
    /// When the process was started; `None` when that is not known.
    pub started_at: Option<SystemTime>,
    /// Who is traced.
    pub process: ProcessInfo,
    /// Counters of all traced processes; the peak is the highest of any of them.
    pub totals: ProcessTotals,
    /// Those of the process that tracing is named by.
    pub own_totals: ProcessTotals,
    /// Processes that are followed besides, in the order in which they appeared: an image that a process has replaced by
    /// `exec` is one of its own. Behind them, those that have ended and are added up. Samples name them by index, from 1 on.
    pub others: Vec<TracedProcess>,
    /// Allocations and frees a second, and their bytes, since the previous reading.
    pub rates: AllocRates,
    /// A record a call stack.
    pub samples: Vec<StackSample>,
    /// [`RawStack::id`] of each sample's stack.
    pub stack_ids: Vec<u32>,
    /// The threads that are told apart; a sample names its own by [`super::ThreadIndex`].
    pub threads: Vec<TracedThread>,
    /// Files that the stacks refer to.
    pub modules: Modules,
    /// What could not be recorded.
    pub losses: Losses,
    /// Why incomplete stacks are.
    pub unfollowed: UnfollowedBytes,
    /// What tracing costs.
    pub overhead: Overhead,
    /// As [`RawProfile::sample_bytes`].
    pub sample_bytes: Option<u64>,
}

/// Activity per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct AllocRates {
    /// Blocks allocated a second.
    pub allocated_blocks: f64,
    /// Bytes allocated a second.
    pub allocated_bytes: f64,
    /// Blocks freed a second.
    pub freed_blocks: f64,
    /// Bytes freed a second.
    pub freed_bytes: f64,
}

impl AllocRates {
    /// The rates between two readings; zero when no time has passed.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
    pub fn between(before: &AllocStats, after: &AllocStats, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return Self::default();
        }
        let rate = |before: u64, after: u64| after.saturating_sub(before) as f64 / seconds;
        Self {
            allocated_blocks: rate(before.allocated_blocks, after.allocated_blocks),
            allocated_bytes: rate(before.allocated_bytes, after.allocated_bytes),
            freed_blocks: rate(before.freed_blocks, after.freed_blocks),
            freed_bytes: rate(before.freed_bytes, after.freed_bytes),
        }
    }
}

/// Whether any process of a family runs: the one that it is named by, which may have exited, or one of the others.
#[must_use]
pub fn some_run(own_exited: bool, others: &[TracedProcess]) -> bool {
    !own_exited || others.iter().any(|process| !process.info.exited)
}

impl Profile {
    /// Whether any of the processes still runs. While one does, what others held that have ended is no longer live; when
    /// none does, the numbers are of what each held at its end.
    #[must_use]
    pub fn some_run(&self) -> bool {
        some_run(self.process.exited, &self.others)
    }

    /// Processes that are followed besides, those included that are added up.
    #[must_use]
    pub fn other_processes(&self) -> u64 {
        self.others.iter().map(|process| 1 + u64::from(process.further)).sum()
    }

    /// How much of what was allocated has a whole stack.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        Coverage::of(&self.samples)
    }
}

impl Coverage {
    /// Of the main domain of these samples.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
    pub fn of(samples: &[StackSample]) -> Self {
        let main = main_domain(samples);
        let bytes = |end: StackEnd| -> u64 {
            let of_end = samples.iter().filter(|sample| sample.domain.is_beside(main) && sample.end == end);
            of_end.fold(0, |sum, sample| sum.saturating_add(sample.stats.allocated_bytes))
        };
        let parts = [StackEnd::Whole, StackEnd::Truncated, StackEnd::Incomplete].map(bytes);
        let total = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(*part));
        if total == 0 {
            return Self { whole: 1.0, ..Self::default() };
        }
        let [whole, truncated, incomplete] = parts.map(|part| part as f64 / total as f64);
        Self { whole, truncated, incomplete }
    }
}
