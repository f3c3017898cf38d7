//! Laws of grouping, comparing, filtering and trees, over random profiles.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use proptest::prelude::*;

use super::{
    About, AllocStats, CallTree, Direction, Filter, FilterKind, Filters, Frame, Group, GroupBy, GroupName,
    GroupOptions, Groups, Location, ModuleId, Modules, Place, ProcessIndex, ProcessInfo, ProfileDiff, Samples,
    SiteRule, Snapshot, SortBy, SourceLine, StackEnd, StackSample, SymbolTable, ThreadIndex, TracedProcess,
    TracedThread, TreeLimits, difference,
};

const FUNCTIONS: [&str; 6] = ["malloc", "xmalloc", "load", "parse", "std::vector<int>::grow", "main"];
const FILES: [&str; 3] = ["/src/a.c", "/src/sub/a.c", "b.h"];
const MODULES: [[&str; 3]; 2] =
    [["/bin/app", "/lib/libx.so.1", "/lib/libc.so.6"], ["/opt/app", "/opt/libx.so.2", "/lib/libc.so.6"]];

/// A frame: function (none for the last), file (none for the last), line.
type AnyFrame = (usize, usize, u32);

/// A sample: locations, allocated and freed blocks, process, thread.
type AnySample = (Vec<usize>, u64, u64, u32, Option<u32>);

/// Frames of the locations, and samples.
#[derive(Debug, Clone)]
struct AnyProfile {
    run: usize,
    locations: Vec<(usize, Vec<AnyFrame>)>,
    samples: Vec<AnySample>,
}

fn any_profile() -> impl Strategy<Value = AnyProfile> {
    let frame = (0..=FUNCTIONS.len(), 0..=FILES.len(), 0..3_u32);
    let location = (0..3_usize, prop::collection::vec(frame, 0..4));
    let stack = prop::collection::vec(0..8_usize, 0..8);
    let sample = (stack, 0..100_u64, 0..100_u64, 0..3_u32, prop::option::of(0..3_u32));
    (0..2_usize, prop::collection::vec(location, 8), prop::collection::vec(sample, 0..20))
        .prop_map(|(run, locations, samples)| AnyProfile { run, locations, samples })
}

impl AnyProfile {
    fn snapshot(&self) -> Snapshot {
        let mut modules = Modules::default();
        let ids: Vec<ModuleId> = MODULES[self.run].iter().map(|path| modules.add(path)).collect();
        let mut symbols = SymbolTable::default();
        let at = |index: usize| Location { module: ids[self.locations[index].0], offset: 16 * index as u64 };
        for (index, (_, frames)) in self.locations.iter().enumerate() {
            symbols.insert(at(index), frames.iter().enumerate().map(|frame| any_frame(frame, frames.len())).collect());
        }
        let samples = self.samples.iter().map(|(stack, allocated, freed, process, thread)| {
            let freed = *freed.min(allocated);
            StackSample {
                stack: stack.iter().map(|index| at(*index)).collect(),
                end: if stack.len() > 6 { StackEnd::Truncated } else { StackEnd::Whole },
                domain: super::Domain::default(),
                process: ProcessIndex(*process),
                thread: thread.map(ThreadIndex),
                stats: AllocStats {
                    allocated_blocks: *allocated,
                    allocated_bytes: allocated * 7,
                    freed_blocks: freed,
                    freed_bytes: freed * 7,
                    short_lived_blocks: 0,
                    ..AllocStats::default()
                },
            }
        });
        // The third process, and the third thread, are unknown.
        let process = |index: u32| {
            let pid = 10 + index + 100 * u32::from(self.run == 1);
            let info = ProcessInfo { pid, command: "app".repeat(1 + index as usize), ..ProcessInfo::default() };
            TracedProcess { info, ..TracedProcess::default() }
        };
        let thread = |tid| TracedThread { tid, name: "worker".into() };
        Snapshot {
            about: About::default(),
            processes: (0..2).map(process).collect(),
            threads: (0..2).map(thread).collect(),
            samples: samples.collect(),
            modules,
            symbols,
        }
    }
}

