//! A reading whose names are still looked up; with them, what is known of its stacks' ends is put right.

use crate::profile::{Profile, StackEnd, SymbolTable, Unfollowed, starts_thread};

/// A reading whose names are still looked up, and why its incomplete stacks are, in the order of its samples.
pub(super) struct Unnamed {
    pub(super) profile: Profile,
    pub(super) unfollowed: Vec<Option<Unfollowed>>,
}

impl Unnamed {
    /// The reading, once its names are known.
    pub(super) fn named(self, symbols: &SymbolTable) -> Profile {
        let Self { mut profile, unfollowed } = self;
        mark_whole_stacks(&mut profile, symbols);
        add_unfollowed(&mut profile, &unfollowed);
        profile
    }
}

/// A walk that came to where a thread starts is whole, however it ended.
fn mark_whole_stacks(profile: &mut Profile, symbols: &SymbolTable) {
    for sample in &mut profile.samples {
        let outermost = sample.stack.last().and_then(|location| symbols.frames(*location).last());
        let function = outermost.and_then(|frame| frame.function.as_deref());
        if sample.end == StackEnd::Incomplete && function.is_some_and(starts_thread) {
            sample.end = StackEnd::Whole;
        }
    }
}

/// Sums up what incomplete stacks allocated by the reason. One that walked out of known code has none of its own.
fn add_unfollowed(profile: &mut Profile, reasons: &[Option<Unfollowed>]) {
    for (sample, reason) in profile.samples.iter().zip(reasons) {
        if sample.end == StackEnd::Incomplete {
            profile.unfollowed.add(reason.unwrap_or(Unfollowed::UnknownCode), sample.stats.allocated_bytes);
        }
    }
}
