//! What could not be recorded, by reason. Nothing is dropped silently: every view shows these counts.

/// Why something was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossReason {
    /// No storage could be had for the calling thread's state.
    NoThreadState,
    /// An allocator call was entered and never returned.
    NeverReturned,
    /// An allocator call returned whose entry was not seen.
    UnpairedReturn,
    /// The table of live blocks was full.
    LiveFull,
    /// The table of call stacks was full.
    SitesFull,
    /// The store of stack frames was full.
    FramesFull,
    /// A block was handed out again although its free was not seen.
    MissedFree,
    /// An address that the table of live blocks cannot hold.
    AddressRange,
    /// The result of an allocator call could not be read from the process.
    UnreadableResult,
    /// An event for user space found no room.
    EventDropped,
    /// A program ran without probes for a moment: executed by a second thread, or one with an allocator of its own.
    LateProbes,
    /// There was no slot for a process.
    NoSlot,
    /// A change of mappings was not told.
    MappingDropped,
    /// A copy of a Python code object found no room.
    PythonCode,
    /// A process had its share of the table of live blocks.
    ShareOfBlocks,
    /// A process had its share of the table of call stacks.
    ShareOfSites,
}

/// One line a reason: its name in files, a few words for a header, and what it does to the numbers.
const REASONS: &[(LossReason, &str, &str, &str)] = &[
    (
        LossReason::NoThreadState,
        "no-thread-state",
        "no thread state",
        "calls not recorded: the kernel had no memory for a thread's state",
    ),
    (
        LossReason::NeverReturned,
        "never-returned",
        "never returned",
        "calls left by longjmp, or whose return probe the kernel lost",
    ),
    (LossReason::UnpairedReturn, "unpaired-return", "unpaired return", "calls not recorded: their entry was not seen"),
    (LossReason::LiveFull, "live-full", "live table full", "blocks not recorded: there was no room for them"),
    (LossReason::SitesFull, "sites-full", "stack table full", "allocations counted, but under no call stack"),
    (LossReason::FramesFull, "frames-full", "frame store full", "allocations counted, but under no call stack"),
    (
        LossReason::MissedFree,
        "missed-free",
        "missed free",
        "blocks handed out again without a free in between; taken as freed",
    ),
    (LossReason::AddressRange, "address-range", "address range", "blocks above 2^48, which are not recorded"),
    (
        LossReason::UnreadableResult,
        "unreadable-result",
        "unreadable result",
        "results of posix_memalign that could not be read",
    ),
    (LossReason::EventDropped, "event-dropped", "event dropped", "events that memtrace was too slow to take"),
    (
        LossReason::LateProbes,
        "late-probes",
        "late probes",
        "programs that ran before probes were in place: calls until then are not recorded",
    ),
    (LossReason::NoSlot, "no-slot", "no slot", "processes not traced: too many were started at once"),
    (
        LossReason::MappingDropped,
        "mapping-dropped",
        "mapping dropped",
        "changes of mappings that were not told; what is mapped was set right, but not by whom",
    ),
    (
        LossReason::PythonCode,
        "python-code",
        "Python code",
        "frames without a name: memtrace was too slow to take in their code",
    ),
    (
        LossReason::ShareOfBlocks,
        "share-of-blocks",
        "share of blocks",
        "blocks not recorded: their process had its share of the table, which is for all processes",
    ),
    (
        LossReason::ShareOfSites,
        "share-of-stacks",
        "share of stacks",
        "allocations counted, but under no call stack: their process had its share of the table",
    ),
];

impl LossReason {
    /// Every reason.
    pub fn all() -> impl Iterator<Item = Self> {
        REASONS.iter().map(|(reason, ..)| *reason)
    }

    /// Its name in files, which stays whatever the words for people become.
    #[must_use]
    pub fn key(self) -> &'static str {
        REASONS[self as usize].1
    }

    /// A few words for a header.
    #[must_use]
    pub fn name(self) -> &'static str {
        REASONS[self as usize].2
    }

    /// What it does to the numbers.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        REASONS[self as usize].3
    }
}

/// Counts by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses([u64; REASONS.len()]);

impl Losses {
    /// Adds to the count of a reason.
    pub fn add(&mut self, reason: LossReason, count: u64) {
        let sum = &mut self.0[reason as usize];
        *sum = sum.saturating_add(count);
    }

    /// The count of a reason.
    #[must_use]
    pub fn count(&self, reason: LossReason) -> u64 {
        self.0[reason as usize]
    }

    /// Sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().copied().fold(0, u64::saturating_add)
    }

    /// The reasons with a count above zero.
    pub fn iter(&self) -> impl Iterator<Item = (LossReason, u64)> + '_ {
        LossReason::all().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table is indexed by the reason, so its order must be the enum's.
    #[test]
    fn table_is_in_the_order_of_the_reasons() {
        for (index, (reason, ..)) in REASONS.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
