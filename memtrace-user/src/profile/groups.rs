//! Samples added up by what they have in common, and ranked.

use std::cmp::Reverse;

use super::{
    AllocStats, GroupName, GroupOptions, Samples, SortBy,
    tally::{Runs, Tally},
};

/// The sum of some samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What they have in common.
    pub name: GroupName,
    /// Their sum.
    pub stats: AllocStats,
}

/// All groups of some profiles, or the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// The number that they are ordered by.
    pub sort: SortBy,
    /// The groups, greatest first; equal ones by name.
    pub groups: Vec<Group>,
    /// The groups left out.
    pub others: OtherGroups,
    /// Sum over all samples that pass the filters. With cumulative counting, groups add up to more.
    pub total: AllocStats,
}

/// The groups below the last one that is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtherGroups {
    /// How many there are.
    pub groups: usize,
    /// Their sum; with cumulative counting, a sample is in it as often as it is in groups.
    pub stats: AllocStats,
}

impl Groups {
    /// Adds up the samples of all the profiles, and ranks the groups.
    #[must_use]
    pub fn of(profiles: &[Samples<'_>], options: &GroupOptions, sort: SortBy) -> Self {
        let tally = Tally::of([profiles], options, Runs::Same);
        let mut groups: Vec<_> = tally.groups.into_iter().map(|(name, [stats])| Group { name, stats }).collect();
        order(&mut groups, sort);
        Self { sort, groups, others: OtherGroups::default(), total: tally.totals[0] }
    }

    /// The same groups in another order: much cheaper than grouping anew. Of what [`Self::top`] has left out, none
    /// comes back.
    #[must_use]
    pub fn ranked_by(mut self, sort: SortBy) -> Self {
        order(&mut self.groups, sort);
        Self { sort, ..self }
    }

    /// Keeps so many groups apart and adds up the rest.
    #[must_use]
    pub fn top(mut self, count: usize) -> Self {
        let left_out = self.groups.split_off(count.min(self.groups.len()));
        self.others.groups += left_out.len();
        self.others.stats += left_out.iter().map(|group| group.stats).sum();
        self
    }

    /// Moves groups that have nothing of what is ranked by to the others: they are not worth a line.
    #[must_use]
    pub fn without_empty(self) -> Self {
        let count = self.groups.iter().take_while(|group| self.sort.value(&group.stats) > 0).count();
        self.top(count)
    }

    /// A number's part of the total, 0 to 1; 0 when the total is 0.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
    pub fn share(&self, stats: &AllocStats) -> f64 {
        let (value, total) = (self.sort.value(stats), self.sort.value(&self.total));
        if total == 0 { 0.0 } else { value as f64 / total as f64 }
    }
}

/// Greatest first, equal ones by name. Names are looked at only where values do not tell.
fn order(groups: &mut [Group], sort: SortBy) {
    groups.sort_unstable_by_key(|group| Reverse(sort.value(&group.stats)));
    for equal in groups.chunk_by_mut(|a, b| sort.value(&a.stats) == sort.value(&b.stats)) {
        equal.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    }
}
