//! What has changed between two profiles, group by group: tracemalloc's `compare_to`.

use std::cmp::Reverse;

use super::{
    AllocStats, GroupName, GroupOptions, Samples, SortBy,
    tally::{Runs, Tally},
};

/// A group before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDiff {
    /// What the samples have in common. Where two paths or processes were taken for one, the first name in order.
    pub name: GroupName,
    /// Their sum before; zero for a group that is new.
    pub before: AllocStats,
    /// Their sum after; zero for a group that is gone.
    pub after: AllocStats,
}

/// The difference of two profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileDiff {
    /// The number that the groups are ordered by.
    pub sort: SortBy,
    /// The groups whose numbers have changed, in any of the four counters, by absolute difference of the number ranked
    /// by; equal ones by name.
    pub groups: Vec<GroupDiff>,
    /// How many groups have not changed.
    pub unchanged: usize,
    /// The groups left out.
    pub others: OtherDiffs,
    /// Sum over all samples that pass the filters, before.
    pub before: AllocStats,
    /// The same after.
    pub after: AllocStats,
}

/// The changed groups below the last one that is kept. With cumulative counting, sums hold a sample as often as it is
/// in groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtherDiffs {
    /// How many there are.
    pub groups: usize,
    /// Their sum before.
    pub before: AllocStats,
    /// Their sum after.
    pub after: AllocStats,
}

/// `after - before`, whichever is greater.
#[must_use]
pub fn difference(before: u64, after: u64) -> i128 {
    i128::from(after) - i128::from(before)
}

impl GroupDiff {
    /// How the number has changed.
    #[must_use]
    pub fn change(&self, sort: SortBy) -> i128 {
        difference(sort.value(&self.before), sort.value(&self.after))
    }
}

impl ProfileDiff {
    /// Groups both sides and compares them. Groups are matched by names, never by address: files by the end of their
    /// path that tells them apart, processes and threads by their names where these tell.
    #[must_use]
    pub fn of(before: &[Samples<'_>], after: &[Samples<'_>], options: &GroupOptions, sort: SortBy) -> Self {
        let tally = Tally::of([before, after], options, Runs::Restarted);
        let all = tally.groups.len();
        let diffs = tally.groups.into_iter().map(|(name, [before, after])| GroupDiff { name, before, after });
        let mut groups: Vec<_> = diffs.filter(|group| group.before != group.after).collect();
        groups.sort_unstable_by(|a, b| {
            let size = |group: &GroupDiff| Reverse(group.change(sort).unsigned_abs());
            size(a).cmp(&size(b)).then_with(|| a.name.cmp(&b.name))
        });
        let unchanged = all - groups.len();
        let [before, after] = tally.totals;
        Self { sort, groups, unchanged, others: OtherDiffs::default(), before, after }
    }

    /// Keeps so many groups apart and adds up the rest.
    #[must_use]
    pub fn top(mut self, count: usize) -> Self {
        let left_out = self.groups.split_off(count.min(self.groups.len()));
        self.others.groups += left_out.len();
        for group in left_out {
            self.others.before += group.before;
            self.others.after += group.after;
        }
        self
    }

    /// Moves groups whose number ranked by has not changed to the others: they are not worth a line.
    #[must_use]
    pub fn without_empty(self) -> Self {
        let count = self.groups.iter().take_while(|group| group.change(self.sort) != 0).count();
        self.top(count)
    }

    /// By how many bytes live memory has grown, over all samples that pass the filters; negative when it has shrunk.
    #[must_use]
    pub fn live_growth(&self) -> i128 {
        difference(self.before.live_bytes(), self.after.live_bytes())
    }

    /// The same comparison the other way round.
    #[must_use]
    pub fn reversed(self) -> Self {
        let swap = |GroupDiff { name, before, after }| GroupDiff { name, before: after, after: before };
        Self {
            groups: self.groups.into_iter().map(swap).collect(),
            others: OtherDiffs { groups: self.others.groups, before: self.others.after, after: self.others.before },
            before: self.after,
            after: self.before,
            ..self
        }
    }
}
