//! Snapshots that are made up of what real ones have: several files and processes, inlined functions, recursion, code
//! without a name, stacks that were cut, or could not be had at all.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use memtrace::profile::{
    About, AllocStats, CallStack, Domain, Frame, Location, Module, ModuleId, Modules, ProcessIndex, ProcessInfo,
    Snapshot, SourceLine, StackEnd, StackSample, SymbolTable, ThreadIndex, TracedProcess, TracedThread,
};

/// Functions of each location, the innermost inlined one first; none has no name.
const FRAMES: [&[(&str, &str, u32)]; 8] = [
    &[("main", "src/main.c", 33)],
    &[("parse", "src/parse.c", 210)],
    &[("vec_grow", "src/vec.h", 12), ("rows_new", "src/rows.c", 120)],
    &[("operator new(unsigned long)", "", 0)],
    &[("<alloc::vec::Vec<T> as core::clone::Clone>::clone", "library/alloc/src/vec/mod.rs", 2900)],
    &[],
    &[("buffer", "src/io.c", 12)],
    &[("buffer", "src/other.c", 99)],
];

/// Samples: stack as indices into [`FRAMES`], allocated blocks, size of each, freed blocks.
const SAMPLES: [(&[usize], u64, u64, u64); 9] = [
    (&[2, 1, 1, 1, 0], 1_000, 48, 400),
    (&[2, 0], 3, 1_000_001, 1),
    (&[3, 1, 0], 7, 24, 0),
    (&[4, 0], 100_000, 4_096, 100_000),
    (&[5, 0], 11, 832, 2),
    (&[6, 5], 5, 65_536, 0),
    (&[7, 0], 2, 10, 0),
    (&[], 3, 100, 0),
    (&[1, 2, 1, 2, 0], 1, 1 << 40, 0),
];

/// Two processes, the second one's threads told apart; every number times `factor`.
pub fn snapshot(factor: u64) -> Snapshot {
    let mut modules = Modules::default();
    let build_id: Arc<[u8]> = [0xab; 20].into();
    let program = modules.push(Module { path: "/srv/bin/rowsd".into(), build_id: Some(build_id) });
    let library = modules.push(Module { path: "/usr/lib/libparse.so".into(), build_id: None });
    let locations: Vec<Location> = (0..FRAMES.len()).map(|index| location(index, program, library)).collect();
    let mut symbols = SymbolTable::default();
    for (location, frames) in locations.iter().zip(FRAMES) {
        symbols.insert(*location, frames_of(frames));
    }
    let samples = SAMPLES.iter().enumerate().map(|(index, (stack, allocated, size, freed))| StackSample {
        stack: stack.iter().map(|place| locations[*place]).collect::<CallStack>(),
        end: StackEnd::all().nth(index % 3).expect("three"),
        domain: Domain::Malloc,
        process: ProcessIndex(u32::from(index % 3 == 0)),
        thread: (index % 3 == 0).then_some(ThreadIndex(u32::from(index % 2 == 0))),
        stats: AllocStats {
            allocated_blocks: allocated * factor,
            allocated_bytes: allocated * factor * size,
            freed_blocks: freed * factor,
            freed_bytes: freed * factor * size,
            short_lived_blocks: 0,
            ..AllocStats::default()
        },
    });
    let taken_at = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let about = About { taken_at: Some(taken_at), elapsed: Some(Duration::from_secs(65)), ..About::default() };
    let threads = [(4712, "main"), (4713, "worker")].map(|(tid, name)| TracedThread { tid, name: name.into() });
    Snapshot {
        about,
        processes: vec![process(4711, "/srv/bin/rowsd --port 8080"), process(4712, "/srv/bin/rowsd --worker")],
        threads: threads.into(),
        modules,
        samples: samples.collect(),
        symbols,
    }
}

fn location(index: usize, program: ModuleId, library: ModuleId) -> Location {
    let module = if index.is_multiple_of(2) { program } else { library };
    Location { module, offset: 0x1000 + 16 * index as u64 }
}

fn frames_of(frames: &[(&str, &str, u32)]) -> Arc<[Frame]> {
    let frame = |(index, (function, file, line)): (usize, &(&str, &str, u32))| Frame {
        function: Some((*function).into()),
        source: (!file.is_empty()).then(|| SourceLine { file: (*file).into(), line: *line }),
        inlined: index + 1 < frames.len(),
    };
    frames.iter().enumerate().map(frame).collect()
}

fn process(pid: u32, command: &str) -> TracedProcess {
    let info = ProcessInfo { pid, command: command.into(), rss_bytes: Some(1 << 20), ..ProcessInfo::default() };
    TracedProcess {
        info,
        started_at: Some(UNIX_EPOCH + Duration::from_secs(1_789_999_000)),
        ..TracedProcess::default()
    }
}
