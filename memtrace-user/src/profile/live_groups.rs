//! Which group each call stack belongs to, kept from reading to reading.
//!
//! [`super::Groups`] adds up whole profiles and forgets how; a view that is refreshed every second asks more (what a
//! group had at the last mark, which stacks it is made of) and must not pay for all stacks each time. So groups have
//! numbers here, a stack is looked at when it is new, and the rest is addition.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use super::{
    AllocStats, Domain, GroupBy, GroupName, LiveNames, Names, NumberedStack, ProcessName, ThreadIndex, TracedThread,
    live_names::PlaceKey,
};
use crate::number_hash::NumberMap;

/// A thread's name and id.
pub type ThreadName = (Arc<str>, u32);

/// The group of stacks that are left out.
const LEFT_OUT: u32 = u32::MAX;

/// How a group of stacks is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveGroup {
    /// What its stacks have in common.
    pub name: GroupName,
    /// The thread, where threads are split.
    pub thread: Option<ThreadName>,
}

/// What makes a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grouping {
    /// What its stacks have in common.
    pub by: GroupBy,
    /// Each thread makes groups of its own.
    pub split_threads: bool,
    /// Stacks of other layers of memory are left out; `None` takes all, which are to be told apart then.
    pub domain: Option<Domain>,
}

/// What groups are compared by: the place, the number of a process, thread or layer, and that of the thread where threads
/// are split.
type GroupKey = (PlaceKey, u32, u32);

/// The groups of numbered stacks.
#[derive(Debug, Default)]
pub struct LiveGroups {
    grouping: Grouping,
    groups: Vec<LiveGroup>,
    of_stacks: Vec<u32>,
    numbers: NumberMap<GroupKey, u32>,
    processes: ByIndex<ProcessName>,
    threads: ByIndex<Option<ThreadName>>,
}

impl LiveGroups {
    /// No stacks yet.
    #[must_use]
    pub fn new(grouping: Grouping) -> Self {
        Self { grouping, ..Self::default() }
    }

    /// The groups, by number.
    #[must_use]
    pub fn groups(&self) -> &[LiveGroup] {
        &self.groups
    }

    /// The group of a stack; `None` for one that is left out, or not known.
    #[must_use]
    pub fn of_stack(&self, stack: u32) -> Option<u32> {
        self.of_stacks.get(stack as usize).copied().filter(|group| *group != LEFT_OUT)
    }

    /// The stacks that are in a group, with it.
    pub fn members_of_all(&self) -> impl Iterator<Item = (u32, u32)> {
        (0..).zip(&self.of_stacks).filter(|(_, group)| **group != LEFT_OUT).map(|(stack, group)| (stack, *group))
    }

    /// Takes in the stacks that have been numbered since.
    pub fn extend(&mut self, stacks: &[NumberedStack], places: &mut LiveNames, names: &Names<'_>) {
        for (number, stack) in (0..).zip(stacks).skip(self.of_stacks.len()) {
            let group = self.number(number, stack, places, names);
            self.of_stacks.push(group);
        }
    }

    /// Looks again at some stacks, whose frames or names have changed. A group that has no stack left stays, empty.
    pub fn look_again(&mut self, changed: &[u32], stacks: &[NumberedStack], places: &mut LiveNames, names: &Names<'_>) {
        for stack in changed {
            let Some(known) = stacks.get(*stack as usize).filter(|_| (*stack as usize) < self.of_stacks.len()) else {
                continue;
            };
            self.of_stacks[*stack as usize] = self.number(*stack, known, places, names);
        }
    }

