//! The ranked groups: what is read is added up, compared with the last mark, filtered and put in order.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use super::{
    app::Reading,
    columns::{Order, RowNumbers, descending},
    history::StackHistory,
    marks::{Amount, GroupGrowth, Growth, Marks},
};
use crate::profile::{
    AllocRates, AllocStats, GroupBy, LiveGroup, LiveGroups, Location, Names, NumberedStack, ProcessName, SiteNamer,
    StackNumbers,
};

/// Locations whose lines are asked for at once, besides those on the screen: a bundle is looked up before the next
/// reading is taken.
const LINES_AT_ONCE: usize = 256;

/// Groupings of the live view, as they are stepped through.
const GROUPINGS: [GroupBy; 7] = [
    GroupBy::Line,
    GroupBy::Function,
    GroupBy::File,
    GroupBy::Module,
    GroupBy::Thread,
    GroupBy::Process,
    GroupBy::Domain,
];

/// The rows, and what they are made from.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) namer: SiteNamer,
    stacks: StackNumbers,
    groups: LiveGroups,
    by: GroupBy,
    split_threads: bool,
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
    /// Locations whose lines have been looked up, those being so, and the stacks whose sites have been asked for.
    with_lines: HashSet<Location>,
    lines_of: usize,
}

impl Table {
    pub(super) fn new(sort: Order, namer: SiteNamer) -> Self {
        Self { namer, sort, ..Self::default() }
    }

    /// Takes a reading in.
    pub(super) fn read(&mut self, reading: &Reading) {
        let profile = &reading.profile;
        self.stacks.update(profile, &reading.symbols, &self.namer);
        self.before = std::mem::take(&mut self.stats);
        let passed = self.elapsed.map_or(0.0, |before| profile.elapsed.saturating_sub(before).as_secs_f64());
        self.seconds = passed;
        self.elapsed = Some(profile.elapsed);
        self.stats = vec![AllocStats::default(); self.stacks.stacks().len()];
        self.ids.resize(self.stats.len(), u32::MAX);
        for ((sample, id), number) in profile.samples.iter().zip(&profile.stack_ids).zip(self.stacks.of_samples()) {
            self.stats[*number as usize] += sample.stats;
            self.ids[*number as usize] = *id;
        }
        self.history.push(self.stats.iter().map(AllocStats::live_bytes));
        self.regroup_new(reading);
        self.count();
        self.rank();
    }

    /// Begins anew after an exec: what was recorded is gone.
    pub(super) fn forget(&mut self) {
        let namer = self.namer.clone();
        let mut marks = std::mem::take(&mut self.marks);
        marks.forget();
        let (by, split_threads, reversed) = (self.by, self.split_threads, self.reversed);
        let filter = std::mem::take(&mut self.filter);
        *self = Self {
            marks,
            by,
            split_threads,
            reversed,
            filter,
            groups: LiveGroups::new(by, split_threads),
            ..Self::new(self.sort, namer)
        };
    }

    pub(super) const fn by(&self) -> GroupBy {
        self.by
    }

    pub(super) const fn splits_threads(&self) -> bool {
        self.split_threads
    }

    /// Whether any stack tells its thread.
    pub(super) fn knows_threads(&self) -> bool {
        self.stacks.stacks().iter().any(|stack| stack.thread.is_some())
    }

    /// Groups by the next or previous property.
    pub(super) fn group_by_next(&mut self, forward: bool, reading: Option<&Reading>) {
        let at = GROUPINGS.iter().position(|by| *by == self.by).unwrap_or(0);
        let next = if forward { at + 1 } else { at + GROUPINGS.len() - 1 };
        self.by = GROUPINGS[next % GROUPINGS.len()];
        self.regroup(reading);
    }

    pub(super) fn set_split_threads(&mut self, split: bool, reading: Option<&Reading>) {
        self.split_threads = split;
        self.regroup(reading);
    }

    /// Makes all groups anew, as their names or the grouping have changed.
    pub(super) fn regroup(&mut self, reading: Option<&Reading>) {
        self.groups = LiveGroups::new(self.by, self.split_threads);
        if let Some(reading) = reading {
            self.regroup_new(reading);
        }
        self.count();
        self.rank();
    }

    fn regroup_new(&mut self, reading: &Reading) {
        let profile = &reading.profile;
        let info = &profile.process;
        let process = ProcessName { command: info.command.as_str().into(), pid: info.pid, started_at: None };
        let names = Names {
            symbols: &reading.symbols,
            modules: &profile.modules,
            process: &process,
            others: &profile.others,
            threads: reading.threads(),
            namer: &self.namer,
        };
        self.groups.extend(self.stacks.stacks(), &names);
    }

