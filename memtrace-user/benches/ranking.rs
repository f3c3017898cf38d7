//! What ranking and grouping cost: `cargo bench --package memtrace --bench ranking`.
//!
//! Two made-up profiles: what a live view of a large program ranks at a key (50,000 sites), and a large snapshot
//! (a million samples over 100,000 stacks). Times are CPU times of the best of five runs, so other work on the machine
//! matters little.

mod made_up;

use std::time::Duration;

use made_up::{Made, made, profile, timed};
use memtrace::{
    profile::{
        CallTree, Direction, GroupBy, GroupOptions, Groups, ProcessInfo, ProfileDiff, Ranking, RankingOptions, Samples,
        SiteNamer, Snapshot, SortBy, TracedProcess, TreeLimits,
    },
    snapshot,
};

fn main() {
    let live = made(50_000, 50_000, 1);
    let profile = profile(&live.samples, &live.modules, Duration::ZERO);
    let namer = SiteNamer::default();
    time("live: 50,000 sites, Ranking", || {
        Ranking::of(
            &profile,
            &live.symbols,
            &namer,
            &RankingOptions { sort: SortBy::LiveBytes, ..RankingOptions::default() },
        )
        .sites
        .len()
    });
    group_all("live: 50,000 sites", &live);
    let mut groups = Groups::of(&[samples_of(&live)], &GroupOptions::default(), SortBy::LiveBytes);
    time("live: 50,000 sites, lines in another order", || {
        let sort = groups.sort.next();
        groups = std::mem::take(&mut groups).ranked_by(sort);
        groups.groups.len()
    });
    let large = made(20_000, 100_000, 10);
    group_all("snapshot: 1,000,000 samples over 100,000 stacks", &large);
    read_and_group("snapshot: 1,000,000 samples over 100,000 stacks, read and grouped", &large);
    let samples = [samples_of(&large)];
    time("snapshot: diff by line", || {
        ProfileDiff::of(&samples, &samples, &GroupOptions::default(), SortBy::LiveBytes).unchanged
    });
    for direction in [Direction::Callers, Direction::Callees] {
        let options = GroupOptions { by: GroupBy::Function, ..GroupOptions::default() };
        time(&format!("snapshot: tree of {direction:?}"), || {
            CallTree::of(&samples, &options, SortBy::LiveBytes, direction, TreeLimits::default()).branches.nodes.len()
        });
    }
}

fn group_all(what: &str, made: &Made) {
    let samples = [samples_of(made)];
    for by in GroupBy::all() {
        let options = GroupOptions { by, ..GroupOptions::default() };
        time(&format!("{what}, by {}", by.word()), || Groups::of(&samples, &options, SortBy::LiveBytes).groups.len());
    }
    let options = GroupOptions { by: GroupBy::Function, cumulative: true, ..GroupOptions::default() };
    time(&format!("{what}, by function, cumulative"), || {
        Groups::of(&samples, &options, SortBy::LiveBytes).groups.len()
    });
}

fn read_and_group(what: &str, made: &Made) {
    let process =
        |pid| TracedProcess { info: ProcessInfo { pid, ..ProcessInfo::default() }, ..TracedProcess::default() };
    let snapshot = Snapshot {
        processes: (1..=10).map(process).collect(),
        modules: made.modules.clone(),
        samples: made.samples.clone(),
        symbols: made.symbols.clone(),
        ..Snapshot::default()
    };
    let mut file = Vec::new();
    snapshot::write(&mut file, &snapshot).expect("memory takes every write");
    time(&format!("{what}, {} bytes", file.len()), || {
        let snapshot = snapshot::read(&*file).expect("it is whole");
        Groups::of(&[(&snapshot).into()], &GroupOptions::default(), SortBy::LiveBytes).groups.len()
    });
}

fn samples_of(made: &Made) -> Samples<'_> {
    Samples { samples: &made.samples, symbols: &made.symbols, modules: &made.modules, processes: &[], threads: &[] }
}

/// Prints the time, if the command line asks for nothing else.
fn time(what: &str, mut work: impl FnMut() -> usize) {
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|part| what.contains(&part)) {
        return;
    }
    let (mut best, mut found) = (Duration::MAX, 0);
    for _ in 0..5 {
        let (result, time) = timed(&mut work);
        (best, found) = (best.min(time), result);
    }
    println!("{:8.1} ms  {what} ({found})", best.as_secs_f64() * 1e3);
}
