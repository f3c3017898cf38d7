//! The ranked groups: what is read is added up, compared with the last mark, filtered and put in order.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
};

use super::{
    columns::{RowNumbers, descending},
    grouped::Grouped,
    heading::Order,
    history::StackHistory,
    marks::{Amount, GroupGrowth, Growth, Marks},
    reading::Reading,
};
use crate::profile::{AllocRates, AllocStats, GroupBy, LiveGroup, LiveTree, Location, NumberedStack, SiteNamer};

/// The rows, and what they are made from.
#[derive(Debug, Default)]
pub(super) struct Table {
    grouped: Grouped,
    /// Counters of each stack in the reading that is shown, and in the one before.
    stats: Vec<AllocStats>,
    before: Vec<AllocStats>,
    /// What the session calls each stack.
    ids: Vec<u32>,
    /// Seconds between the two.
    seconds: f64,
    elapsed: Option<std::time::Duration>,
    pub(super) history: StackHistory,
    pub(super) marks: Marks,
    rows: Vec<RowNumbers>,
    /// The first stack of each group.
    first_of: Vec<u32>,
    order: Vec<u32>,
    /// Parts of the total down to each row in order.
    running: Vec<f64>,
    pub(super) sort: Order,
    pub(super) reversed: bool,
    filter: String,
    /// What has grown between the compared marks; made when it is looked at.
    pub(super) growth: Vec<GroupGrowth>,
}

impl Table {
    pub(super) fn new(sort: Order, namer: SiteNamer) -> Self {
        Self { grouped: Grouped::new(namer), sort, ..Self::default() }
    }

    /// Takes a reading in.
    pub(super) fn read(&mut self, reading: &Reading) {
        let profile = &reading.profile;
        self.grouped.read(reading);
        self.before = std::mem::take(&mut self.stats);
        let passed = self.elapsed.map_or(0.0, |before| profile.elapsed.saturating_sub(before).as_secs_f64());
        self.seconds = passed;
        self.elapsed = Some(profile.elapsed);
        self.stats = vec![AllocStats::default(); self.grouped.stacks().len()];
        self.ids.resize(self.stats.len(), u32::MAX);
        for ((sample, id), number) in profile.samples.iter().zip(&profile.stack_ids).zip(self.grouped.of_samples()) {
            self.stats[*number as usize] += sample.stats;
            self.ids[*number as usize] = *id;
        }
        self.history.push(self.stats.iter().map(AllocStats::live_bytes));
        self.count();
        self.rank();
    }

    /// Begins anew after an exec or a clear: what was recorded is gone.
    pub(super) fn forget(&mut self) {
        let mut grouped = std::mem::take(&mut self.grouped);
        grouped.forget();
        let mut marks = std::mem::take(&mut self.marks);
        marks.forget();
        let filter = std::mem::take(&mut self.filter);
        *self = Self { grouped, marks, sort: self.sort, reversed: self.reversed, filter, ..Self::default() };
    }

    pub(super) const fn grouped(&self) -> &Grouped {
        &self.grouped
    }

    pub(super) const fn by(&self) -> GroupBy {
        self.grouped.by()
    }

    /// Groups in another way.
    pub(super) fn regroup(&mut self, change: impl FnOnce(&mut Grouped)) {
        change(&mut self.grouped);
        self.count();
        self.rank();
    }

    /// Lines have been looked up.
    pub(super) fn lines_known(&mut self, asked: &BTreeSet<Location>, reading: &Reading) {
        if self.grouped.lines_known(asked, reading) {
            self.count();
            self.rank();
        }
    }

    /// The next sites whose lines are not known.
    pub(super) fn without_lines(&mut self) -> Vec<Location> {
        self.grouped.without_lines()
    }

    /// Brings the tree of all stacks up to a reading.
    pub(super) fn extend_tree(&mut self, tree: &mut LiveTree, reading: &Reading) {
        self.grouped.extend_tree(tree, reading);
    }

