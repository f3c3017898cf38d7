//! What is known of many processes at one instant: a line of numbers each. Their call stacks are in a
//! [`super::Profile`] each, for those that are looked at.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{AllocRates, AllocStats, Losses, Overhead, ProcessTotals};

/// Names an image of a process from one reading to the next. Never used again, as process ids are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessKey(pub u64);

/// One traced process that runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MachineProcess {
    /// Which one it is.
    pub key: ProcessKey,
    /// Its id, as memtrace's own process id namespace counts.
    pub pid: u32,
    /// Command line, or the kernel's name of the process. Not escaped.
    pub command: Arc<str>,
    /// Name of its user, or the number. Not escaped.
    pub user: Arc<str>,
    /// Id or name of the container that it runs in. Not escaped.
    pub container: Option<Arc<str>>,
    /// Resident memory in bytes; `None` when it has just ended.
    pub rss_bytes: Option<u64>,
    /// Its counters.
    pub totals: ProcessTotals,
    /// Activity a second, since the reading before.
    pub rates: AllocRates,
    /// Live bytes more or less than a minute ago, or than when it began to be traced.
    pub growth_bytes: i64,
    /// Blocks that were not recorded, as it had its share of the table.
    pub refused_blocks: u64,
    /// Allocations counted under no call stack, as it had its share of the table.
    pub refused_stacks: u64,
}

impl MachineProcess {
    /// Live bytes.
    #[must_use]
    pub const fn live_bytes(&self) -> u64 {
        self.totals.stats.live_bytes()
    }

    /// What of it could not be recorded.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.refused_blocks.saturating_add(self.refused_stacks)
    }
}

/// Processes that have ended while they were traced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndedProcesses {
    /// How many images of processes.
    pub count: u64,
    /// Sum of their counters.
    pub stats: AllocStats,
}

/// What probes cost whoever maps a probed file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CostToAll {
    /// Processes that map a probed file, the traced ones among them.
    pub processes: u64,
    /// Time that an allocation and its free take longer in one that is not recorded; `None` when it could not be measured.
    pub pair: Option<Duration>,
}

/// A reading of all traced processes.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Wall-clock time of the reading.
    pub taken_at: SystemTime,
    /// Time since tracing began.
    pub elapsed: Duration,
    /// Those that run, in no order.
    pub processes: Vec<MachineProcess>,
    /// Those that have ended.
    pub ended: EndedProcesses,
    /// What is probed, as `glibc (/usr/lib/x86_64-linux-gnu/libc.so.6)`.
    pub allocators: Vec<String>,
    /// What all this costs others.
    pub cost: CostToAll,
    /// What could not be recorded, of all processes.
    pub losses: Losses,
    /// Numbers are estimates, by one byte in so many; `None` when every block is recorded.
    pub sample_bytes: Option<u64>,
    /// What tracing costs memtrace.
    pub overhead: Overhead,
    /// What the numbers cannot show: full sentences, not escaped.
    pub notes: Vec<String>,
}

impl Machine {
    /// Sum of the counters of all processes that run. The peak is the greatest of any of them.
    #[must_use]
    pub fn running(&self) -> ProcessTotals {
        let mut sum = ProcessTotals::default();
        for process in &self.processes {
            sum.add(&process.totals);
        }
        sum
    }

    /// The processes in an order, the greatest first; of equal ones the older first.
    #[must_use]
    pub fn ranked(&self, order: ProcessOrder) -> Vec<&MachineProcess> {
        let mut processes: Vec<&MachineProcess> = self.processes.iter().collect();
        processes.sort_by(|a, b| order.compare(a, b).then_with(|| a.key.cmp(&b.key)));
        processes
    }
}

/// A number that processes are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProcessOrder {
    /// Live bytes.
    #[default]
    Live,
    /// Change of live bytes over the last minute.
    Growth,
    /// Bytes allocated a second.
    Rate,
    /// Blocks allocated a second.
    Calls,
    /// Live blocks.
    Blocks,
    /// Bytes allocated in all.
    Allocated,
    /// Resident memory.
    Rss,
    /// What could not be recorded.
    Lost,
}

/// One line an order: its word, how it is said in a heading, and what it is.
const ORDERS: [(ProcessOrder, &str, &str, &str); 8] = [
    (ProcessOrder::Live, "live", "live bytes", "Bytes allocated since tracing began and not freed"),
    (ProcessOrder::Growth, "growth", "growth", "Live bytes more than a minute ago"),
    (ProcessOrder::Rate, "rate", "bytes allocated a second", "Bytes allocated a second"),
    (ProcessOrder::Calls, "calls", "blocks allocated a second", "Blocks allocated a second"),
    (ProcessOrder::Blocks, "blocks", "live blocks", "Blocks allocated and not freed"),
    (ProcessOrder::Allocated, "allocated", "allocated bytes", "Bytes allocated since tracing began"),
    (ProcessOrder::Rss, "rss", "resident memory", "Resident memory"),
    (
        ProcessOrder::Lost,
        "lost",
        "what was not recorded",
        "What could not be recorded of a process that had its share of the tables",
    ),
];

impl ProcessOrder {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        ORDERS.iter().map(|(order, ..)| *order)
    }

    /// Its word on the command line and in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        ORDERS[self as usize].1
    }

    /// What it is, for a help text.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        ORDERS[self as usize].3
    }

    /// How it is said in a heading.
    #[must_use]
    pub fn label(self) -> &'static str {
        ORDERS[self as usize].2
    }

    /// The greater first.
    #[must_use]
    pub fn compare(self, a: &MachineProcess, b: &MachineProcess) -> std::cmp::Ordering {
        let whole = |value: fn(&MachineProcess) -> u64| value(b).cmp(&value(a));
        match self {
            Self::Live => whole(MachineProcess::live_bytes),
            Self::Growth => b.growth_bytes.cmp(&a.growth_bytes),
            Self::Rate => b.rates.allocated_bytes.total_cmp(&a.rates.allocated_bytes),
            Self::Calls => b.rates.allocated_blocks.total_cmp(&a.rates.allocated_blocks),
            Self::Blocks => whole(|process| process.totals.stats.live_blocks()),
            Self::Allocated => whole(|process| process.totals.stats.allocated_bytes),
            Self::Rss => whole(|process| process.rss_bytes.unwrap_or(0)),
            Self::Lost => whole(MachineProcess::lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is indexed by the order, so its lines must be in the enum's.
    #[test]
    fn orders_are_in_their_table() {
        assert!(ProcessOrder::all().enumerate().all(|(index, order)| order as usize == index));
    }

    /// The greatest comes first, what shrinks last, and equal ones stay as they came.
    #[test]
    fn processes_are_ranked() {
        let process =
            |key, growth_bytes| MachineProcess { key: ProcessKey(key), growth_bytes, ..MachineProcess::default() };
        let machine =
            super::super::machine_fixture::of(vec![process(1, -5), process(2, 7), process(3, 7), process(4, 0)]);
        let keys = |order| machine.ranked(order).iter().map(|process| process.key.0).collect::<Vec<_>>();
        assert_eq!(keys(ProcessOrder::Growth), [2, 3, 4, 1]);
        assert_eq!(keys(ProcessOrder::Live), [1, 2, 3, 4]);
    }
}
