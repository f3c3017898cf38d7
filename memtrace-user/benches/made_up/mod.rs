//! What the benchmarks share: a made-up program, and the CPU time of some work.

use std::time::Duration;

use memtrace::profile::{
    AllocRates, AllocStats, CallStack, Domain, Frame, Location, Losses, ModuleId, Modules, Overhead, ProcessIndex,
    ProcessInfo, ProcessTotals, Profile, SourceLine, StackEnd, StackSample, SymbolTable, UnfollowedBytes,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

/// Functions between site and thread start, which many stacks share.
const CALLERS: usize = 2_000;

/// Frames of a stack outside its site.
const DEPTH: usize = 19;

/// Samples of a program that never ran.
pub struct Made {
    pub samples: Vec<StackSample>,
    pub symbols: SymbolTable,
    pub modules: Modules,
}

/// So many sites, stacks of 22 frames that end in them, and samples a stack, each of another process.
pub fn made(sites: usize, stacks: usize, times: u32) -> Made {
    let mut modules = Modules::default();
    let libc = modules.add("/usr/lib/x86_64-linux-gnu/libc.so.6");
    let app = modules.add("/usr/bin/app");
    let mut symbols = SymbolTable::default();
    let mut location = |module: ModuleId, offset: usize, function: String, line: usize| {
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
    let mut samples = Vec::new();
    for index in 0..stacks {
        let outer = (0..DEPTH).map(|depth| callers[(index / (1 << depth.min(14)) + depth * 97) % CALLERS]);
        let inner = [if index.is_multiple_of(3) { strdup } else { alloc }, alloc, places[index % sites]];
        let stack: CallStack = inner.into_iter().chain(outer).collect();
        let allocated = (index as u64 * 7919) % 1_000 + 1;
        samples.extend((0..times).map(|process| sample(stack.clone(), ProcessIndex(process), allocated)));
    }
    Made { samples, symbols, modules }
}

fn sample(stack: CallStack, process: ProcessIndex, allocated: u64) -> StackSample {
    StackSample {
        stack,
        end: StackEnd::Whole,
        domain: Domain::Malloc,
        process,
        thread: None,
        stats: AllocStats {
            allocated_blocks: allocated,
            allocated_bytes: allocated * 48,
            freed_blocks: allocated / 2,
            freed_bytes: allocated / 2 * 48,
            short_lived_blocks: allocated / 4,
            ..AllocStats::default()
        },
    }
}

/// A reading of such a program.
pub fn profile(samples: &[StackSample], modules: &Modules, elapsed: Duration) -> Profile {
    let stats: AllocStats = samples.iter().map(|sample| sample.stats).sum();
    let totals = ProcessTotals { current_bytes: stats.live_bytes(), stats, ..ProcessTotals::default() };
    Profile {
        taken_at: std::time::UNIX_EPOCH,
        elapsed,
        started_at: None,
        process: ProcessInfo::default(),
        totals,
        own_totals: totals,
        others: Vec::new(),
        rates: AllocRates::default(),
        samples: samples.to_vec(),
        stack_ids: (1..).take(samples.len()).collect(),
        threads: Vec::new(),
        modules: modules.clone(),
        losses: Losses::default(),
        overhead: Overhead::default(),
        sample_bytes: None,
        unfollowed: UnfollowedBytes::default(),
    }
}

/// What some work gives, and the CPU time that it takes on this thread.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let now = || {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("Linux counts the time of a thread");
        let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        Duration::from_micros(micros.unsigned_abs())
    };
    let start = now();
    let found = std::hint::black_box(work());
    (found, now().saturating_sub(start))
}
