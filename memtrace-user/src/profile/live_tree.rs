//! All stacks as one tree of functions, outermost callers first, kept from reading to reading.
//!
//! [`super::CallTree`] sorts all stacks and forgets how; a view that is refreshed every second puts a stack into the tree
//! when it is new, and adds numbers up along the tree from then on. What it shows of the tree is put in order when asked.

use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

use super::{GroupBy, GroupName, LiveNames, Location, Names, NumberedStack, live_names::PlaceKey};
use crate::number_hash::NumberMap;

/// Stands for no node.
const NOBODY: u32 = u32::MAX;

/// The node that all stacks begin at.
const ROOT: u32 = 0;

/// A function by the way that leads to it.
#[derive(Debug, Clone, Copy)]
struct Node {
    parent: u32,
    place: u32,
    /// The branch that came last, and the one that the parent got before this one.
    newest: u32,
    before: u32,
}

/// The functions of a location: a part of [`LiveTree::places`].
#[derive(Debug, Clone, Copy)]
struct Known {
    start: u32,
    end: u32,
    /// The one that names a site here.
    own: u32,
}

/// The tree.
#[derive(Debug)]
pub struct LiveTree {
    /// A node stands behind its parent.
    nodes: Vec<Node>,
    ways: NumberMap<(u32, u32), u32>,
    /// The node that each stack ends at.
    ends: Vec<u32>,
    values: Vec<i64>,
    locations: NumberMap<Location, Known>,
    /// Numbers of functions, location by location, innermost first.
    places: Vec<u32>,
    /// The stack that was taken in last, outermost first, with the node behind each frame: the next one often begins as
    /// this one does.
    last: Vec<(Location, u32)>,
    numbers: NumberMap<PlaceKey, u32>,
    names: Vec<GroupName>,
    /// Functions of a location have changed: its stacks stand in the wrong place.
    stale: bool,
}

impl Default for LiveTree {
    fn default() -> Self {
        let root = Node { parent: NOBODY, place: NOBODY, newest: NOBODY, before: NOBODY };
        Self {
            nodes: vec![root],
            ways: NumberMap::default(),
            ends: Vec::new(),
            values: vec![0],
            locations: NumberMap::default(),
            places: Vec::new(),
            last: Vec::new(),
            numbers: NumberMap::default(),
            names: Vec::new(),
            stale: false,
        }
    }
}

impl LiveTree {
    /// Takes in stacks that are new, and looks again at those whose frames have changed. Nodes have other numbers
    /// afterwards where functions have got other names; numbers of places stay.
    pub fn extend(&mut self, stacks: &[NumberedStack], changed: &[u32], places: &mut LiveNames, names: &Names<'_>) {
        if std::mem::take(&mut self.stale) {
            let Self { locations, places, numbers, names, .. } = std::mem::take(self);
            *self = Self { locations, places, numbers, names, ..Self::default() };
        }
        for stack in changed {
            if (*stack as usize) < self.ends.len() {
                self.ends[*stack as usize] = self.end_of(&stacks[*stack as usize], places, names);
            }
        }
        for stack in stacks.iter().skip(self.ends.len()) {
            let end = self.end_of(stack, places, names);
            self.ends.push(end);
        }
    }

    /// Looks again at locations whose names may have changed; what follows from it shows after the next
    /// [`Self::extend`].
    pub fn rename(&mut self, locations: &BTreeSet<Location>, places: &mut LiveNames, names: &Names<'_>) {
        for location in locations {
            let Some(before) = self.locations.remove(location) else { continue };
            let known = self.look_up(*location, places, names);
            let functions = |known: Known| &self.places[known.start as usize..known.end as usize];
            let own = |known: Known| known.own - known.start;
            self.stale |= functions(before) != functions(known) || own(before) != own(known);
        }
    }

    /// Gives each stack a number, and each node the sum of the stacks that go through it. What is less than nothing counts in
    /// a sum: a stack may have gone over to another that stands for several processes.
    pub fn count(&mut self, of_stacks: impl Iterator<Item = i64>) {
        self.values.clear();
        self.values.resize(self.nodes.len(), 0);
        for (end, value) in self.ends.iter().zip(of_stacks) {
            let sum = &mut self.values[*end as usize];
            *sum = sum.saturating_add(value);
        }
        for index in (1..self.nodes.len()).rev() {
            let (value, parent) = (self.values[index], self.nodes[index].parent as usize);
            self.values[parent] = self.values[parent].saturating_add(value);
        }
    }

    /// The node that all stacks begin at.
    #[must_use]
    pub const fn root(&self) -> u32 {
        ROOT
    }

    /// The sum of the stacks that go through a node.
    #[must_use]
    pub fn value(&self, node: u32) -> u64 {
        self.values.get(node as usize).map_or(0, |value| u64::try_from(*value).unwrap_or(0))
    }

    /// The number of a node's function, the same for as long as the tree is kept; `None` for the root.
    #[must_use]
    pub fn place(&self, node: u32) -> Option<u32> {
        self.nodes.get(node as usize).map(|node| node.place).filter(|place| *place != NOBODY)
    }

