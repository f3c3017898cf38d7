//! A reading whose names are still looked up; with them, what is known of its stacks' ends is put right.

use crate::{
    profile::{Domain, Profile, StackEnd, SymbolTable, Unfollowed, main_domain, mark_whole_stacks},
    tracer::Runs,
};

/// A reading whose names are still looked up, and why its incomplete stacks are, in the order of its samples.
pub(super) struct Unnamed {
    pub(super) profile: Profile,
    pub(super) unfollowed: Vec<Option<Unfollowed>>,
    /// Samples that may have places which have no name yet: the first so many.
    pub(super) fresh: usize,
}

impl Unnamed {
    /// The reading, once its names are known.
    pub(super) fn named(self, symbols: &SymbolTable) -> Profile {
        let Self { mut profile, unfollowed, .. } = self;
        mark_whole_stacks(&mut profile.samples, symbols);
        // Sums up what incomplete stacks allocated by the reason. One that walked out of known code has none of its own.
        let main = main_domain(&profile.samples);
        for (sample, reason) in profile.samples.iter().zip(unfollowed) {
            if sample.domain.is_beside(main) && sample.end == StackEnd::Incomplete {
                profile.unfollowed.add(reason.unwrap_or(Unfollowed::UnknownCode), sample.stats.allocated_bytes);
            }
        }
        profile
    }
}

/// What `cargo xtask bench stacks` reads of a traced command: how deep its stacks were, how many are whole, and what
/// walking them took where the machine keeps run statistics.
#[expect(clippy::cast_precision_loss, reason = "means and shares")]
pub(super) fn log_stacks(profile: &Profile, runs: Option<Runs>) {
    let blocks = profile.totals.stats.allocated_blocks.max(1) as f64;
    let samples = profile.samples.iter().filter(|sample| sample.domain.is_beside(Domain::Malloc));
    let frames = samples.map(|sample| sample.stack.len() as f64 * sample.stats.allocated_blocks as f64);
    let coverage = profile.coverage();
    let runs = runs.unwrap_or_default();
    log::debug!(
        "stacks: {:.3} frames, {:.6} whole, {:.6} cut, {:.6} incomplete, {} walks, {} ns",
        frames.sum::<f64>() / blocks,
        coverage.whole,
        coverage.truncated,
        coverage.incomplete,
        runs.count,
        runs.time.as_nanos()
    );
}