    /// Tells the tree of all stacks of names that may have changed.
    pub(super) fn rename_tree(&mut self, tree: &mut LiveTree, asked: &BTreeSet<Location>, reading: &Reading) {
        self.grouped.rename_tree(tree, asked, reading);
    }

    /// Adds the stacks up.
    pub(super) fn count(&mut self) {
        let groups = self.grouped.groups();
        let now = groups.sum(&self.stats);
        let before = groups.sum(&self.before);
        let marked = groups.sum(self.marks.last());
        let seconds = std::time::Duration::from_secs_f64(self.seconds);
        let row = |((stats, before), marked): ((&AllocStats, &AllocStats), &Amount)| RowNumbers {
            stats: *stats,
            change: Growth::between(*marked, Amount::from(stats)),
            rates: AllocRates::between(before, stats, seconds),
        };
        self.first_of = vec![u32::MAX; groups.groups().len()];
        for (stack, group) in groups.members_of_all() {
            let first = &mut self.first_of[group as usize];
            *first = (*first).min(stack);
        }
        self.rows = now.iter().zip(&before).zip(&marked).map(row).collect();
    }

    /// Filters the rows and puts them in order. Equal ones are in the order of their live bytes, then as they were met,
    /// so that two readings of one state show one order.
    pub(super) fn rank(&mut self) {
        let shown: Vec<u32> = (0_u32..)
            .zip(self.grouped.groups().groups())
            .filter(|(group, name)| self.has_something(*group) && matches(name, self.by(), &self.filter))
            .map(|(group, _)| group)
            .collect();
        self.order = if let Some(column) = self.sort.column() {
            let key = |group: &u32| {
                let row = &self.rows[*group as usize];
                (descending((column.value)(row)), Reverse(row.stats.live_bytes()), *group)
            };
            let mut keyed: Vec<_> = shown.iter().map(key).collect();
            keyed.sort_unstable();
            keyed.into_iter().map(|(_, _, group)| group).collect()
        } else {
            let groups = self.grouped.groups().groups();
            let mut shown = shown;
            shown.sort_by(|a, b| groups[*a as usize].cmp(&groups[*b as usize]));
            shown
        };
        if self.reversed {
            self.order.reverse();
        }
        self.running = self.running_shares();
    }

    fn has_something(&self, group: u32) -> bool {
        self.rows.get(group as usize).is_some_and(|row| row.stats.allocated_blocks > 0)
    }

    /// Of what is sorted by, where that adds up; else of the live bytes. Taken of all rows, those filtered out too.
    fn running_shares(&self) -> Vec<f64> {
        let live: fn(&RowNumbers) -> f64 = super::columns::COLUMNS[0].value;
        let value = self.sort.column().filter(|column| column.adds_up).map_or(live, |column| column.value);
        let total: f64 = self.rows.iter().map(value).sum();
        let shares = self.order.iter().scan(0.0, |sum, group| {
            *sum += value(&self.rows[*group as usize]);
            Some(if total > 0.0 { (*sum / total).min(1.0) } else { 0.0 })
        });
        shares.collect()
    }

    pub(super) fn filter(&self) -> &str {
        &self.filter
    }