    /// The node that calls this one; `None` for the root.
    #[must_use]
    pub fn parent(&self, node: u32) -> Option<u32> {
        self.nodes.get(node as usize).map(|node| node.parent).filter(|parent| *parent != NOBODY)
    }

    /// The function of a node; `None` for the root.
    #[must_use]
    pub fn name(&self, node: u32) -> Option<&GroupName> {
        self.names.get(self.place(node)? as usize)
    }

    /// The branch of a node that a place leads to.
    #[must_use]
    pub fn branch(&self, node: u32, place: u32) -> Option<u32> {
        self.ways.get(&(node, place)).copied()
    }

    /// The branches of a node that are worth at least so much, and something: greatest first, equal ones by name.
    #[must_use]
    pub fn branches(&self, node: u32, least: u64) -> Vec<u32> {
        let newest = self.nodes.get(node as usize).map_or(NOBODY, |node| node.newest);
        let next = |branch: &u32| Some(self.nodes[*branch as usize].before).filter(|branch| *branch != NOBODY);
        let all = std::iter::successors(Some(newest).filter(|branch| *branch != NOBODY), next);
        let mut branches: Vec<u32> = all.filter(|branch| self.value(*branch) >= least.max(1)).collect();
        branches.sort_by_key(|branch| (Reverse(self.value(*branch)), self.name(*branch)));
        branches
    }

    fn end_of(&mut self, stack: &NumberedStack, places: &mut LiveNames, names: &Names<'_>) -> u32 {
        let site = stack.site.and_then(|site| stack.stack.iter().position(|location| *location == site));
        let Some(site) = site else {
            let nowhere = self.number(PlaceKey::NOWHERE, || GroupName::NoStack);
            return self.step(ROOT, nowhere);
        };
        let mut node = ROOT;
        let mut begins_alike = true;
        for (depth, (index, location)) in stack.stack.iter().enumerate().skip(site).rev().enumerate() {
            let last = self.last.get(depth).filter(|_| begins_alike && index > site);
            if let Some((_, behind)) = last.filter(|(last, _)| last == location) {
                node = *behind;
                continue;
            }
            begins_alike = false;
            let known = self.locations.get(location).copied();
            let known = known.unwrap_or_else(|| self.look_up(*location, places, names));
            let first = if index == site { known.own } else { known.start };
            for at in (first..known.end).rev() {
                node = self.step(node, self.places[at as usize]);
            }
            self.last.truncate(depth);
            if index > site {
                self.last.push((*location, node));
            }
        }
        node
    }

    fn step(&mut self, parent: u32, place: u32) -> u32 {
        let next = u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes");
        let node = *self.ways.entry((parent, place)).or_insert(next);
        if node == next {
            let before = std::mem::replace(&mut self.nodes[parent as usize].newest, next);
            self.nodes.push(Node { parent, place, newest: NOBODY, before });
        }
        node
    }

    fn look_up(&mut self, location: Location, places: &mut LiveNames, names: &Names<'_>) -> Known {
        let place_count = |places: &Vec<u32>| u32::try_from(places.len()).expect("fewer than 2^32 frames");
        let start = place_count(&self.places);
        let frames = names.symbols.frames(location);
        for frame in frames.iter().map(Some).chain(frames.is_empty().then_some(None)) {
            let frame = places.frame(location, frame, names.modules);
            let number = self.number(frame.function(), || {
                let place = places.place(GroupBy::Function, frame);
                GroupName::Place(Arc::new(super::Place { offset: None, ..place }))
            });
            self.places.push(number);
        }
        let own = names.namer.frame(location, names.symbols);
        let own = own.and_then(|own| (start..).zip(frames).find(|(_, frame)| std::ptr::eq(*frame, own)));
        let own = own.map_or(start, |(at, _)| at);
        let known = Known { start, end: place_count(&self.places), own };
        self.locations.insert(location, known);
        known
    }

