//! A snapshot that goes through a file comes back as it was.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use proptest::{collection::vec, option, prelude::*};

use super::super::{read, write};
use crate::profile::{
    About, AllocStats, Domain, Frame, Lack, Location, LossReason, Losses, Module, ModuleId, Modules, ProcessIndex,
    ProcessInfo, ProcessTotals, Snapshot, SortBy, SourceLine, StackEnd, StackSample, SymbolTable, ThreadIndex,
    TraceOptions, TracedProcess, TracedThread, fixture,
};

fn through_a_file(snapshot: &Snapshot) -> Snapshot {
    let mut file = Vec::new();
    write(&mut file, snapshot).unwrap();
    read(&*file).unwrap()
}

/// A sample with everything that it refers to in its place. Threads that no sample is of need not survive.
type Resolved<'a> = (
    Vec<(ModuleId, &'a Module, u64, &'a [Frame])>,
    StackEnd,
    Domain,
    ProcessIndex,
    Option<&'a TracedThread>,
    AllocStats,
);

fn resolved(snapshot: &Snapshot) -> Vec<Resolved<'_>> {
    let place =
        |at: &Location| (at.module, snapshot.modules.module(at.module), at.offset, snapshot.symbols.frames(*at));
    let thread = |index: ThreadIndex| &snapshot.threads[index.0 as usize];
    let samples = snapshot.samples.iter();
    samples
        .map(|s| (s.stack.iter().map(place).collect(), s.end, s.domain, s.process, s.thread.map(thread), s.stats))
        .collect()
}

/// Samples of one stack are in a row in a file, in the order of the first of them.
fn in_file_order(mut samples: Vec<Resolved<'_>>) -> Vec<Resolved<'_>> {
    let stacks: Vec<_> = samples.iter().map(|sample| sample.0.clone()).collect();
    samples.sort_by_key(|sample| stacks.iter().position(|stack| *stack == sample.0));
    samples
}

fn assert_equal(read: &Snapshot, written: &Snapshot) {
    assert_eq!(read.about, written.about);
    assert_eq!(read.processes, written.processes);
    assert_eq!(read.modules, written.modules);
    assert_eq!(resolved(read), in_file_order(resolved(written)));
}

/// The profiles that views are tested with survive, the one with hostile names included.
#[test]
fn typical_snapshots_survive() {
    for (profile, symbols) in [fixture::typical(), fixture::with_losses(), fixture::empty(), fixture::hostile()] {
        let snapshot = Snapshot::of(&profile, &symbols, About::default());
        assert_equal(&through_a_file(&snapshot), &snapshot);
    }
}

/// Samples of one stack share its memory after reading, however they had it before.
#[test]
fn stacks_are_shared() {
    let mut scene = fixture::Scene::default();
    scene.sample(&["a@app", "main@app"], 1, 10, 0);
    scene.sample(&["a@app", "main@app"], 1, 20, 0);
    let read = through_a_file(&scene.snapshot());
    assert!(Arc::ptr_eq(&read.samples[0].stack, &read.samples[1].stack));
}

/// More freed than allocated, which a reading amid a call may show, is as much freed as allocated.
#[test]
fn more_freed_than_allocated_is_all_freed() {
    let mut scene = fixture::Scene::default();
    scene.sample(&["a@app"], 3, 10, 4);
    let stats = through_a_file(&scene.snapshot()).total();
    assert_eq!(
        stats,
        AllocStats {
            allocated_blocks: 3,
            allocated_bytes: 30,
            freed_blocks: 3,
            freed_bytes: 30,
            short_lived_blocks: 0,
            ..AllocStats::default()
        }
    );
}

proptest! {
    /// Whatever a snapshot holds comes back.
    #[test]
    fn any_snapshot_survives(snapshot in snapshots()) {
        assert_equal(&through_a_file(&snapshot), &snapshot);
    }
}

fn texts() -> impl Strategy<Value = String> {
    // Any character, line breaks and those that drive a terminal included, and some that mean something in a comment.
    prop_oneof!["\\PC{1,12}", "[\\x01-\\x7f]{1,6}", Just("memtrace=1.2".to_owned())]
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let parts = (about(), vec(modules(), 0..4), vec(processes(), 1..4), vec((any::<u32>(), texts()), 1..4));
    parts
        .prop_flat_map(|(about, modules, mut processes, threads)| {
            // What tells processes apart in a file.
            let mut pids = BTreeSet::new();
            processes.retain(|process| pids.insert(process.info.pid));
            let (module_count, process_count) = (modules.len(), processes.len());
            let threads: Vec<_> =
                threads.into_iter().map(|(tid, name)| TracedThread { tid, name: name.into() }).collect();
            let sites = vec((0..=module_count, 0..u64::MAX / 2, vec(frames(), 0..3)), 1..6);
            let samples = vec(samples(6, process_count, threads.len()), 0..12);
            (Just((about, modules, processes, threads)), sites, samples)
        })
        .prop_map(|((about, modules, processes, threads), sites, samples)| {
            assemble(about, modules, processes, threads, &sites, samples)
        })
}

type Site = (usize, u64, Vec<Frame>);

fn assemble(
    about: About,
    files: Vec<Module>,
    processes: Vec<TracedProcess>,
    threads: Vec<TracedThread>,
    sites: &[Site],
    samples: Vec<(Vec<usize>, StackSample)>,
) -> Snapshot {
    let mut modules = Modules::default();
    for file in files {
        modules.push(file);
    }
    let mut symbols = SymbolTable::default();
    let mut locations = Vec::new();
    for (module, offset, frames) in sites {
        let location = Location { module: ModuleId(u32::try_from(*module).unwrap()), offset: *offset };
        if !symbols.knows(location) {
            let count = frames.len();
            let frame = |(index, frame): (usize, &Frame)| Frame { inlined: index + 1 < count, ..frame.clone() };
            symbols.insert(location, frames.iter().enumerate().map(frame).collect());
        }
        locations.push(location);
    }
    let stack = |places: &[usize]| places.iter().map(|place| locations[place % locations.len()]).collect();
    let samples = samples.into_iter().map(|(places, sample)| StackSample { stack: stack(&places), ..sample }).collect();
    Snapshot { about, processes, threads, modules, samples, symbols }
}

fn frames() -> impl Strategy<Value = Frame> {
    (texts(), option::of((texts(), any::<u32>()))).prop_map(|(function, source)| Frame {
        function: Some(function.into()),
        source: source.map(|(file, line)| SourceLine { file: file.into(), line }),
        inlined: false,
    })
}

fn modules() -> impl Strategy<Value = Module> {
    (texts(), option::of(vec(any::<u8>(), 1..20)))
        .prop_map(|(path, build_id)| Module { path: path.into(), build_id: build_id.map(Into::into) })
}

fn samples(sites: usize, processes: usize, threads: usize) -> impl Strategy<Value = (Vec<usize>, StackSample)> {
    let stats = (0..1_u64 << 58, 0..1_u64 << 58, 0..=100_u64).prop_map(|(blocks, bytes, freed)| AllocStats {
        allocated_blocks: blocks,
        allocated_bytes: bytes,
        freed_blocks: blocks / 100 * freed,
        freed_bytes: bytes / 100 * freed,
        short_lived_blocks: 0,
        ..AllocStats::default()
    });
    let index = |count: usize| 0..u32::try_from(count).unwrap();
    (vec(0..sites, 0..5), index(3), index(processes), option::of(index(threads)), stats).prop_map(
        |(places, end, process, thread, stats)| {
            let sample = StackSample {
                stack: [].into(),
                end: StackEnd::all().nth(end as usize).unwrap(),
                domain: Domain::Malloc,
                process: ProcessIndex(process),
                thread: thread.map(ThreadIndex),
                stats,
            };
            (places, sample)
        },
    )
}

/// A number that a profile can hold.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![0..i64::MAX.unsigned_abs(), Just(0), Just(i64::MAX.unsigned_abs())]
}

