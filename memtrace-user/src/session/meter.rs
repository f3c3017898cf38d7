//! What tracing costs: memtrace's own memory, and the time that probes take from the process.
//!
//! The time is an estimate: hits × the cost of a trap measured on this machine, plus the runs of the BPF programs ×
//! their mean time by the kernel's statistics, which are kept for a moment now and then, and what the process loses by its caches.
//! It is added up as it goes, as what a run takes changes with what is recorded.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::{
    profile::{Hits, Overhead},
    tracer::{RunStatistics, Runs, Tracer, TrapCost},
};

/// From one sample of the programs' run time to the next.
const SAMPLE_EVERY: Duration = Duration::from_secs(30);

/// Shortest sample, and fewest runs that a mean is taken of for long: the first ones, when nothing is in the processor's caches, take
/// a hundred times as long as others.
const SHORTEST: Duration = Duration::from_millis(50);
const FEWEST_RUNS: u64 = 100;

/// What a process loses by a hit, in units of the time that the hit takes: it goes on with caches and branch predictors that hold
/// less of its own. How much that is depends on the program. Without this, what was stated of perl, sqlite3, git and cc1 was 0.81 to
/// 0.96 of what they lost, of python3 0.67 to 0.85 (`cargo xtask bench stated`, `x86_64`, 6.18): this is the middle.
const WITH_CACHES: f64 = 1.2;

/// Seconds that probes have taken from the process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// At entries of allocating functions, and in calls of freeing functions.
    pub calls: f64,
    /// At returns.
    pub returns: f64,
}

impl Spent {
    /// All of it.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.calls + self.returns
    }
}

/// Mean time of a program's run in seconds, the kernel's own part of an empty program taken off.
#[derive(Debug, Clone, Copy, Default)]
struct Means {
    /// Of those on allocating functions, entries and returns alike.
    allocating: f64,
    /// Of those on freeing functions.
    freeing: f64,
    /// Runs that they are means of.
    runs: u64,
}

impl Means {
    /// Of a few runs alone: those of a process that was idle until now.
    const fn are_rough(self) -> bool {
        self.runs < FEWEST_RUNS
    }
}

/// Measures memtrace itself.
#[derive(Debug)]
pub struct OwnUse {
    measuring: Option<JoinHandle<Option<TrapCost>>>,
    trap: Option<TrapCost>,
    means: Option<Means>,
    sampling: Option<(RunStatistics, Instant)>,
    next_sample: Instant,
    /// Hits whose cost is in `spent`.
    counted: Hits,
    spent: Spent,
}

impl OwnUse {
    /// Begins to measure a trap's cost on a thread beside. Needs a tokio runtime.
    #[must_use]
    pub fn start(tracer: &Tracer) -> Self {
        let measurement = tracer.cost_measurement();
        let now = Instant::now();
        Self {
            measuring: measurement.map(|measurement| tokio::task::spawn_blocking(move || measurement.run())),
            trap: None,
            means: None,
            sampling: tracer.begin_run_statistics().map(|statistics| (statistics, now)),
            next_sample: now + SAMPLE_EVERY,
            counted: Hits::default(),
            spent: Spent::default(),
        }
    }

    /// What a trap costs, once that is known.
    pub const fn trap_cost(&self) -> Option<TrapCost> {
        self.trap
    }

    /// What is known of it so far.
    #[must_use]
    pub const fn spent(&self) -> Spent {
        self.spent
    }

    /// Counting begins anew.
    pub fn forget(&mut self) {
        (self.counted, self.spent) = (Hits::default(), Spent::default());
    }

    /// The programs do something else from now on: how long they take is measured anew.
    pub fn begin_sample(&mut self, tracer: &Tracer) {
        self.sampling = tracer.begin_run_statistics().map(|statistics| (statistics, Instant::now()));
        self.next_sample = Instant::now() + SAMPLE_EVERY;
    }

    /// Takes in how often probes have been hit so far. `None` as long as a hit's cost is not known.
    pub fn count(&mut self, tracer: &Tracer, hits: Hits) -> Option<Spent> {
        self.take_trap_cost();
        self.sample(tracer);
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let new = Hits {
            entries: since(hits.entries, self.counted.entries),
            returns: since(hits.returns, self.counted.returns),
            releases: since(hits.releases, self.counted.releases),
        };
        if new != Hits::default() {
            let cost = cost_of(new, self.trap?, self.means?);
            self.spent.calls += cost.calls;
            self.spent.returns += cost.returns;
            self.counted = hits;
        }
        Some(self.spent)
    }

