//! Orders the call sites of a profile for a reader.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{
    AllocStats, CallStack, Domain, Frame, Location, Modules, Profile, SiteNamer, SortBy, StackEnd, StackSample,
    SymbolTable, main_domain,
};
use crate::number_hash::NumberMap;

/// How to rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RankingOptions {
    /// The number to rank by.
    pub sort: SortBy,
    /// Most sites to keep apart; the rest is added up in [`Ranking::others`]. `None` keeps all.
    pub top: Option<usize>,
    /// The domain; `None` for the main one.
    pub domain: Option<Domain>,
}

/// One call stack of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteStack {
    /// The frames, innermost first.
    pub stack: CallStack,
    /// Whether the frames reach the start of the thread.
    pub end: StackEnd,
    /// Its counters.
    pub stats: AllocStats,
}

/// What was allocated at one place of the program, by whatever callers.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// The frame that names the site; `None` for what was recorded without a stack.
    pub location: Option<Location>,
    /// Sum over the stacks.
    pub stats: AllocStats,
    /// Its stacks, heaviest first.
    pub stacks: Vec<SiteStack>,
    /// Part of the total of the number ranked by, 0 to 1; 0 when the total is 0.
    pub share: f64,
    /// Sum of the shares down to this site.
    pub running_share: f64,
}

/// The sites below the last one that is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtherSites {
    /// How many there are.
    pub sites: usize,
    /// Their sum.
    pub stats: AllocStats,
}

/// The call sites of one profile in order.
#[derive(Debug, Clone, Default)]
pub struct Ranking {
    /// The number that was ranked by.
    pub sort: SortBy,
    /// The first sites, greatest first.
    pub sites: Vec<Site>,
    /// The sites left out.
    pub others: OtherSites,
    /// Sum over all sites, those left out too.
    pub total: AllocStats,
    namer: SiteNamer,
}

impl Ranking {
    /// Groups the samples by the frame that names them and sorts the groups. Equal sites are ordered by function
    /// name, then file and place in it, so two readings of one state show one order.
    #[must_use]
    pub fn of(profile: &Profile, symbols: &SymbolTable, namer: &SiteNamer, options: &RankingOptions) -> Self {
        let domain = options.domain.unwrap_or_else(|| main_domain(&profile.samples));
        let samples = profile.samples.iter().filter(|sample| sample.domain.is_beside(domain));
        let groups = group(samples, namer, symbols, &profile.modules);
        let mut sites: Vec<Site> =
            groups.into_iter().map(|(location, stacks)| Site::new(location, stacks, options.sort)).collect();
        sites.sort_unstable_by_key(|site| Reverse(options.sort.value(&site.stats)));
        // Names are looked at only where values do not tell.
        for equal in sites.chunk_by_mut(|a, b| options.sort.value(&a.stats) == options.sort.value(&b.stats)) {
            if equal.len() > 1 {
                equal.sort_by_cached_key(|site| name_order(site.location, symbols, &profile.modules));
            }
        }
        let total = sites.iter().map(|site| site.stats).sum();
        set_shares(&mut sites, options.sort);
        let left_out = sites.split_off(options.top.unwrap_or(usize::MAX).min(sites.len()));
        let others = OtherSites { sites: left_out.len(), stats: left_out.iter().map(|site| site.stats).sum() };
        Self { sort: options.sort, sites, others, total, namer: namer.clone() }
    }

    /// The locations whose lines a view of these sites needs: the sites' own and their heaviest stacks'.
    #[must_use]
    pub fn shown_locations(&self) -> BTreeSet<Location> {
        self.sites.iter().flat_map(Site::shown_locations).collect()
    }

    /// What the sites were named by.
    #[must_use]
    pub const fn namer(&self) -> &SiteNamer {
        &self.namer
    }

    /// The frame to show for a location: the innermost function inlined there that is no plumbing.
    #[must_use]
    pub fn frame<'a>(&self, location: Location, symbols: &'a SymbolTable) -> Option<&'a Frame> {
        self.namer.frame(location, symbols)
    }
}

