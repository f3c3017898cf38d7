//! Our files, read by pprof.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use memtrace::{
    profile::{AllocStats, Location, Snapshot},
    snapshot::write_file,
};
use tempfile::TempDir;

use crate::{
    made_up,
    pprof::{self, Values},
};

/// A sample type as pprof knows it, and the number of ours that it is to be.
type Number = (&'static str, fn(&AllocStats) -> u64);
const NUMBERS: [Number; 4] = [
    ("alloc_objects", |stats| stats.allocated_blocks),
    ("alloc_space", |stats| stats.allocated_bytes),
    ("inuse_objects", AllocStats::live_blocks),
    ("inuse_space", AllocStats::live_bytes),
];

fn file(directory: &TempDir, name: &str, snapshot: &Snapshot) -> PathBuf {
    let path = directory.path().join(name);
    write_file(&path, snapshot).expect("the file is written");
    path
}

/// What pprof should say of each function, computed from the snapshot alone: flat for the innermost function of a stack,
/// cumulative once for each function on it.
fn expected(snapshot: &Snapshot, number: fn(&AllocStats) -> u64) -> BTreeMap<String, Values> {
    let mut values: BTreeMap<String, Values> = BTreeMap::new();
    for sample in &snapshot.samples {
        let value = i64::try_from(number(&sample.stats)).expect("small");
        // A function of one name in two files is two to pprof, and of its rows the test takes the sum.
        let mut functions = Vec::new();
        for location in sample.stack.iter() {
            let frames = snapshot.symbols.frames(*location);
            let named = frames.iter().map(|frame| {
                let file = frame.source.as_ref().map(|source| source.file.to_string());
                (frame.function.as_deref().unwrap_or_default().to_owned(), file)
            });
            functions.extend(named);
            if frames.is_empty() {
                functions.push((file_name(snapshot, *location), None));
            }
        }
        if functions.is_empty() {
            functions.push(("[no stack]".into(), None));
        }
        if let Some((innermost, _)) = functions.first() {
            values.entry(innermost.clone()).or_default().0 += value;
        }
        for (function, _) in functions.into_iter().collect::<BTreeSet<_>>() {
            values.entry(function).or_default().1 += value;
        }
    }
    values.retain(|_, values| *values != (0, 0));
    values
}

/// The samples whose innermost frame, or any, has no function name belong to its file for pprof: `[libparse.so]`.
fn file_name(snapshot: &Snapshot, location: Location) -> String {
    let path = snapshot.modules.path(location.module);
    format!("[{}]", path.rsplit('/').next().unwrap_or_default())
}

/// `pprof -top` agrees with the snapshot on every function, flat and cumulative, for all four numbers.
#[test]
fn top_agrees_on_every_function() {
    let directory = tempfile::tempdir().expect("a directory");
    let snapshot = made_up::snapshot(1);
    let file = file(&directory, "a.pb.gz", &snapshot);
    for (sample_type, number) in NUMBERS {
        let top = pprof::top(sample_type, &[], &[&file]);
        assert_eq!(top, expected(&snapshot, number), "{sample_type}");
    }
}

/// The samples that `pprof -raw` lists add up to the snapshot's totals.
#[test]
fn raw_adds_up_to_the_total() {
    let directory = tempfile::tempdir().expect("a directory");
    let snapshot = made_up::snapshot(1);
    let total = snapshot.total();
    let expected: Vec<i64> = NUMBERS.iter().map(|(_, number)| i64::try_from(number(&total)).expect("small")).collect();
    assert_eq!(pprof::raw_sums(&file(&directory, "a.pb.gz", &snapshot)), expected);
}

/// `pprof -diff_base` of two snapshots is the difference of their functions; of a snapshot with itself it is empty.
#[test]
fn difference_agrees() {
    let directory = tempfile::tempdir().expect("a directory");
    let (before, after) = (made_up::snapshot(1), made_up::snapshot(3));
    let (base, later) = (file(&directory, "a.pb.gz", &before), file(&directory, "b.pb.gz", &after));
    let base = format!("-diff_base={}", base.display());
    let top = pprof::top("inuse_space", &[&base], &[&later]);
    let mut expected = expected(&after, AllocStats::live_bytes);
    for (function, values) in self::expected(&before, AllocStats::live_bytes) {
        if let Some(after) = expected.get_mut(&function) {
            *after = (after.0 - values.0, after.1 - values.1);
        }
    }
    assert_eq!(top, expected);
    let same = PathBuf::from(base.trim_start_matches("-diff_base="));
    assert!(pprof::top("inuse_space", &[&base], &[&same]).values().all(|values| *values == (0, 0)));
}

/// pprof finds what the labels, mappings and comments are for: a process by its id, a file by its build id, live bytes
/// as the default.
#[test]
fn labels_mappings_and_comments_are_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let snapshot = made_up::snapshot(1);
    let file = file(&directory, "a.pb.gz", &snapshot);
    let raw = pprof::run(&["-raw"], &[&file]);
    assert!(raw.contains("inuse_space/bytes[dflt]"), "{raw}");
    assert!(raw.contains(&format!("/srv/bin/rowsd {} [FN][FL][LN][IN]", "ab".repeat(20))), "{raw}");
    assert!(raw.contains("stack:[truncated]") && raw.contains("domain:[malloc]"), "{raw}");
    let of_second: u64 = snapshot.samples.iter().filter(|s| s.process.0 == 1).map(|s| s.stats.live_bytes()).sum();
    let focused = pprof::top("inuse_space", &["-tagfocus=pid=4712pid:4712pid"], &[&file]);
    assert_eq!(focused.values().map(|(flat, _)| flat.unsigned_abs()).sum::<u64>(), of_second);
    assert!(pprof::run(&["-comments"], &[&file]).contains("memtrace.process.1.command=/srv/bin/rowsd --port 8080\n"));
}
