//! Which group each call stack belongs to, kept from reading to reading.
//!
//! [`super::Groups`] adds up whole profiles and forgets how; a view that is refreshed every second asks more (what a
//! group had at the last mark, which stacks it is made of) and must not pay for all stacks each time. So groups have
//! numbers here, a stack is looked at when it is new, and the rest is addition.

use std::{collections::HashMap, sync::Arc};

use super::{
    AllocStats, GroupBy, GroupName, Location, Modules, NumberedStack, PYTHON_MODULE, Place, ProcessIndex, ProcessName,
    SiteNamer, SymbolTable, ThreadIndex, TracedProcess, TracedThread, number_hash::NumberMap, python::line_key,
};

/// A thread's name and id.
pub type ThreadName = (Arc<str>, u32);

/// How a group of stacks is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveGroup {
    /// What its stacks have in common.
    pub name: GroupName,
    /// The thread, where threads are split.
    pub thread: Option<ThreadName>,
}

/// What names refer to.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// Names of locations.
    pub symbols: &'a SymbolTable,
    /// Files of locations.
    pub modules: &'a Modules,
    /// The process that tracing is named by.
    pub process: &'a ProcessName,
    /// The others: see [`super::Profile::others`].
    pub others: &'a [TracedProcess],
    /// The threads that are told apart.
    pub threads: &'a [TracedThread],
    /// Knows which of the functions inlined at a location names it.
    pub namer: &'a SiteNamer,
}

impl Names<'_> {
    fn process_of(&self, index: ProcessIndex) -> ProcessName {
        let other = (index.0 as usize).checked_sub(1).and_then(|index| self.others.get(index));
        other.map_or_else(
            || self.process.clone(),
            |process| ProcessName {
                pid: process.info.pid,
                command: Arc::from(&*process.info.command),
                started_at: None,
            },
        )
    }
}

/// The groups of numbered stacks.
#[derive(Debug, Default)]
pub struct LiveGroups {
    by: GroupBy,
    split_threads: bool,
    groups: Vec<LiveGroup>,
    of_stacks: Vec<u32>,
    numbers: HashMap<LiveGroup, u32>,
    /// Groups of sites that have been met: names are compared once for each.
    of_sites: NumberMap<(Location, u32), u32>,
}

impl LiveGroups {
    /// No stacks yet.
    #[must_use]
    pub fn new(by: GroupBy, split_threads: bool) -> Self {
        Self { by, split_threads, ..Self::default() }
    }

    /// The groups, by number.
    #[must_use]
    pub fn groups(&self) -> &[LiveGroup] {
        &self.groups
    }

    /// The group of each stack.
    #[must_use]
    pub fn of_stacks(&self) -> &[u32] {
        &self.of_stacks
    }

    /// Takes in the stacks that have been numbered since.
    pub fn extend(&mut self, stacks: &[NumberedStack], names: &Names<'_>) {
        for stack in stacks.iter().skip(self.of_stacks.len()) {
            let thread = stack.thread.filter(|_| self.split_threads);
            let key = stack.site.map(|site| (site, thread.map_or(u32::MAX, |thread| thread.0)));
            let known = key.filter(|_| self.by.is_of_frames()).and_then(|key| self.of_sites.get(&key).copied());
            let number = known.unwrap_or_else(|| {
                let thread = thread.and_then(|thread| thread_name(thread, names.threads));
                let number = self.number(LiveGroup { name: name(self.by, stack, names), thread });
                if let Some(key) = key {
                    self.of_sites.insert(key, number);
                }
                number
            });
            self.of_stacks.push(number);
        }
    }

    fn number(&mut self, group: LiveGroup) -> u32 {
        let key = match self.by {
            GroupBy::Line => LiveGroup { name: line_key(&group.name), thread: group.thread.clone() },
            _ => group.clone(),
        };
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.groups.len()).expect("fewer than 2^32 groups");
        self.groups.push(group);
        self.numbers.insert(key, number);
        number
    }

    /// Adds up what stacks have, by group.
    #[must_use]
    pub fn sum<T: Copy + Default + std::ops::AddAssign>(&self, of_stacks: &[T]) -> Vec<T> {
        let mut sums = vec![T::default(); self.groups.len()];
        for (group, value) in self.of_stacks.iter().zip(of_stacks) {
            sums[*group as usize] += *value;
        }
        sums
    }

    /// The stacks of a group with their counters, those with most live bytes first.
    #[must_use]
    pub fn members(&self, group: u32, stats: &[AllocStats]) -> Vec<u32> {
        let of_group = (0..).zip(&self.of_stacks).filter(|(_, of)| **of == group).map(|(stack, _)| stack);
        let mut members: Vec<u32> = of_group.collect();
        let live = |stack: &u32| stats.get(*stack as usize).map_or(0, AllocStats::live_bytes);
        members.sort_by_key(|stack| std::cmp::Reverse(live(stack)));
        members
    }
}