impl Site {
    fn new(location: Option<Location>, mut stacks: Vec<SiteStack>, sort: SortBy) -> Self {
        if stacks.len() > 1 {
            merge_equal(&mut stacks);
            stacks.sort_by(|a, b| {
                let value = |stack: &SiteStack| Reverse(sort.value(&stack.stats));
                value(a).cmp(&value(b)).then_with(|| (&a.stack, a.end).cmp(&(&b.stack, b.end)))
            });
        }
        let stats = stacks.iter().map(|stack| stack.stats).sum();
        Self { location, stats, stacks, share: 0.0, running_share: 0.0 }
    }

    /// The locations that a view of this site and its heaviest stack names.
    pub fn shown_locations(&self) -> impl Iterator<Item = Location> + '_ {
        let heaviest = self.stacks.first().into_iter().flat_map(|stack| stack.stack.iter().copied());
        self.location.into_iter().chain(heaviest)
    }
}

fn group<'a>(
    samples: impl Iterator<Item = &'a StackSample>,
    namer: &SiteNamer,
    symbols: &SymbolTable,
    modules: &Modules,
) -> NumberMap<Option<Location>, Vec<SiteStack>> {
    let mut reader = namer.reader(symbols, modules);
    let mut groups: NumberMap<_, Vec<SiteStack>> = NumberMap::default();
    for sample in samples {
        let location = reader.site(&sample.stack).map(|index| sample.stack[index]);
        let stack = SiteStack { stack: sample.stack.clone(), end: sample.end, stats: sample.stats };
        groups.entry(location).or_default().push(stack);
    }
    groups
}

/// One file mapped twice gives two records of one stack: they are one to a reader.
fn merge_equal(stacks: &mut Vec<SiteStack>) {
    stacks.sort_by(|a, b| (&a.stack, a.end).cmp(&(&b.stack, b.end)));
    stacks.dedup_by(|later, kept| {
        let equal = later.stack == kept.stack && later.end == kept.end;
        if equal {
            kept.stats += later.stats;
        }
        equal
    });
}

/// By the physical function: the inlined ones get known later, and that must not move a row. No stack comes last.
fn name_order<'a>(
    location: Option<Location>,
    symbols: &'a SymbolTable,
    modules: &'a Modules,
) -> (bool, Option<(&'a str, &'a str, Location)>) {
    let name = location.map(|location| {
        let function = symbols.frames(location).last().and_then(|frame| frame.function.as_deref());
        (function.unwrap_or_default(), &**modules.path(location.module), location)
    });
    (name.is_none(), name)
}