    pub(super) fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        self.rank();
    }

    /// Numbers of the groups that are shown, in order.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Groups that there are, those filtered out too.
    pub(super) fn count_all(&self) -> usize {
        (0..).take(self.rows.len()).filter(|group| self.has_something(*group)).count()
    }

    /// Part of the total down to a row; none where rows are layers of memory, which have no sum.
    pub(super) fn running(&self, place: usize) -> Option<f64> {
        self.running.get(place).copied().filter(|_| self.by() != GroupBy::Domain)
    }

    pub(super) fn row(&self, group: u32) -> &RowNumbers {
        &self.rows[group as usize]
    }

    pub(super) fn group(&self, group: u32) -> &LiveGroup {
        &self.grouped.groups().groups()[group as usize]
    }

    pub(super) fn group_of(&self, stack: u32) -> Option<u32> {
        self.grouped.groups().of_stack(stack)
    }

    /// The stacks of a group, those with most live bytes first.
    pub(super) fn members(&self, group: u32) -> Vec<u32> {
        self.grouped.groups().members(group, &self.stats)
    }

    /// What the session calls stacks.
    pub(super) fn ids(&self, stacks: &[u32]) -> HashSet<u32> {
        stacks.iter().filter_map(|stack| self.ids.get(*stack as usize).copied()).collect()
    }

    /// Blocks that were allocated between the compared points and are still live, by group. `survivors` counts them since
    /// each point, by the session's names of stacks.
    pub(super) fn survivors(&self, survivors: &HashMap<u32, Vec<u64>>) -> Vec<u64> {
        let (from, to) = self.marks.compared_points();
        let between = |counts: &Vec<u64>| {
            let since = |point: usize| counts.get(point).copied().unwrap_or(0);
            since(from).saturating_sub(since(to))
        };
        let of_stack = |id: &u32| survivors.get(id).map_or(0, between);
        self.grouped.groups().sum(&self.ids.iter().map(of_stack).collect::<Vec<u64>>())
    }

    /// A stack of a group: the first that was met.
    pub(super) fn any_stack(&self, group: u32) -> Option<u32> {
        self.first_of.get(group as usize).copied()
    }

    pub(super) fn stack(&self, stack: u32) -> (&NumberedStack, &AllocStats) {
        (&self.grouped.stacks()[stack as usize], &self.stats[stack as usize])
    }

    pub(super) fn stack_count(&self) -> u32 {
        u32::try_from(self.stats.len()).unwrap_or(u32::MAX)
    }

    /// Live bytes of a stack.
    pub(super) fn live_bytes(&self, stack: u32) -> i64 {
        signed(self.stats[stack as usize].live_bytes())
    }

    /// Bytes that a stack has allocated since the reading before; less than none where what it had counts elsewhere now, as
    /// that of processes that have ended does.
    pub(super) fn allocated_since(&self, stack: u32) -> i64 {
        let now = self.stats[stack as usize];
        let before = self.before.get(stack as usize).copied().unwrap_or_default();
        signed(now.allocated_bytes) - signed(before.allocated_bytes)
    }

    /// Seconds that [`Self::allocated_since`] is of.
    pub(super) const fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Marks the reading that is shown; the number of the mark.
    pub(super) fn mark(&mut self) -> u32 {
        let number = self.marks.set(self.elapsed.unwrap_or_default(), &self.stats);
        self.count();
        self.rank();
        number
    }

    pub(super) fn amounts(&self) -> Vec<Amount> {
        self.stats.iter().map(Amount::from).collect()
    }

    /// Growth of all that is of the shown layer of memory from each mark to the next.
    pub(super) fn generations(&self) -> Vec<Growth> {
        self.marks.generations(&self.amounts(), |stack| self.grouped.is_shown(stack))
    }

    /// Compares the chosen marks.
    pub(super) fn find_growth(&mut self) {
        let rows = self.marks.growth(self.grouped.groups(), &self.amounts());
        let is_shown = |row: &GroupGrowth| matches(self.group(row.group), self.by(), &self.filter);
        self.growth = rows.into_iter().filter(is_shown).collect();
    }
}

/// Whether a name holds the text somewhere; ASCII letters in either case.
fn matches(group: &LiveGroup, by: GroupBy, text: &str) -> bool {
    use crate::profile::GroupName;
    if text.is_empty() {
        return true;
    }
    let holds = |name: &str| {
        let (name, text) = (name.as_bytes(), text.as_bytes());
        name.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text))
    };
    let of_thread = group.thread.as_ref().is_some_and(|(name, _)| holds(name));
    of_thread
        || match &group.name {
            GroupName::Place(place) => {
                [&place.function, &place.file, &place.module].into_iter().flatten().any(|name| holds(name))
            }
            GroupName::Thread { thread: Some((name, tid)), .. } => holds(name) || holds(&tid.to_string()),
            other => holds(&crate::report::group_label::full(other, by)),
        }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
