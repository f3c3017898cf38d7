//! Where memory comes from, as a tree of calls: from each site out to its callers, or from each start in to the sites.

use std::{cmp::Reverse, ops::Range, sync::Arc};

use super::{
    AllocStats, GroupName, GroupOptions, OtherGroups, Samples, SortBy,
    frame_keys::FrameKeys,
    owners::Owners,
    stack_keys::StackReader,
    tally::{Runs, frame_keys, merge},
};

/// Which way the branches go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Sites first, each with what called it.
    Callers,
    /// Where threads start first, each with what it called, down to the sites.
    Callees,
}

/// How much of a tree is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TreeLimits {
    /// Most branches of the root.
    pub top: usize,
    /// Branches with a smaller part of the total are added up, 0 to 1.
    pub least_share: f64,
    /// Most levels.
    pub depth: usize,
}

impl Default for TreeLimits {
    /// Ten branches, nothing below half a percent, any depth that a stack of memtrace's own can have.
    fn default() -> Self {
        Self { top: 10, least_share: 0.005, depth: 256 }
    }
}

/// A place and what was allocated through it by the way that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The place.
    pub name: GroupName,
    /// Sum over the stacks of this way.
    pub stats: AllocStats,
    /// The next places, greatest first.
    pub branches: Branches,
}

/// What leads on from a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Branches {
    /// The branches, greatest first.
    pub nodes: Vec<Node>,
    /// Those that are too small or too many.
    pub others: OtherGroups,
}

/// The tree of the calls of some profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallTree {
    /// The number that branches are ordered by.
    pub sort: SortBy,
    /// The first level.
    pub branches: Branches,
    /// Sum over all samples that pass the filters.
    pub total: AllocStats,
}

/// The places of a stack in the order of the tree, and what was allocated through it.
struct Way {
    places: Box<[u32]>,
    stats: AllocStats,
}

impl CallTree {
    /// Makes the tree. [`GroupOptions::by`] says what is one place, and must be [`super::GroupBy::is_of_frames`].
    #[must_use]
    pub fn of(
        profiles: &[Samples<'_>],
        options: &GroupOptions,
        sort: SortBy,
        direction: Direction,
        limits: TreeLimits,
    ) -> Self {
        let mut keys = frame_keys(profiles, options.by);
        let mut owners = Owners::new(profiles, options, Runs::Same);
        let mut ways = Vec::new();
        for samples in profiles {
            collect(samples, options, direction, &mut keys, &mut owners, &mut ways);
        }
        ways.sort_unstable_by(|a, b| a.places.cmp(&b.places));
        let total: AllocStats = ways.iter().map(|way| way.stats).sum();
        let builder = Builder { ways: &ways, keys: &keys, sort, limits, total: sort.value(&total) };
        Self { sort, branches: builder.branches(0..ways.len(), 0), total }
    }
}

fn collect(
    samples: &Samples<'_>,
    options: &GroupOptions,
    direction: Direction,
    keys: &mut FrameKeys,
    owners: &mut Owners,
    ways: &mut Vec<Way>,
) {
    let merged = merge(samples, owners);
    let mut reader = StackReader::new(samples, options);
    for stack in &merged {
        let (mut places, verdict) = reader.outwards(&stack.sample.stack, keys);
        if !options.filters.passes(stack.verdict.or(verdict)) {
            continue;
        }
        if direction == Direction::Callees {
            places.reverse();
        }
        ways.push(Way { places: places.into(), stats: stack.stats });
    }
}

/// Makes nodes of ways that lie in order, so that those with one beginning lie together.
struct Builder<'a> {
    ways: &'a [Way],
    keys: &'a FrameKeys,
    sort: SortBy,
    limits: TreeLimits,
    total: u64,
}

/// Ways with the same place next; `None` is the end of the stack.
struct Bundle {
    place: Option<u32>,
    ways: Range<usize>,
    stats: AllocStats,
}

impl Builder<'_> {
    fn branches(&self, ways: Range<usize>, depth: usize) -> Branches {
        let mut bundles = self.bundles(ways, depth);
        bundles.sort_by_key(|bundle| (Reverse(self.sort.value(&bundle.stats)), self.name(bundle)));
        let mut branches = Branches::default();
        for bundle in bundles {
            if depth >= self.limits.depth || !self.is_worth_a_node(&bundle, branches.nodes.len(), depth) {
                branches.others.groups += 1;
                branches.others.stats += bundle.stats;
                continue;
            }
            let name = self.name(&bundle);
            let next = if bundle.place.is_some() { self.branches(bundle.ways, depth + 1) } else { Branches::default() };
            branches.nodes.push(Node { name, stats: bundle.stats, branches: next });
        }
        branches
    }

    /// A stack that ends here has no next place: below the root that is what the node itself holds.
    fn bundles(&self, ways: Range<usize>, depth: usize) -> Vec<Bundle> {
        let mut bundles: Vec<Bundle> = Vec::new();
        for index in ways {
            let way = &self.ways[index];
            let place = way.places.get(depth).copied();
            if place.is_none() && depth > 0 {
                continue;
            }
            match bundles.last_mut() {
                Some(bundle) if bundle.place == place => {
                    bundle.ways.end = index + 1;
                    bundle.stats += way.stats;
                }
                _ => bundles.push(Bundle { place, ways: index..index + 1, stats: way.stats }),
            }
        }
        bundles
    }

    #[expect(clippy::cast_precision_loss, reason = "a share is compared with a limit")]
    fn is_worth_a_node(&self, bundle: &Bundle, before: usize, depth: usize) -> bool {
        let value = self.sort.value(&bundle.stats);
        let enough = value > 0 && value as f64 >= self.limits.least_share * self.total as f64;
        enough && (depth > 0 || before < self.limits.top)
    }

    fn name(&self, bundle: &Bundle) -> GroupName {
        bundle.place.map_or(GroupName::NoStack, |place| GroupName::Place(Arc::clone(self.keys.place(place))))
    }
}