fn any_frame((index, (function, file, line)): (usize, &AnyFrame), frames: usize) -> Frame {
    let source = FILES.get(*file).map(|file| SourceLine { file: (*file).into(), line: *line });
    Frame { function: FUNCTIONS.get(*function).map(|name| (*name).into()), source, inlined: index + 1 < frames }
}

fn any_options() -> impl Strategy<Value = GroupOptions> {
    (0..8_usize, any::<bool>()).prop_map(|(by, leaf)| GroupOptions {
        by: GroupBy::all().nth(by).unwrap_or_default(),
        site: if leaf { SiteRule::Leaf } else { SiteRule::Code },
        ..GroupOptions::default()
    })
}

fn any_sort() -> impl Strategy<Value = SortBy> {
    (0..5_usize).prop_map(|index| SortBy::all().nth(index).unwrap_or_default())
}

/// A filter of any kind, on names that contain a letter.
fn any_filter() -> impl Strategy<Value = Filter> {
    (0..6_usize, prop::sample::select(vec!["a", "x", "1", "m", ""])).prop_map(|(kind, part)| {
        Filter::new(FilterKind::all().nth(kind).unwrap_or(FilterKind::Function), move |name| name.contains(part))
    })
}

fn sum(groups: &Groups) -> AllocStats {
    groups.groups.iter().map(|group| group.stats).sum()
}

fn report(profiles: &[&Snapshot], options: &GroupOptions, sort: SortBy) -> Groups {
    let samples: Vec<Samples<'_>> = profiles.iter().map(|snapshot| Samples::from(*snapshot)).collect();
    Groups::of(&samples, options, sort)
}

fn diff(before: &Snapshot, after: &Snapshot, options: &GroupOptions, sort: SortBy) -> ProfileDiff {
    ProfileDiff::of(&[before.into()], &[after.into()], options, sort)
}

