//! The call stacks met so far, and what they are grouped by: the part of the table that looks at names.

use std::collections::{BTreeSet, HashSet};

use super::reading::Reading;
use crate::profile::{
    Domain, GroupBy, Grouping, LiveGroups, LiveNames, LiveTree, Location, NumberedStack, SiteNamer, StackNumbers,
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

/// Stacks and their groups.
#[derive(Debug, Default)]
pub(super) struct Grouped {
    pub(super) namer: SiteNamer,
    stacks: StackNumbers,
    names: LiveNames,
    groups: LiveGroups,
    by: GroupBy,
    split_threads: bool,
    /// Layers of memory that have been met, and the one that was asked for.
    domains: BTreeSet<Domain>,
    wanted_domain: Option<Domain>,
    /// Locations whose lines have been looked up, those being so, and the stacks whose sites have been asked for.
    with_lines: HashSet<Location>,
    lines_of: usize,
}

impl Grouped {
    pub(super) fn new(namer: SiteNamer) -> Self {
        Self { namer, ..Self::default() }
    }

    /// What was recorded is gone; what is grouped by stays.
    pub(super) fn forget(&mut self) {
        let (by, split_threads, wanted_domain) = (self.by, self.split_threads, self.wanted_domain);
        *self = Self { by, split_threads, wanted_domain, ..Self::new(self.namer.clone()) };
        self.groups = LiveGroups::new(self.grouping());
    }

    /// Takes a reading in.
    pub(super) fn read(&mut self, reading: &Reading) {
        let (before, known) = (self.domain(), self.stacks.stacks().len());
        self.stacks.update(&reading.profile, &reading.symbols, &self.namer);
        self.domains.extend(self.stacks.stacks()[known..].iter().map(|stack| stack.domain.layer()));
        if self.domain() != before || known == 0 {
            self.names.forget(self.stacks.changed());
            self.regroup(reading);
            return;
        }
        self.names.forget(self.stacks.changed());
        let names = reading.names(&self.namer);
        self.groups.look_again(self.stacks.changed(), self.stacks.stacks(), &mut self.names, &names);
        self.groups.extend(self.stacks.stacks(), &mut self.names, &names);
    }

    fn grouping(&self) -> Grouping {
        let domain = (self.by != GroupBy::Domain).then(|| self.domain());
        // A row a thread says which one already.
        Grouping { by: self.by, split_threads: self.split_threads && self.by != GroupBy::Thread, domain }
    }

    fn regroup(&mut self, reading: &Reading) {
        self.groups = LiveGroups::new(self.grouping());
        let names = reading.names(&self.namer);
        self.groups.extend(self.stacks.stacks(), &mut self.names, &names);
    }

    fn regroup_if(&mut self, reading: Option<&Reading>) {
        match reading {
            Some(reading) => self.regroup(reading),
            None => self.groups = LiveGroups::new(self.grouping()),
        }
    }

    pub(super) const fn by(&self) -> GroupBy {
        self.by
    }

    /// Groups by the next or previous property.
    pub(super) fn group_by_next(&mut self, forward: bool, reading: Option<&Reading>) {
        let at = GROUPINGS.iter().position(|by| *by == self.by).unwrap_or(0);
        let next = if forward { at + 1 } else { at + GROUPINGS.len() - 1 };
        self.by = GROUPINGS[next % GROUPINGS.len()];
        self.regroup_if(reading);
    }

    pub(super) const fn splits_threads(&self) -> bool {
        self.split_threads
    }

    /// Whether any stack tells its thread.
    pub(super) fn knows_threads(&self) -> bool {
        self.stacks.stacks().iter().any(|stack| stack.thread.is_some())
    }

    pub(super) fn set_split_threads(&mut self, split: bool, reading: Option<&Reading>) {
        self.split_threads = split;
        self.regroup_if(reading);
    }

    /// The layer of memory that is shown: the one that was asked for, or the first that there is.
    pub(super) fn domain(&self) -> Domain {
        let wanted = self.wanted_domain.filter(|wanted| self.domains.contains(wanted));
        wanted.or_else(|| self.domains.first().copied()).unwrap_or_default()
    }

    /// The same where there are others beside.
    pub(super) fn domain_among_others(&self) -> Option<Domain> {
        (self.domains.len() > 1).then(|| self.domain())
    }

    /// Shows the next layer of memory; `false` where there is but one.
    pub(super) fn show_next_domain(&mut self, reading: Option<&Reading>) -> bool {
        let (domains, shown) = (&self.domains, self.domain());
        let next = domains.iter().find(|domain| **domain > shown).or_else(|| domains.first());
        self.wanted_domain = next.copied();
        self.regroup_if(reading);
        self.domains.len() > 1
    }

    /// Whether a stack is of the layer of memory that is shown.
    pub(super) fn is_shown(&self, stack: u32) -> bool {
        self.stacks.stacks().get(stack as usize).is_some_and(|stack| stack.domain.is_beside(self.domain()))
    }

    /// Lines have been looked up: places in one line are one row from now on. Returns whether groups may have changed.
    pub(super) fn lines_known(&mut self, asked: &BTreeSet<Location>, reading: &Reading) -> bool {
        self.with_lines.extend(asked);
        let is_renamed = |stack: &NumberedStack| stack.site.is_some_and(|site| asked.contains(&site));
        let renamed = (0_u32..).zip(self.stacks.stacks()).filter(|(_, stack)| is_renamed(stack));
        let renamed: Vec<u32> = renamed.map(|(number, _)| number).collect();
        self.names.forget(&renamed);
        let is_affected = matches!(self.by, GroupBy::Line | GroupBy::Function | GroupBy::File);
        if is_affected {
            let names = reading.names(&self.namer);
            self.groups.look_again(&renamed, self.stacks.stacks(), &mut self.names, &names);
        }
        is_affected
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

    /// Brings the tree of all stacks up to a reading.
    pub(super) fn extend_tree(&mut self, tree: &mut LiveTree, reading: &Reading) {
        let names = reading.names(&self.namer);
        tree.extend(self.stacks.stacks(), self.stacks.changed(), &mut self.names, &names);
    }

    /// Tells the tree of all stacks of names that may have changed.
    pub(super) fn rename_tree(&mut self, tree: &mut LiveTree, asked: &BTreeSet<Location>, reading: &Reading) {
        let names = reading.names(&self.namer);
        tree.rename(asked, &mut self.names, &names);
    }

    pub(super) fn stacks(&self) -> &[NumberedStack] {
        self.stacks.stacks()
    }

    /// Numbers of the last reading's samples, in their order.
    pub(super) fn of_samples(&self) -> &[u32] {
        self.stacks.of_samples()
    }

    pub(super) const fn groups(&self) -> &LiveGroups {
        &self.groups
    }
}