    fn number(&mut self, index: u32, stack: &NumberedStack, places: &mut LiveNames, names: &Names<'_>) -> u32 {
        let Grouping { by, split_threads, domain } = self.grouping;
        if domain.is_some_and(|domain| !domain.is_beside(stack.domain)) {
            return LEFT_OUT;
        }
        let place = by.is_of_frames().then(|| places.site(index, stack, names)).flatten();
        let thread = if split_threads { self.thread(stack, names) } else { 0 };
        let owner = match by {
            GroupBy::Process => self.processes.number(stack.process.0, || names.process_of(stack.process)),
            GroupBy::Thread => self.thread(stack, names),
            GroupBy::Domain => stack.domain as u32,
            _ => 0,
        };
        let key = (place.map_or(PlaceKey::NOWHERE, |place| place.key(by)), owner, thread);
        let next = u32::try_from(self.groups.len()).expect("fewer than 2^32 groups");
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            let thread = stack.thread.filter(|_| split_threads);
            let thread = thread.and_then(|thread| thread_name(thread, names.threads));
            let name = match place {
                Some(place) => GroupName::Place(Arc::new(places.place(by, place))),
                None => name(by, stack, names),
            };
            self.groups.push(LiveGroup { name, thread });
        }
        number
    }

    fn thread(&mut self, stack: &NumberedStack, names: &Names<'_>) -> u32 {
        let index = stack.thread.map_or(u32::MAX, |thread| thread.0);
        self.threads.number(index, || stack.thread.and_then(|thread| thread_name(thread, names.threads)))
    }

    /// Adds up what stacks have, by group.
    #[must_use]
    pub fn sum<T: Copy + Default + std::ops::AddAssign>(&self, of_stacks: &[T]) -> Vec<T> {
        let mut sums = vec![T::default(); self.groups.len()];
        for (group, value) in self.of_stacks.iter().zip(of_stacks) {
            if let Some(sum) = sums.get_mut(*group as usize) {
                *sum += *value;
            }
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

/// Numbers for names that are asked for by an index: names are compared once for each.
#[derive(Debug)]
struct ByIndex<N> {
    of_index: NumberMap<u32, u32>,
    of_name: HashMap<N, u32>,
}

impl<N> Default for ByIndex<N> {
    fn default() -> Self {
        Self { of_index: NumberMap::default(), of_name: HashMap::new() }
    }
}

impl<N: Eq + Hash> ByIndex<N> {
    fn number(&mut self, index: u32, name: impl FnOnce() -> N) -> u32 {
        *self.of_index.entry(index).or_insert_with(|| {
            let next = u32::try_from(self.of_name.len()).expect("fewer than 2^32 names");
            *self.of_name.entry(name()).or_insert(next)
        })
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
        _ => GroupName::NoStack,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Profile, SiteNamer, StackNumbers, fixture::Scene},
        *,
    };

    fn groups(scene: &Scene, by: GroupBy) -> (LiveGroups, Profile) {
        let (profile, namer) = (scene.profile(), SiteNamer::default());
        let mut numbers = StackNumbers::default();
        numbers.update(&profile, &scene.symbols, &namer);
        let (symbols, modules, process) = (&scene.symbols, &profile.modules, &profile.process);
        let names = Names { symbols, modules, process, others: &[], threads: &[], namer: &namer };
        let mut groups = LiveGroups::new(Grouping { by, ..Grouping::default() });
        groups.extend(numbers.stacks(), &mut LiveNames::default(), &names);
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
        assert_eq!(groups.of_stack(0), groups.of_stack(1));
        assert_eq!(groups.members(groups.of_stack(0).expect("a group"), &stats), [1, 0]);
    }

    /// Layers of memory are never in one sum: stacks of other layers have no group, unless layers are what is grouped by.
    #[test]
    fn other_domains_are_left_out() {
        let mut scene = scene();
        scene.sample(&["f@app@a.c:1", "main@app"], 1, 4096, 0).domain = Domain::Mmap;
        let (profile, namer) = (scene.profile(), SiteNamer::default());
        let mut numbers = StackNumbers::default();
        numbers.update(&profile, &scene.symbols, &namer);
        let (symbols, modules, process) = (&scene.symbols, &profile.modules, &profile.process);
        let names = Names { symbols, modules, process, others: &[], threads: &[], namer: &namer };
        let live: Vec<u64> = profile.samples.iter().map(|sample| sample.stats.live_bytes()).collect();
        let sums = |by, domain| {
            let mut groups = LiveGroups::new(Grouping { by, domain, split_threads: false });
            groups.extend(numbers.stacks(), &mut LiveNames::default(), &names);
            groups.sum(&live)
        };
        assert_eq!(sums(GroupBy::Module, Some(Domain::Mmap)), [4096]);
        assert_eq!(sums(GroupBy::Module, Some(Domain::Malloc)).iter().sum::<u64>(), 500);
        assert_eq!(sums(GroupBy::Domain, None), [500, 4096]);
    }

    /// A line that becomes known moves its stacks, and no others, to the group of the line.
    #[test]
    fn lines_that_get_known_join_groups() {
        let mut scene = Scene::default();
        let (one, other) = (scene.location("f@app"), scene.location("g@app"));
        scene.sample(&["f@app"], 1, 8, 0);
        scene.sample(&["g@app"], 2, 8, 0);
        scene.sample(&["h@app"], 4, 8, 0);
        let (profile, namer) = (scene.profile(), SiteNamer::default());
        let mut numbers = StackNumbers::default();
        numbers.update(&profile, &scene.symbols, &namer);
        let mut places = LiveNames::default();
        let mut groups = LiveGroups::new(Grouping::default());
        let (process, modules) = (&profile.process, &profile.modules);
        let names = |symbols| Names { symbols, modules, process, others: &[], threads: &[], namer: &namer };
        groups.extend(numbers.stacks(), &mut places, &names(&scene.symbols));
        assert_eq!(groups.groups().len(), 3);
        let mut symbols = scene.symbols.clone();
        let source = Some(super::super::SourceLine { file: "a.c".into(), line: 7 });
        let frame = super::super::Frame { function: Some("inlined".into()), source, inlined: true };
        symbols.insert(one, [frame.clone()].into());
        symbols.insert(other, [frame].into());
        places.forget(&[0, 1]);
        groups.look_again(&[0, 1], numbers.stacks(), &mut places, &names(&symbols));
        assert_eq!(groups.of_stack(0), groups.of_stack(1));
        assert_eq!(groups.sum(&[1_u64, 2, 4]), [0, 0, 4, 3]);
    }
}