proptest! {
    /// Grouping neither loses nor doubles anything, whatever the groups.
    #[test]
    fn groups_add_up_to_the_total(profile in any_profile(), options in any_options(), sort in any_sort()) {
        let snapshot = profile.snapshot();
        let groups = report(&[&snapshot], &options, sort);
        prop_assert_eq!(sum(&groups), snapshot.total());
        prop_assert_eq!(groups.total, snapshot.total());
        prop_assert_eq!(report(&[&snapshot], &options, SortBy::LiveBytes).ranked_by(sort), groups);
    }

    /// What is shown and what is left out add up, in any cut; the order is that of the number ranked by.
    #[test]
    fn top_and_others_add_up(profile in any_profile(), options in any_options(), sort in any_sort(), top in 0..9_usize) {
        let snapshot = profile.snapshot();
        let all = report(&[&snapshot], &options, sort);
        prop_assert!(all.groups.is_sorted_by_key(|group| std::cmp::Reverse(sort.value(&group.stats))));
        let cut = all.clone().without_empty().top(top);
        prop_assert_eq!(sum(&cut) + cut.others.stats, all.total);
        prop_assert_eq!(cut.groups.len() + cut.others.groups, all.groups.len());
        prop_assert_eq!(&cut.groups[..], &all.groups[..cut.groups.len()]);
    }

    /// What a filter takes in and what it leaves out are the whole; all frames or the site's alone.
    #[test]
    fn a_filter_parts_the_samples(
        profile in any_profile(), options in any_options(), filter in any_filter(), all_frames in any::<bool>()
    ) {
        let snapshot = profile.snapshot();
        let part = |include: &[Filter], exclude: &[Filter]| {
            let filters = Filters { include: include.to_vec(), exclude: exclude.to_vec(), domain: None, all_frames };
            let groups = report(&[&snapshot], &GroupOptions { filters, ..options.clone() }, SortBy::LiveBytes);
            (groups.total, sum(&groups))
        };
        let filter = std::slice::from_ref(&filter);
        let (included, excluded) = (part(filter, &[]), part(&[], filter));
        prop_assert_eq!(included.0 + excluded.0, snapshot.total());
        prop_assert_eq!(included.1, included.0);
        prop_assert_eq!(part(filter, filter).0, AllocStats::default());
    }

    /// The report of two profiles is the sum of their reports, and the order of the files does not matter.
    #[test]
    fn profiles_add_up(a in any_profile(), b in any_profile(), options in any_options(), cumulative in any::<bool>()) {
        let cumulative = cumulative && options.by.is_of_frames();
        let options = GroupOptions { cumulative, ..options };
        let (a, b) = (a.snapshot(), b.snapshot());
        let none = Snapshot { samples: Vec::new(), ..a.clone() };
        let only_b = Snapshot { samples: Vec::new(), ..b.clone() };
        let both = report(&[&a, &b], &options, SortBy::LiveBytes);
        prop_assert_eq!(&both, &report(&[&b, &a], &options, SortBy::LiveBytes));
        // Names depend on all the files at hand, so each is reported with an empty copy of the other.
        let mut parts = report(&[&a, &only_b], &options, SortBy::LiveBytes).groups;
        parts.extend(report(&[&none, &b], &options, SortBy::LiveBytes).groups);
        prop_assert_eq!(parts.iter().map(|group| group.stats).sum::<AllocStats>(), sum(&both));
        // A file that each profile knows under another directory is one file, shown by one of its paths: so files are
        // compared by their names alone.
        let by_name = |groups: &[Group]| {
            let mut sums: HashMap<GroupName, AllocStats> = HashMap::new();
            for group in groups {
                *sums.entry(normal(&group.name, GroupBy::Line)).or_default() += group.stats;
            }
            sums.retain(|_, stats| *stats != AllocStats::default());
            sums
        };
        prop_assert_eq!(by_name(&both.groups), by_name(&parts));
    }

    /// A profile does not differ from itself, whatever the groups.
    #[test]
    fn no_difference_to_itself(profile in any_profile(), options in any_options(), sort in any_sort()) {
        let snapshot = profile.snapshot();
        let same = diff(&snapshot, &snapshot, &options, sort);
        prop_assert_eq!(&same.groups[..], &[]);
        prop_assert_eq!(same.live_growth(), 0);
        prop_assert_eq!(same.unchanged, report(&[&snapshot], &options, sort).groups.len());
    }

    /// Comparing the other way round gives the opposite, in the same order.
    #[test]
    fn difference_is_antisymmetric(a in any_profile(), b in any_profile(), options in any_options(), sort in any_sort()) {
        let (a, b) = (a.snapshot(), b.snapshot());
        let there = diff(&a, &b, &options, sort);
        prop_assert_eq!(there.live_growth(), -diff(&b, &a, &options, sort).live_growth());
        prop_assert_eq!(there.reversed(), diff(&b, &a, &options, sort));
    }

    /// The differences of the groups add up to the difference of the totals, in any cut.
    #[test]
    fn differences_add_up(a in any_profile(), b in any_profile(), options in any_options(), top in 0..6_usize) {
        let (a, b) = (a.snapshot(), b.snapshot());
        for sort in SortBy::all() {
            let diff = diff(&a, &b, &options, sort).without_empty().top(top);
            let shown: i128 = diff.groups.iter().map(|group| group.change(sort)).sum();
            let others = difference(sort.value(&diff.others.before), sort.value(&diff.others.after));
            prop_assert_eq!(shown + others, difference(sort.value(&diff.before), sort.value(&diff.after)));
        }
    }

    /// A group's cumulative sum is that of the stacks that it is on, each once; so no group exceeds the total.
    #[test]
    fn cumulative_counts_each_stack_once(profile in any_profile(), by in 0..4_usize) {
        let by = GroupBy::all().nth(by).unwrap_or_default();
        let snapshot = profile.snapshot();
        let options = GroupOptions { by, cumulative: true, ..GroupOptions::default() };
        let groups = report(&[&snapshot], &options, SortBy::LiveBytes);
        prop_assert_eq!(groups.total, snapshot.total());
        let mut expected: HashMap<GroupName, AllocStats> = HashMap::new();
        for sample in snapshot.samples.iter().filter(|sample| sample.stats.allocated_blocks > 0) {
            for name in names_on_stack(sample, &snapshot, by) {
                *expected.entry(name).or_default() += sample.stats;
            }
        }
        let got: HashMap<_, _> = groups.groups.iter().map(|group| (normal(&group.name, by), group.stats)).collect();
        prop_assert_eq!(got.len(), groups.groups.len());
        prop_assert_eq!(got, expected);
    }

    /// Either tree holds every sample once, and each node holds at least what its branches hold.
    #[test]
    fn trees_hold_every_sample_once(profile in any_profile(), by in 0..4_usize, callers in any::<bool>()) {
        let options = GroupOptions { by: GroupBy::all().nth(by).unwrap_or_default(), ..GroupOptions::default() };
        let snapshot = profile.snapshot();
        let direction = if callers { Direction::Callers } else { Direction::Callees };
        let limits = TreeLimits { top: usize::MAX, least_share: 0.0, depth: 256 };
        let tree = CallTree::of(&[(&snapshot).into()], &options, SortBy::AllocatedBytes, direction, limits);
        let roots: AllocStats = tree.branches.nodes.iter().map(|node| node.stats).sum();
        prop_assert_eq!(roots + tree.branches.others.stats, snapshot.total());
        let flat = report(&[&snapshot], &options, SortBy::AllocatedBytes);
        if callers {
            // Of files in two directories that count as one, either may give the name.
            let named = |name: &GroupName, stats| (normal(name, options.by), stats);
            let roots: Vec<_> = tree.branches.nodes.iter().map(|node| named(&node.name, node.stats)).collect();
            let groups = flat.without_empty().groups;
            prop_assert_eq!(roots, groups.iter().map(|group| named(&group.name, group.stats)).collect::<Vec<_>>());
        }
        for node in &tree.branches.nodes {
            prop_assert!(branches_fit(node));
        }
    }
}

