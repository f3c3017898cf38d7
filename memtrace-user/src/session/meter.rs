//! What tracing costs: memtrace's own memory, and the time that probes take from the process.
//!
//! The time is an estimate: hits × the cost of a trap measured on this machine, plus the runs of the BPF programs ×
//! their mean time by the kernel's statistics, which are kept for one interval in thirty.

use std::{fs, time::Duration};

use tokio::task::JoinHandle;

use crate::{
    profile::{Overhead, ProcessTotals},
    tracer::{RunStatistics, Tracer, TrapCost},
};

/// Readings from one sample of the programs' run time to the next.
const SAMPLE_EVERY: u64 = 30;

/// Fewest runs that a mean is taken of.
const FEWEST_RUNS: u64 = 100;

/// Measures memtrace itself.
#[derive(Debug)]
pub struct OwnUse {
    measuring: Option<JoinHandle<Option<TrapCost>>>,
    trap: Option<TrapCost>,
    /// Mean time of a program's run, in seconds.
    mean_run: Option<f64>,
    sampling: Option<RunStatistics>,
    readings: u64,
}

impl OwnUse {
    /// Begins to measure a trap's cost on a thread beside. Needs a tokio runtime.
    #[must_use]
    pub fn start(tracer: &Tracer) -> Self {
        let measurement = tracer.cost_measurement();
        let measuring = measurement.map(|measurement| tokio::task::spawn_blocking(move || measurement.run()));
        Self { measuring, trap: None, mean_run: None, sampling: tracer.begin_run_statistics(), readings: 0 }
    }

    /// The cost so far, for a process of so many threads.
    pub fn overhead(&mut self, tracer: &Tracer, threads: u64, totals: &ProcessTotals, elapsed: Duration) -> Overhead {
        self.take_trap_cost();
        self.sample(tracer);
        let bpf_memory_bytes = tracer.bpf_memory(threads);
        Overhead {
            core_share: self.core_share(totals, elapsed),
            own_memory_bytes: resident().saturating_sub(tracer.mapped_bytes()) + bpf_memory_bytes,
            bpf_memory_bytes,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share shown with three digits")]
    fn core_share(&self, totals: &ProcessTotals, elapsed: Duration) -> Option<f64> {
        let traps = self.trap?.time_of(totals.entry_hits, totals.return_hits, totals.release_hits).as_secs_f64();
        let runs = (totals.entry_hits + totals.return_hits + totals.release_hits) as f64;
        let programs = if runs == 0.0 { 0.0 } else { runs * self.mean_run? };
        Some((traps + programs) / elapsed.as_secs_f64().max(1e-9))
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
        self.readings += 1;
        if let Some(sampling) = self.sampling.take() {
            let runs = tracer.end_run_statistics(sampling);
            if runs.count >= FEWEST_RUNS || self.mean_run.is_none() && runs.count > 0 {
                #[expect(clippy::cast_precision_loss, reason = "a mean shown with three digits")]
                let mean = runs.time.as_secs_f64() / runs.count as f64;
                self.mean_run = Some(mean);
            }
        }
        if self.readings.is_multiple_of(SAMPLE_EVERY) || self.mean_run.is_none() {
            self.sampling = tracer.begin_run_statistics();
        }
    }
}

/// Resident memory in bytes: the heap, the pages of the program and of the files whose symbols are read, and BPF maps
/// seen as memory (all of their pages are resident from the start).
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