    /// The cost so far, for a process of so many threads that has had so much CPU time.
    pub fn overhead(
        &mut self,
        tracer: &Tracer,
        threads: u64,
        hits: Hits,
        elapsed: Duration,
        cpu: Duration,
    ) -> Overhead {
        let spent = self.count(tracer, hits).map(|spent| spent.seconds());
        let bpf_memory_bytes = tracer.bpf_memory(threads);
        Overhead {
            core_share: spent.map(|seconds| seconds / elapsed.as_secs_f64().max(1e-9)),
            cpu_share: spent.filter(|_| !cpu.is_zero()).map(|seconds| (seconds / cpu.as_secs_f64()).min(1.0)),
            own_memory_bytes: resident().saturating_sub(tracer.mapped_bytes()) + bpf_memory_bytes,
            bpf_memory_bytes,
        }
    }

    fn take_trap_cost(&mut self) {
        if !self.measuring.as_ref().is_some_and(JoinHandle::is_finished) {
            return;
        }
        if let Some(task) = self.measuring.take() {
            use futures_util::FutureExt as _;
            self.trap = task.now_or_never().and_then(Result::ok).flatten();
        }
    }

    fn sample(&mut self, tracer: &Tracer) {
        // The cost of an empty program's run is taken off, so it comes first.
        if let (Some((_, begun)), Some(trap)) = (&self.sampling, self.trap)
            && begun.elapsed() >= SHORTEST
            && let Some((statistics, _)) = self.sampling.take()
        {
            let runs = tracer.end_run_statistics(statistics);
            let count = runs.allocating.count + runs.freeing.count;
            if count >= FEWEST_RUNS || self.lacks_means() && count > 0 {
                let mean = |runs: Runs| (runs.mean() - trap.empty_run.as_secs_f64()).max(0.0);
                let means = Means { allocating: mean(runs.allocating), freeing: mean(runs.freeing), runs: count };
                log::debug!("a run takes {means:?} s beyond an empty one's, by {count} runs");
                self.means = Some(means);
            }
        }
        if self.sampling.is_none() && (Instant::now() >= self.next_sample || self.lacks_means()) {
            self.begin_sample(tracer);
        }
    }

    fn lacks_means(&self) -> bool {
        self.means.is_none_or(Means::are_rough)
    }
}

/// What so many hits cost.
#[expect(clippy::cast_precision_loss, reason = "counts of events, shown with three digits")]
fn cost_of(hits: Hits, trap: TrapCost, means: Means) -> Spent {
    let [entries, returns, releases] = [hits.entries, hits.returns, hits.releases].map(|count| count as f64);
    let entry = trap.entry.as_secs_f64();
    let at_return = trap.entry_and_return.saturating_sub(trap.entry).as_secs_f64();
    // Of the programs on allocating functions one mean is known. An entry does no more than a free.
    let at_entries = means.allocating.min(means.freeing) * entries;
    let at_returns = (means.allocating * (entries + returns) - at_entries).max(0.0);
    Spent {
        calls: WITH_CACHES * (entry.mul_add(entries + releases, at_entries) + means.freeing * releases),
        returns: WITH_CACHES * at_return.mul_add(returns, at_returns),
    }
}

/// Resident memory in bytes: the heap, the pages of the program and of the files whose symbols are read, and BPF maps
/// seen as memory (all of their pages are resident from the start).
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn trap() -> TrapCost {
        TrapCost {
            entry: Duration::from_nanos(200),
            entry_and_return: Duration::from_nanos(500),
            empty_run: Duration::ZERO,
        }
    }

    /// The cost of many hits is the sum of their traps and of their programs' runs, however these are told apart.
    #[test]
    fn costs_add_up() {
        let hits = Hits { entries: 1_000_000, returns: 500_000, releases: 2_000_000 };
        let spent = cost_of(hits, trap(), Means { allocating: 80e-9, freeing: 50e-9, runs: 1000 });
        let traps = 3.0 * 0.2 + 0.5 * 0.3;
        let programs = 1.5 * 0.08 + 2.0 * 0.05;
        let is = |cost: f64, expected: f64| (cost - WITH_CACHES * expected).abs() < 1e-9;
        assert!(is(spent.seconds(), traps + programs), "{spent:?}");
        assert!(is(spent.returns, 0.5 * 0.3 + 1.5 * 0.08 - 0.05), "{spent:?}");
    }

    /// What a few runs took is not taken for what all take: a process that was idle when it was attached to had four, of 70 µs.
    #[test]
    fn few_runs_are_no_measure() {
        let means = |runs| Means { allocating: 70e-6, freeing: 70e-6, runs };
        assert_eq!([1, 4, FEWEST_RUNS - 1, FEWEST_RUNS].map(|runs| means(runs).are_rough()), [true, true, true, false]);
    }

    /// Without hits there is no cost, and none is below zero.
    #[test]
    fn nothing_costs_nothing() {
        assert_eq!(cost_of(Hits::default(), trap(), Means::default()), Spent::default());
        let entries = Hits { entries: 10, ..Hits::default() };
        assert!(cost_of(entries, trap(), Means { allocating: 1e-9, freeing: 5e-9, runs: 1000 }).returns >= 0.0);
    }
}
