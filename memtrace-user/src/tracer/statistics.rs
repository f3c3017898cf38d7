//! What tracing costs: time of the programs, and memory of the maps.

use std::{os::fd::AsFd as _, sync::PoisonError, time::Duration};

use super::{
    CostMeasurement, ProgramRuns, Refusal, RunStatistics, Runs, Tracer, UnwindStore, everyone::EveryoneMaps, object,
    syscall,
};

impl Tracer {
    /// What measures the cost of a trap; `None` where uprobe-multi links are not to be had.
    #[must_use]
    pub fn cost_measurement(&self) -> Option<CostMeasurement> {
        self.multi.as_ref().and_then(CostMeasurement::new)
    }

    /// Begins to keep run statistics of the programs; `None` where that cannot be.
    #[must_use]
    pub fn begin_run_statistics(&self) -> Option<RunStatistics> {
        self.multi.as_ref().and_then(RunStatistics::begin)
    }

    /// The runs of the programs since the beginning.
    #[must_use]
    pub fn end_run_statistics(&self, statistics: RunStatistics) -> ProgramRuns {
        self.multi.as_ref().map(|programs| statistics.end(programs)).unwrap_or_default()
    }

    /// Runs of the program that walks stacks, and their time, as far as the machine keeps statistics of all its programs
    /// (`kernel.bpf_stats_enabled`).
    #[must_use]
    pub fn walker_runs(&self) -> Option<Runs> {
        let programs = self.multi.as_ref()?;
        let program = programs.get(object::FINISH).or_else(|| programs.get(object::BEGIN_OR_FINISH))?;
        let (count, nanoseconds) = syscall::run_statistics(program.as_fd()).ok()?;
        Some(Runs { count, time: Duration::from_nanos(nanoseconds) })
    }

    /// Bytes of kernel memory in BPF maps, for `threads` traced threads.
    #[must_use]
    pub fn bpf_memory(&self, threads: u64) -> u64 {
        let maps = self.ebpf.maps().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        let fixed: u64 = maps.iter().filter_map(|name| object::map_memory(&self.ebpf, name)).sum();
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).segment_bytes();
        let unwind = self.unwind.as_ref().map_or(0, UnwindStore::bytes);
        fixed + self.ring_bytes + live + unwind + threads * THREAD_STATE_BYTES
    }

    /// Why the table of live blocks does not grow, though it fills.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).refusal()
    }

    /// Bytes of BPF maps that this process sees as memory: the kernel counts them as resident in it, too.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).mapped_bytes();
        let unwind = self.unwind.as_ref().map_or(0, UnwindStore::mapped_bytes);
        let everyone = self.everyone.as_ref().map_or(0, EveryoneMaps::mapped_bytes);
        live + unwind + self.reader.mapped_bytes() + self.slots.mapped_bytes() + everyone
    }
}

/// Bytes that the kernel holds for a traced thread: `Thread` of memtrace-ebpf and its headers.
const THREAD_STATE_BYTES: u64 = 8192;