fn processes() -> impl Strategy<Value = TracedProcess> {
    let info = (1..u32::MAX, texts(), any::<bool>(), option::of(numbers()), (vec(texts(), 0..3), vec(texts(), 0..3)));
    let totals = option::of(vec(numbers(), 12)).prop_map(|numbers| numbers.map(|numbers| totals(&numbers)));
    (info, option::of(1..i64::MAX.unsigned_abs()), totals).prop_map(
        |((pid, command, exited, rss_bytes, (allocators, notes)), started, totals)| TracedProcess {
            info: ProcessInfo { pid, command, exited, rss_bytes, allocators, notes },
            started_at: started.map(|nanos| UNIX_EPOCH + Duration::from_nanos(nanos)),
            totals,
            further: pid % 3,
        },
    )
}

fn totals(numbers: &[u64]) -> ProcessTotals {
    ProcessTotals {
        current_bytes: numbers[0],
        peak_bytes: numbers[1],
        stats: AllocStats {
            allocated_blocks: numbers[2],
            allocated_bytes: numbers[3],
            freed_blocks: numbers[4],
            freed_bytes: numbers[5],
            short_lived_blocks: 0,
            ..AllocStats::default()
        },
        failed_calls: numbers[6],
        unknown_frees: numbers[7],
        entry_hits: numbers[8],
        release_hits: numbers[9],
        return_hits: numbers[10],
        cpu_nanos: numbers[11],
    }
}

fn about() -> impl Strategy<Value = About> {
    let words = (option::of(texts()), option::of(texts()), option::of(texts()), vec(texts(), 0..3));
    let nanos = || option::of((1..i64::MAX.unsigned_abs()).prop_map(Duration::from_nanos));
    let options =
        (option::of(2..i64::MAX.unsigned_abs()), option::of(numbers()), option::of(any::<u32>()), option::of(texts()));
    let counts = vec(0..1_u64 << 50, LossReason::all().count());
    let lacks = proptest::sample::subsequence(Lack::all().collect::<Vec<_>>(), 0..3);
    let sort = proptest::sample::select(vec![
        SortBy::LiveBytes,
        SortBy::LiveBlocks,
        SortBy::AllocatedBytes,
        SortBy::AllocatedBlocks,
    ]);
    (words, (nanos(), nanos(), nanos()), options, counts, lacks, sort).prop_map(
        |((tool, host, kernel, comments), times, options, counts, lacks, default_sort)| {
            let mut losses = Losses::default();
            LossReason::all().zip(counts).for_each(|(reason, count)| losses.add(reason, count));
            let (sample_bytes, min_size, max_frames, unwind) = options;
            About {
                tool,
                host,
                kernel,
                started_at: times.0.map(|since| UNIX_EPOCH + since),
                taken_at: times.1.map(|since| UNIX_EPOCH + since),
                elapsed: times.2,
                options: TraceOptions { sample_bytes, min_size, max_frames, unwind },
                default_sort,
                losses,
                lacks,
                comments,
            }
        },
    )
}
