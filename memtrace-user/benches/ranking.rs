//! What ranking and grouping cost: `cargo bench --package memtrace --bench ranking`.
//!
//! Two made-up profiles: what a live view of a large program ranks at a key (50,000 sites), and a large snapshot
//! (a million samples over 100,000 stacks). Times are CPU times of the best of five runs, so other work on the machine
//! matters little.

use std::time::Duration;

use memtrace::profile::{
    AllocRates, AllocStats, CallStack, CallTree, Direction, Domain, Frame, GroupBy, GroupOptions, Groups, Location,
    Losses, Modules, Overhead, ProcessIndex, ProcessInfo, ProcessTotals, Profile, ProfileDiff, Ranking, RankingOptions,
    Samples, SiteNamer, Snapshot, SortBy, SourceLine, StackEnd, StackSample, SymbolTable, TracedProcess, TreeLimits,
};
use memtrace::snapshot;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

/// Frames between site and thread start that many stacks share.
const CALLERS: usize = 2_000;

struct Made {
    samples: Vec<StackSample>,
    symbols: SymbolTable,
    modules: Modules,
}

fn main() {
    let live = made(50_000, 50_000, 1);
    let profile = profile_of(&live);
    let namer = SiteNamer::default();
    time("live: 50,000 sites, Ranking", || {
        Ranking::of(&profile, &live.symbols, &namer, &RankingOptions { sort: SortBy::LiveBytes, top: None }).sites.len()
    });
    group_all("live: 50,000 sites", &live);
    let mut groups = Groups::of(&[live.samples()], &GroupOptions::default(), SortBy::LiveBytes);
    time("live: 50,000 sites, lines in another order", || {
        let sort = groups.sort.next();
        groups = std::mem::take(&mut groups).ranked_by(sort);
        groups.groups.len()
    });
    let large = made(20_000, 100_000, 10);
    group_all("snapshot: 1,000,000 samples over 100,000 stacks", &large);
    read_and_group("snapshot: 1,000,000 samples over 100,000 stacks, read and grouped", &large);
    let samples = [large.samples()];
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
    let samples = [made.samples()];
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

impl Made {
    fn samples(&self) -> Samples<'_> {
        Samples { samples: &self.samples, symbols: &self.symbols, modules: &self.modules, processes: &[], threads: &[] }
    }
}

/// So many sites, stacks of 22 frames that end in them, and samples a stack.
fn made(sites: usize, stacks: usize, times: u32) -> Made {
    let mut modules = Modules::default();
    let libc = modules.add("/usr/lib/x86_64-linux-gnu/libc.so.6");
    let app = modules.add("/usr/bin/app");
    let mut symbols = SymbolTable::default();
    let mut location = |module, offset: usize, function: String, line: usize| {
        let source = SourceLine {
            file: format!("/src/app/part{}/mod.rs", line % 400).into(),
            line: u32::try_from(line).unwrap_or(0),
        };
        let frame = Frame { function: Some(function.into()), source: Some(source), inlined: false };
        let at = Location { module, offset: offset as u64 };
        symbols.insert(at, [frame].into());
        at
    };
    let strdup = location(libc, 64, "strdup".into(), 40);
    let alloc = location(app, 64, "alloc::raw_vec::RawVec<T,A>::grow_one".into(), 77);
    let callers: Vec<_> = (0..CALLERS)
        .map(|index| location(app, 0x10_0000 + index * 40, format!("app::tree{}::Node<K,V>::walk", index / 3), index))
        .collect();
    let places: Vec<_> = (0..sites)
        .map(|index| location(app, 0x40_0000 + index * 32, format!("app::site{index}::Cache<K,V>::insert_many"), index))
        .collect();
    let stack = |index: usize| -> CallStack {
        let outer = (0..19).map(|depth| callers[(index / (1 << depth.min(14)) + depth * 97) % CALLERS]);
        [if index.is_multiple_of(3) { strdup } else { alloc }, alloc, places[index % sites]]
            .into_iter()
            .chain(outer)
            .collect()
    };
    let mut samples = Vec::new();
    for index in 0..stacks {
        let stack = stack(index);
        for process in 0..times {
            let allocated = (index as u64 * 7919) % 1_000 + 1;
            samples.push(StackSample {
                stack: stack.clone(),
                end: StackEnd::Whole,
                domain: Domain::Malloc,
                process: ProcessIndex(process),
                thread: None,
                stats: AllocStats {
                    allocated_blocks: allocated,
                    allocated_bytes: allocated * 48,
                    freed_blocks: allocated / 2,
                    freed_bytes: allocated / 2 * 48,
                },
            });
        }
    }
    Made { samples, symbols, modules }
}

fn profile_of(made: &Made) -> Profile {
    Profile {
        taken_at: std::time::UNIX_EPOCH,
        elapsed: Duration::ZERO,
        process: ProcessInfo::default(),
        totals: ProcessTotals::default(),
        rates: AllocRates::default(),
        samples: made.samples.clone(),
        threads: Vec::new(),
        modules: made.modules.clone(),
        losses: Losses::default(),
        overhead: Overhead::default(),
    }
}

/// Prints the time, if the command line asks for nothing else.
fn time(what: &str, mut work: impl FnMut() -> usize) {
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if wanted.peek().is_some() && !wanted.any(|part| what.contains(&part)) {
        return;
    }
    let now = || {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux counts the time of a thread");
        Duration::from_micros(
            (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()).unsigned_abs(),
        )
    };
    let mut best = Duration::MAX;
    let mut found = 0;
    for _ in 0..5 {
        let start = now();
        found = std::hint::black_box(work());
        best = best.min(now().saturating_sub(start));
    }
    println!("{:8.1} ms  {what} ({found})", best.as_secs_f64() * 1e3);
}