fn thread_name(thread: ThreadIndex, threads: &[TracedThread]) -> Option<ThreadName> {
    threads.get(thread.0 as usize).map(|thread| (Arc::clone(&thread.name), thread.tid))
}

fn name(by: GroupBy, stack: &NumberedStack, names: &Names<'_>) -> GroupName {
    match by {
        GroupBy::Process => GroupName::Process(Some(names.process_of(stack.process))),
        GroupBy::Domain => GroupName::Domain(stack.domain),
        GroupBy::Thread => GroupName::Thread {
            process: None,
            thread: stack.thread.and_then(|thread| thread_name(thread, names.threads)),
        },
        _ => stack.site.map_or(GroupName::NoStack, |site| GroupName::Place(Arc::new(place(by, site, names)))),
    }
}

/// The part of a site that the grouping looks at: paths are whole, as those of one process are what they are.
fn place(by: GroupBy, site: Location, names: &Names<'_>) -> Place {
    let frame = names.namer.frame(site, names.symbols);
    let module = || Some(Arc::clone(names.modules.path(site.module)));
    let source = frame.and_then(|frame| frame.source.as_ref());
    let function = frame.and_then(|frame| frame.function.clone());
    match (by, source) {
        (GroupBy::Module, _) | (GroupBy::File, None) => Place { module: module(), ..Place::default() },
        (GroupBy::File, Some(source)) => Place { file: Some(Arc::clone(&source.file)), ..Place::default() },
        (GroupBy::Function, Some(source)) if **names.modules.path(site.module) == *PYTHON_MODULE => {
            Place { function, file: Some(Arc::clone(&source.file)), module: module(), ..Place::default() }
        }
        (GroupBy::Function, _) => {
            Place { offset: function.is_none().then_some(site.offset), function, module: module(), ..Place::default() }
        }
        // Without a line, places in one function are not known to be one.
        _ => Place {
            offset: source.is_none_or(|source| source.line == 0).then_some(site.offset),
            function,
            file: source.map(|source| Arc::clone(&source.file)),
            line: source.map_or(0, |source| source.line),
            module: module(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Profile, StackNumbers, fixture::Scene},
        *,
    };

    fn groups(scene: &Scene, by: GroupBy) -> (LiveGroups, Profile) {
        let (profile, namer) = (scene.profile(), SiteNamer::default());
        let mut numbers = StackNumbers::default();
        numbers.update(&profile, &scene.symbols, &namer);
        let process = ProcessName::default();
        let (symbols, modules) = (&scene.symbols, &profile.modules);
        let names = Names { symbols, modules, process: &process, others: &[], threads: &[], namer: &namer };
        let mut groups = LiveGroups::new(by, false);
        groups.extend(numbers.stacks(), &names);
        (groups, profile)
    }

    fn scene() -> Scene {
        let mut scene = Scene::default();
        scene.sample(&["f@app@a.c:1", "main@app"], 3, 10, 1);
        scene.sample(&["f@app@a.c:01", "main@app"], 5, 10, 0);
        scene.sample(&["f@app@a.c:2"], 7, 10, 0);
        scene.sample(&["g@lib"], 11, 10, 0);
        scene.sample(&["g@lib@"], 12, 10, 0);
        scene.sample(&[], 13, 10, 0);
        scene
    }

    /// Every grouping keeps the sum, and groups by what it says.
    #[test]
    fn groupings_keep_the_sum() {
        for (by, count) in [
            (GroupBy::Line, 5),
            (GroupBy::Function, 3),
            (GroupBy::File, 3),
            (GroupBy::Module, 3),
            (GroupBy::Process, 1),
            (GroupBy::Thread, 1),
            (GroupBy::Domain, 1),
        ] {
            let (groups, profile) = groups(&scene(), by);
            let stats: Vec<AllocStats> = profile.samples.iter().map(|sample| sample.stats).collect();
            let sums = groups.sum(&stats);
            assert_eq!(sums.len(), count, "{by:?}: {:#?}", groups.groups());
            assert_eq!(sums.iter().copied().sum::<AllocStats>(), profile.totals.stats, "{by:?}");
        }
    }

    /// Two calls on one line are one line once that is known, and the heaviest stack comes first.
    #[test]
    fn calls_on_one_line_are_one_group() {
        let (groups, profile) = groups(&scene(), GroupBy::Line);
        let stats: Vec<AllocStats> = profile.samples.iter().map(|sample| sample.stats).collect();
        assert_eq!(groups.of_stacks()[0], groups.of_stacks()[1]);
        assert_eq!(groups.members(groups.of_stacks()[0], &stats), [1, 0]);
    }
}
