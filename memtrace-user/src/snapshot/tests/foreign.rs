//! Profiles of other programs: what they tell is read, and what they lack is said.

use std::path::Path;

use super::{
    super::{SnapshotError, read, read_file},
    made_of::Made,
};
use crate::profile::{AllocStats, Lack, Snapshot, SortBy};

fn corpus(name: &str) -> Result<Snapshot, SnapshotError> {
    read_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/read").join(name))
}

/// Sum over the samples whose innermost function, or the functions around it, are as named.
fn sum_under(snapshot: &Snapshot, function: &str) -> AllocStats {
    let is_under = |sample: &&crate::profile::StackSample| {
        let mut frames = sample.stack.iter().flat_map(|location| snapshot.symbols.frames(*location));
        frames.any(|frame| frame.function.as_deref() == Some(function))
    };
    snapshot.samples.iter().filter(is_under).map(|sample| sample.stats).sum()
}

/// Go's heap profile: allocated and live, exact for a program of known behaviour that sampled every byte.
#[test]
fn heap_profile_of_go_is_read() {
    let snapshot = corpus("go-heap.pb.gz").unwrap();
    // 100 slices of 1,000 bytes, which Go rounds up to 1,024, are kept; 50 of 4,096 bytes are not.
    let kept = sum_under(&snapshot, "main.grow");
    assert!(kept.live_blocks() >= 100 && kept.live_bytes() >= 102_400, "{kept:?}");
    let dropped = sum_under(&snapshot, "main.churn");
    assert_eq!((dropped.allocated_blocks, dropped.allocated_bytes), (50, 50 * 4_096));
    assert_eq!(snapshot.about.default_sort, SortBy::LiveBytes);
    assert_eq!(snapshot.about.options.sample_bytes, None, "it sampled every byte");
    assert_eq!(snapshot.about.lacks, [Lack::Process, Lack::StackEnds]);
    assert_eq!(snapshot.processes[0].info.command, "/srv/example/server-go");
}

/// gperftools' heap profile, converted by pprof.
#[test]
fn heap_profile_of_gperftools_is_read() {
    for name in ["gperftools-heap.pb.gz", "gperftools-heap.pb"] {
        let snapshot = corpus(name).unwrap();
        let stats = AllocStats {
            allocated_blocks: 150,
            allocated_bytes: 2_000_000,
            freed_blocks: 50,
            freed_bytes: 1_000_000,
            short_lived_blocks: 0,
            ..AllocStats::default()
        };
        assert_eq!(snapshot.total(), stats);
        assert_eq!(sum_under(&snapshot, "load").live_bytes(), 1_000_000);
        let lines: Vec<u32> = snapshot.samples[0]
            .stack
            .iter()
            .flat_map(|location| snapshot.symbols.frames(*location))
            .filter_map(|frame| Some(frame.source.as_ref()?.line))
            .collect();
        assert_eq!(lines, [4, 5, 7]);
        assert_eq!(snapshot.about.lacks, [Lack::Process, Lack::StackEnds, Lack::Functions]);
    }
}

/// A profile of CPU time is refused by its sample types.
#[test]
fn cpu_profile_is_refused() {
    let error = corpus("go-cpu.pb.gz").unwrap_err();
    assert!(error.to_string().ends_with("its sample types are samples (count), cpu (nanoseconds)"), "{error}");
    assert!(error.hint().is_some());
}

/// Sample types, a sample's values, what they mean, and what is lacking.
type Case<'a> = (&'a [&'a str], &'a [i64], AllocStats, &'a [Lack]);

/// Sample types of other programs are counters of ours; where one half is missing, the other stands for it.
#[test]
fn sample_types_of_other_programs_are_known() {
    let stats = |allocated_blocks, allocated_bytes, freed_blocks, freed_bytes| AllocStats {
        allocated_blocks,
        allocated_bytes,
        freed_blocks,
        freed_bytes,
        short_lived_blocks: 0,
        ..AllocStats::default()
    };
    let cases: [Case<'_>; 7] = [
        (&["objects/count", "space/bytes"], &[2, 30], stats(2, 30, 0, 0), &[Lack::Allocated]),
        (&["alloc/bytes"], &[64], stats(0, 64, 0, 0), &[Lack::Live, Lack::Blocks]),
        (&["live/bytes", "live/count"], &[64, 2], stats(2, 64, 0, 0), &[Lack::Allocated]),
        (&["inuse_objects/count"], &[5], stats(5, 0, 0, 0), &[Lack::Allocated, Lack::Bytes]),
        (
            &["cpu/nanoseconds", "alloc_space/bytes", "inuse_space/bytes"],
            &[9, 8, 3],
            stats(0, 8, 0, 5),
            &[Lack::Blocks],
        ),
        (&["alloc_space/bytes", "inuse_space/bytes"], &[3, 8], stats(0, 8, 0, 0), &[Lack::Blocks]),
        (
            &["Total malloc count/count", "Unreleased malloc count/count", "Unreleased malloc size/bytes"],
            &[4, 1, 10],
            stats(4, 10, 3, 0),
            &[],
        ),
    ];
    for (types, values, expected, lacks) in cases {
        let snapshot = read(&*Made::of_types(types).sample(&[], values, &[]).bytes).unwrap();
        assert_eq!(snapshot.total(), expected, "{types:?}");
        assert_eq!(snapshot.about.lacks, [lacks, &[Lack::Process, Lack::StackEnds, Lack::Lines]].concat(), "{types:?}");
    }
}

/// Functions without addresses, as programs without machine code have them, stay apart.
#[test]
fn functions_without_addresses_stay_apart() {
    let mut made = Made::ours();
    made.function(1, "a").function(2, "_ZN3foo3barEv").location(1, 0, 0, 1).location(2, 0, 0, 2);
    made.sample(&[1, 2], &[1, 10, 1, 10], &[]);
    let snapshot = read(&*made.bytes).unwrap();
    let names: Vec<_> = snapshot.samples[0]
        .stack
        .iter()
        .map(|location| snapshot.symbols.frames(*location)[0].function.as_deref().unwrap())
        .collect();
    assert_eq!(names, ["a", "foo::bar()"]);
}

/// Pieces of a file that are mapped apart are one module, and an address becomes the same offset in the file.
#[test]
fn mapped_pieces_are_one_module() {
    let mut made = Made::ours();
    made.mapping(1, 0x1000, "/srv/app").mapping(2, 0x9000, "/srv/app");
    made.location(1, 1, 0x1010, 0).location(2, 2, 0x9010, 0).sample(&[1, 2], &[1, 10, 1, 10], &[]);
    let snapshot = read(&*made.bytes).unwrap();
    let stack = &snapshot.samples[0].stack;
    assert_eq!(stack[0], stack[1]);
    assert_eq!((&**snapshot.modules.path(stack[0].module), stack[0].offset), ("/srv/app", 0x11));
}
