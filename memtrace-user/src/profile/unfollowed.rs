//! Why stacks could not be followed to their end, and how much was allocated by such stacks.

use std::collections::BTreeMap;

/// Why a walk ended before the start of the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unfollowed {
    /// The stack led to an address where nothing is known to be mapped.
    UnknownCode,
    /// A file has no unwind information, or memtrace could not use it, and frame pointers were not to be followed.
    NoTable,
    /// A file has unwind information, but none for this code.
    NoRule,
    /// The unwind information says something that memtrace does not understand.
    Unsupported,
    /// The stack could not be read where the caller should be, or led downwards.
    Unreadable,
    /// The chain of frame pointers broke.
    BrokenChain,
    /// The table of call stacks had no room.
    NotKept,
}

impl Unfollowed {
    /// One short phrase, to follow a share of the allocated bytes.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::UnknownCode => "end in code that is mapped by no known file",
            Self::NoTable => "end in a file without unwind information",
            Self::NoRule => "end in code that its file's unwind information leaves out",
            Self::Unsupported => "end in code whose unwind information has no supported form",
            Self::Unreadable => "lead to stack memory that cannot be read, or downwards",
            Self::BrokenChain => "end where the chain of frame pointers breaks",
            Self::NotKept => "found no room in the table of call stacks",
        }
    }
}

/// Allocated bytes by the reason why their stack is incomplete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnfollowedBytes(BTreeMap<Unfollowed, u64>);

impl UnfollowedBytes {
    /// Adds allocated bytes.
    pub fn add(&mut self, reason: Unfollowed, bytes: u64) {
        *self.0.entry(reason).or_default() += bytes;
    }

    /// Reasons with their bytes, most bytes first.
    #[must_use]
    pub fn ranked(&self) -> Vec<(Unfollowed, u64)> {
        let mut ranked: Vec<_> =
            self.0.iter().map(|(reason, bytes)| (*reason, *bytes)).filter(|(_, bytes)| *bytes > 0).collect();
        ranked.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of one reason are added up, and reasons with the most bytes come first.
    #[test]
    fn reasons_are_ranked() {
        let mut bytes = UnfollowedBytes::default();
        bytes.add(Unfollowed::NoRule, 10);
        bytes.add(Unfollowed::Unreadable, 15);
        bytes.add(Unfollowed::NoRule, 10);
        bytes.add(Unfollowed::NoTable, 0);
        assert_eq!(bytes.ranked(), [(Unfollowed::NoRule, 20), (Unfollowed::Unreadable, 15)]);
    }
}