fn branches_fit(node: &super::Node) -> bool {
    let below: AllocStats =
        node.branches.nodes.iter().map(|node| node.stats).sum::<AllocStats>() + node.branches.others.stats;
    below.allocated_bytes <= node.stats.allocated_bytes && node.branches.nodes.iter().all(branches_fit)
}

/// The name without what depends on the run: directories of lines and modules, versions of libraries.
fn normal(name: &GroupName, by: GroupBy) -> GroupName {
    let base = |path: &Arc<str>| Arc::from(path.rsplit('/').next().unwrap_or_default());
    let place = |place: &Place| Place {
        file: place.file.as_ref().map(|file| if by == GroupBy::File { Arc::clone(file) } else { base(file) }),
        module: place.module.as_ref().map(|module| base(module).trim_end_matches(['.', '1', '2']).into()),
        ..place.clone()
    };
    match name {
        GroupName::Place(name) => GroupName::Place(Arc::new(place(name))),
        GroupName::Stack { frames, end } => {
            GroupName::Stack { frames: frames.iter().map(|name| Arc::new(place(name))).collect(), end: *end }
        }
        other => other.clone(),
    }
}

/// What a sample's frames are called one by one: each is made the only one of a stack.
fn names_on_stack(sample: &StackSample, snapshot: &Snapshot, by: GroupBy) -> HashSet<GroupName> {
    let mut names = HashSet::new();
    let frames = |location: &Location| match snapshot.symbols.frames(*location) {
        [] => vec![Frame { function: None, source: None, inlined: false }],
        frames => frames.to_vec(),
    };
    for (location, frame) in sample.stack.iter().flat_map(|at| frames(at).into_iter().map(move |frame| (at, frame))) {
        let mut symbols = SymbolTable::default();
        symbols.insert(*location, [frame].into());
        let sample = StackSample { stack: [*location].into(), ..sample.clone() };
        let alone = Snapshot { samples: vec![sample], symbols, ..snapshot.clone() };
        let options = GroupOptions { by, site: SiteRule::Leaf, ..GroupOptions::default() };
        names.extend(report(&[&alone], &options, SortBy::LiveBytes).groups.iter().map(|group| normal(&group.name, by)));
    }
    if sample.stack.is_empty() { [GroupName::NoStack].into() } else { names }
}