    fn number(&mut self, key: PlaceKey, name: impl FnOnce() -> GroupName) -> u32 {
        let next = u32::try_from(self.names.len()).expect("fewer than 2^32 places");
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.names.push(name());
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            CallTree, Direction, Frame, GroupOptions, ProcessIndex, Profile, SiteNamer, SortBy, StackNumbers,
            SymbolTable, TreeLimits, call_tree::Node as CallNode, fixture::Scene,
        },
        *,
    };

    fn names<'a>(profile: &'a Profile, symbols: &'a SymbolTable, namer: &'a SiteNamer) -> Names<'a> {
        Names { symbols, modules: &profile.modules, process: &profile.process, others: &[], threads: &[], namer }
    }

    fn tree(scene: &Scene) -> LiveTree {
        let (profile, namer) = (scene.profile(), SiteNamer::default());
        let mut numbers = StackNumbers::default();
        numbers.update(&profile, &scene.symbols, &namer);
        let mut tree = LiveTree::default();
        let names = names(&profile, &scene.symbols, &namer);
        tree.extend(numbers.stacks(), &[], &mut LiveNames::default(), &names);
        let mut values = vec![0i64; numbers.stacks().len()];
        for (number, sample) in numbers.of_samples().iter().zip(&profile.samples) {
            values[*number as usize] += i64::try_from(sample.stats.live_bytes()).expect("a small number");
        }
        tree.count(values.into_iter());
        tree
    }

    /// Every node below one as `depth name value`.
    fn lines(tree: &LiveTree, node: u32, depth: usize, out: &mut Vec<(usize, GroupName, u64)>) {
        for branch in tree.branches(node, 0) {
            out.push((depth, tree.name(branch).expect("a name").clone(), tree.value(branch)));
            lines(tree, branch, depth + 1, out);
        }
    }

    fn call_lines(nodes: &[CallNode], depth: usize, out: &mut Vec<(usize, GroupName, u64)>) {
        for node in nodes {
            out.push((depth, node.name.clone(), node.stats.live_bytes()));
            call_lines(&node.branches.nodes, depth + 1, out);
        }
    }

    proptest! {
        /// The tree is the one that the whole profile gives.
        #[test]
        fn the_tree_is_that_of_the_profile(stacks in prop::collection::vec((prop::collection::vec(0..6_usize, 0..6), 1..100_u64), 1..30)) {
            const FRAMES: [&str; 6] = ["a@app", "b@app@b.c:3", "0x40@app", "c@[python]@c.py:1", "strdup@libc.so.6", "d@lib"];
            let mut scene = Scene::default();
            for (frames, blocks) in &stacks {
                let frames: Vec<&str> = frames.iter().map(|index| FRAMES[*index]).collect();
                scene.sample(&frames, *blocks, 8, 0);
            }
            let (live, snapshot) = (tree(&scene), scene.snapshot());
            let options = GroupOptions { by: GroupBy::Function, ..GroupOptions::default() };
            let limits = TreeLimits { top: usize::MAX, least_share: 0.0, depth: 256 };
            let whole = CallTree::of(&[(&snapshot).into()], &options, SortBy::LiveBytes, Direction::Callees, limits);
            let (mut of_live, mut of_whole) = (Vec::new(), Vec::new());
            lines(&live, live.root(), 0, &mut of_live);
            call_lines(&whole.branches.nodes, 0, &mut of_whole);
            prop_assert_eq!(of_live, of_whole);
            prop_assert_eq!(live.value(live.root()), whole.total.live_bytes());
        }
    }

    /// What goes over from a stack of one process to that of a sum of several is nothing new.
    #[test]
    fn what_goes_over_is_nothing_new() {
        let mut scene = Scene::default();
        for process in 0..2 {
            scene.sample(&["f@app", "main@app"], 5, 8, 0);
            scene.samples.last_mut().expect("a sample").process = ProcessIndex(process);
        }
        let (profile, namer) = (scene.profile(), SiteNamer::default());
        let mut numbers = StackNumbers::default();
        numbers.update(&profile, &scene.symbols, &namer);
        let (mut tree, mut places) = (LiveTree::default(), LiveNames::default());
        tree.extend(numbers.stacks(), &[], &mut places, &names(&profile, &scene.symbols, &namer));
        tree.count([-40, 50].into_iter());
        let mut all = Vec::new();
        lines(&tree, tree.root(), 0, &mut all);
        assert_eq!(all.iter().map(|(depth, _, value)| (*depth, *value)).collect::<Vec<_>>(), [(0, 10), (1, 10)]);
        tree.count([-40, 0].into_iter());
        assert_eq!(tree.value(tree.root()), 0);
    }

    /// A function inlined at a location stands in the tree once lines have been looked up; places keep their numbers.
    #[test]
    fn inlined_functions_come_with_lines() {
        let mut scene = Scene::default();
        scene.sample(&["f@app", "main@app"], 5, 8, 0);
        let main = scene.location("main@app");
        let (profile, namer) = (scene.profile(), SiteNamer::default());
        let mut numbers = StackNumbers::default();
        numbers.update(&profile, &scene.symbols, &namer);
        let (mut tree, mut places) = (LiveTree::default(), LiveNames::default());
        tree.extend(numbers.stacks(), &[], &mut places, &names(&profile, &scene.symbols, &namer));
        let before = tree.branches(tree.root(), 0).len();
        tree.count([40].into_iter());
        let place = tree.place(tree.branches(tree.root(), 0)[0]).expect("a place");
        let frame = |name: &str, inlined| Frame { function: Some(name.into()), source: None, inlined };
        let mut symbols = scene.symbols.clone();
        symbols.insert(main, [frame("setup", true), frame("main", false)].into());
        tree.rename(&[main].into(), &mut places, &names(&profile, &symbols, &namer));
        tree.extend(numbers.stacks(), &[], &mut places, &names(&profile, &symbols, &namer));
        tree.count([40].into_iter());
        let mut all = Vec::new();
        lines(&tree, tree.root(), 0, &mut all);
        let depths: Vec<_> = all.iter().map(|(depth, _, value)| (*depth, *value)).collect();
        assert_eq!((before, depths), (0, vec![(0, 40), (1, 40), (2, 40)]));
        assert!(tree.branch(tree.root(), place).is_some());
    }
}