/// The running share is taken from the running sum, so that the last one is exactly 1.
#[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn set_shares(sites: &mut [Site], sort: SortBy) {
    let total: u64 = sites.iter().map(|site| sort.value(&site.stats)).sum();
    let share = |value: u64| if total == 0 { 0.0 } else { value as f64 / total as f64 };
    let mut running = 0;
    for site in sites {
        let value = sort.value(&site.stats);
        running += value;
        site.share = share(value);
        site.running_share = share(running);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::fixture::Scene, *};

    /// A profile of `(frames, allocated blocks, freed blocks)`, each block of 10 bytes.
    fn rank(stacks: &[(&[&str], u64, u64)], options: RankingOptions) -> (Ranking, Scene) {
        let mut scene = Scene::default();
        for (frames, allocated, freed) in stacks {
            scene.sample(frames, *allocated, 10, *freed);
        }
        (Ranking::of(&scene.profile(), &scene.symbols, &SiteNamer::default(), &options), scene)
    }

    fn names(ranking: &Ranking, scene: &Scene) -> Vec<String> {
        let name = |site: &Site| site.location.map_or("[no stack]".into(), |at| scene.name(at));
        ranking.sites.iter().map(name).collect()
    }

    /// Stacks named by one frame are one site, whatever called it, with its heaviest stack first.
    #[test]
    fn stacks_of_one_frame_are_one_site() {
        let (ranking, scene) = rank(
            &[(&["load@app", "a@app"], 1, 0), (&["xmalloc@app", "load@app", "b@app"], 5, 0), (&["c@app"], 2, 0)],
            RankingOptions::default(),
        );
        assert_eq!(names(&ranking, &scene), ["load@app", "c@app"]);
        assert_eq!(ranking.sites[0].stats.live_bytes(), 60);
        assert_eq!(ranking.sites[0].stacks[0].stats.live_bytes(), 50);
        assert!((ranking.sites[0].share - 0.75).abs() < 1e-9);
    }

    /// Two records of one stack are one stack.
    #[test]
    fn equal_stacks_are_merged() {
        let (ranking, _) = rank(&[(&["a@app"], 1, 0), (&["a@app"], 2, 1)], RankingOptions::default());
        assert_eq!(ranking.sites[0].stacks.len(), 1);
        assert_eq!(ranking.sites[0].stacks[0].stats.live_blocks(), 2);
    }

    /// Sites of one value are in the order of their names, and what has no stack comes last.
    #[test]
    fn ties_are_ordered_by_name() {
        let stacks: &[(&[&str], u64, u64)] = &[(&[], 1, 0), (&["c@app"], 1, 0), (&["a@app"], 1, 0), (&["b@app"], 1, 0)];
        let (ranking, scene) = rank(stacks, RankingOptions::default());
        assert_eq!(names(&ranking, &scene), ["a@app", "b@app", "c@app", "[no stack]"]);
    }

    /// What is beyond the first sites is added up, and shares are still of the whole.
    #[test]
    fn sites_left_out_are_added_up() {
        let stacks: &[(&[&str], u64, u64)] = &[(&["a@app"], 6, 0), (&["b@app"], 3, 0), (&["c@app"], 1, 0)];
        let (ranking, scene) = rank(stacks, RankingOptions { top: Some(1), ..RankingOptions::default() });
        assert_eq!(names(&ranking, &scene), ["a@app"]);
        assert_eq!((ranking.others.sites, ranking.others.stats.live_bytes()), (2, 40));
        assert!((ranking.sites[0].running_share - 0.6).abs() < 1e-9);
        assert_eq!(ranking.shown_locations().len(), 1);
    }

    fn any_stacks() -> impl Strategy<Value = Vec<(Vec<usize>, u64, u64)>> {
        let stack = prop::collection::vec(0..6_usize, 0..5);
        prop::collection::vec((stack, 0..100_u64, 0..100_u64), 0..30)
    }

    proptest! {
        /// Nothing is lost or counted twice by grouping, in any order and with any cut; the running share ends at 1.
        #[test]
        fn sums_are_kept(stacks in any_stacks(), order in 0..5_usize, top in prop::option::of(0..8_usize)) {
            const FRAMES: [&str; 6] = ["malloc@libc.so.6", "xmalloc@app", "a@app", "b@app", "c@lib.so", "_start@app"];
            let mut scene = Scene::default();
            for (frames, allocated, freed) in &stacks {
                let frames: Vec<_> = frames.iter().map(|index| FRAMES[*index]).collect();
                scene.sample(&frames, *allocated, 7, (*freed).min(*allocated));
            }
            let sort = SortBy::all().nth(order).unwrap_or_default();
            let profile = scene.profile();
            let rank = |top| {
                Ranking::of(&profile, &scene.symbols, &SiteNamer::default(), &RankingOptions { sort, top, domain: None })
            };
            let (cut, all) = (rank(top), rank(None));
            let samples: AllocStats = profile.samples.iter().map(|sample| sample.stats).sum();
            let shown: AllocStats = cut.sites.iter().map(|site| site.stats).sum();
            prop_assert_eq!(shown + cut.others.stats, samples);
            prop_assert_eq!(cut.total, samples);
            for site in &all.sites {
                prop_assert_eq!(site.stacks.iter().map(|stack| stack.stats).sum::<AllocStats>(), site.stats);
            }
            prop_assert!(all.sites.is_sorted_by_key(|site| Reverse(sort.value(&site.stats))));
            let last = all.sites.last().map_or(0.0, |site| site.running_share);
            let expected = if sort.value(&samples) == 0 { 0.0 } else { 1.0 };
            prop_assert!((last - expected).abs() < f64::EPSILON);
            prop_assert_eq!(&cut.sites[..], &all.sites[..cut.sites.len()]);
        }
    }
}