    /// Lines have been looked up: places in one line are one row from now on.
    pub(super) fn lines_known(&mut self, asked: impl IntoIterator<Item = Location>, reading: Option<&Reading>) {
        self.with_lines.extend(asked);
        if matches!(self.by, GroupBy::Line | GroupBy::Function | GroupBy::File) {
            self.regroup(reading);
        }
    }

    /// The next sites whose lines are not known, in the order in which they were met; none where lines do not matter.
    pub(super) fn without_lines(&mut self) -> Vec<Location> {
        if !matches!(self.by, GroupBy::Line | GroupBy::Function | GroupBy::File) {
            return Vec::new();
        }
        let stacks = self.stacks.stacks();
        let is_known = |stack: &NumberedStack| stack.site.is_none_or(|site| self.with_lines.contains(&site));
        while stacks.get(self.lines_of).is_some_and(is_known) {
            self.lines_of += 1;
        }
        let unknown = stacks[self.lines_of..].iter().filter(|stack| !is_known(stack));
        unknown.filter_map(|stack| stack.site).take(LINES_AT_ONCE).collect()
    }

    /// Adds the stacks up.
    pub(super) fn count(&mut self) {
        let now = self.groups.sum(&self.stats);
        let before = self.groups.sum(&self.before);
        let marked = self.groups.sum(self.marks.last());
        let seconds = std::time::Duration::from_secs_f64(self.seconds);
        let row = |((stats, before), marked): ((&AllocStats, &AllocStats), &Amount)| RowNumbers {
            stats: *stats,
            change: Growth::between(*marked, Amount::from(stats)),
            rates: AllocRates::between(before, stats, seconds),
        };
        self.first_of = vec![u32::MAX; self.groups.groups().len()];
        for (stack, group) in (0_u32..).zip(self.groups.of_stacks()) {
            let first = &mut self.first_of[*group as usize];
            *first = (*first).min(stack);
        }
        self.rows = now.iter().zip(&before).zip(&marked).map(row).collect();
    }

    /// Filters the rows and puts them in order. Equal ones are in the order of their live bytes, then as they were met,
    /// so that two readings of one state show one order.
    pub(super) fn rank(&mut self) {
        let shown: Vec<u32> = (0_u32..)
            .zip(self.groups.groups())
            .filter(|(group, name)| self.has_something(*group) && matches(name, self.by, &self.filter))
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
            let groups = self.groups.groups();
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

    pub(super) fn running(&self, place: usize) -> f64 {
        self.running.get(place).copied().unwrap_or(0.0)
    }

    pub(super) fn row(&self, group: u32) -> &RowNumbers {
        &self.rows[group as usize]
    }

    pub(super) fn group(&self, group: u32) -> &LiveGroup {
        &self.groups.groups()[group as usize]
    }

    pub(super) fn group_of(&self, stack: u32) -> Option<u32> {
        self.groups.of_stacks().get(stack as usize).copied()
    }

    /// The stacks of a group, those with most live bytes first.
    pub(super) fn members(&self, group: u32) -> Vec<u32> {
        self.groups.members(group, &self.stats)
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
        self.groups.sum(&self.ids.iter().map(of_stack).collect::<Vec<u64>>())
    }

    /// A stack of a group: the first that was met.
    pub(super) fn any_stack(&self, group: u32) -> Option<u32> {
        self.first_of.get(group as usize).copied()
    }

    pub(super) fn stack(&self, stack: u32) -> (&NumberedStack, &AllocStats) {
        (&self.stacks.stacks()[stack as usize], &self.stats[stack as usize])
    }

    pub(super) fn stack_count(&self) -> u32 {
        u32::try_from(self.stats.len()).unwrap_or(u32::MAX)
    }

    /// What a stack has done since the reading before.
    pub(super) fn activity(&self, stack: u32) -> AllocStats {
        let now = self.stats[stack as usize];
        let before = self.before.get(stack as usize).copied().unwrap_or_default();
        AllocStats {
            allocated_blocks: now.allocated_blocks.saturating_sub(before.allocated_blocks),
            allocated_bytes: now.allocated_bytes.saturating_sub(before.allocated_bytes),
            ..AllocStats::default()
        }
    }

    /// Seconds that [`Self::activity`] is of.
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

    /// Compares the chosen marks.
    pub(super) fn find_growth(&mut self) {
        let rows = self.marks.growth(&self.groups, &self.amounts());
        let is_shown = |row: &GroupGrowth| matches(self.group(row.group), self.by, &self.filter);
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
