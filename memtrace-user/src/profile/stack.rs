//! Call stacks as they are recorded: code locations, innermost first, and why the walk ended.

use std::sync::Arc;

use super::{AllocStats, Location, SymbolTable};

/// Locations of return addresses, innermost (the caller of the allocator) first.
pub type CallStack = Arc<[Location]>;

/// Why a stack walk ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StackEnd {
    /// The outermost frame was reached: the frame pointer chain ends with zero, as the start of a thread leaves it.
    Whole,
    /// `--max-frames` were taken and there were more.
    Truncated,
    /// The chain led to memory that cannot be read, or to something that is no code.
    #[default]
    Incomplete,
}

/// One line an end, with its name in files.
const ENDS: [(StackEnd, &str); 3] =
    [(StackEnd::Whole, "whole"), (StackEnd::Truncated, "truncated"), (StackEnd::Incomplete, "incomplete")];

impl StackEnd {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        ENDS.iter().map(|(end, _)| *end)
    }

    /// Its name, as files have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        ENDS[self as usize].1
    }
}

/// Functions that nothing calls: where a thread's stack begins. A walk that came to one of them is whole, however it
/// ended, as glibc does not mark the outermost frame in every build.
const STARTS: [&str; 8] = [
    "_start",
    "__libc_start_main",
    "__libc_start_main_impl",
    "__libc_start_call_main",
    "start_thread",
    "clone",
    "clone3",
    "__clone3",
];

/// Whether a stack whose outermost function is this one is whole.
#[must_use]
pub fn starts_thread(function: &str) -> bool {
    // Symbol versions follow an `@`.
    STARTS.contains(&function.split('@').next().unwrap_or(function))
}

/// A kind of memory. Kinds belong to layers, which are never added up: a block lies in pages that another layer counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// Blocks handed out by an allocator: malloc and its relatives.
    #[default]
    Malloc,
    /// Those of them that a Python interpreter has asked for: its objects, and what they hold.
    Python,
    /// Memory that the program maps by itself, without a file: mmap(2), mremap(2), brk(2). Address space that can be
    /// accessed, whether pages stand behind it or not.
    Mmap,
    /// The same of an allocator, which hands it out in blocks.
    Allocator,
    /// Addresses that were mapped without access (`PROT_NONE`), by whomever: reserved, or a guard.
    Reserved,
}

/// Marks the stacks that came to where a thread starts as whole, however their walk ended.
pub fn mark_whole_stacks(samples: &mut [StackSample], symbols: &SymbolTable) {
    for sample in samples {
        let outermost = sample.stack.last().and_then(|location| symbols.frames(*location).last());
        let function = outermost.and_then(|frame| frame.function.as_deref());
        if sample.end == StackEnd::Incomplete && function.is_some_and(starts_thread) {
            sample.end = StackEnd::Whole;
        }
    }
}

/// One line a domain, with its name in files and filters, and what it is.
const DOMAINS: [(Domain, &str, &str); 5] = [
    (Domain::Malloc, "malloc", "Blocks handed out by an allocator"),
    (Domain::Python, "python", "Those of them that a Python interpreter has asked for"),
    (Domain::Mmap, "mmap", "Memory that the program maps by itself"),
    (Domain::Allocator, "allocator", "Memory that an allocator maps for its blocks"),
    (Domain::Reserved, "reserved", "Addresses without access: reserved, or guards"),
];

impl Domain {
    /// Every one.
    pub fn all() -> impl Iterator<Item = Self> {
        DOMAINS.iter().map(|(domain, ..)| *domain)
    }

    /// Its name, as files and filters have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        DOMAINS[self as usize].1
    }

    /// The domain that stands for its layer: Python's blocks are blocks.
    #[must_use]
    pub const fn layer(self) -> Self {
        match self {
            Self::Python => Self::Malloc,
            other => other,
        }
    }

    /// Whether the two are of one layer, so that they may be added up.
    #[must_use]
    pub fn is_beside(self, other: Self) -> bool {
        self.layer() == other.layer()
    }

    /// What it is, for a help text.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        DOMAINS[self as usize].2
    }
}

/// Index of a process in its profile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessIndex(pub u32);

/// Index of a thread in its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadIndex(pub u32);

/// One call stack of one process with what was allocated through it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackSample {
    /// The frames, innermost first; empty when none could be recorded.
    pub stack: CallStack,
    /// Whether the frames reach the start of the thread.
    pub end: StackEnd,
    /// Layer of memory.
    pub domain: Domain,
    /// Whose it is.
    pub process: ProcessIndex,
    /// The allocating thread, where threads are told apart.
    pub thread: Option<ThreadIndex>,
    /// Its counters.
    pub stats: AllocStats,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tables are indexed by their enum, so their lines must be in its order.
    #[test]
    fn tables_are_in_the_order_of_their_enum() {
        assert!(StackEnd::all().enumerate().all(|(index, end)| end as usize == index));
        assert!(Domain::all().enumerate().all(|(index, domain)| domain as usize == index));
    }
}
