//! `go tool pprof` over the same files, as an independent oracle of every number.
//!
//! pprof's flat number of a function is that of `--site leaf --group-by function`, its cumulative one that of
//! `--cumulative`. It knows functions by name alone, memtrace by module and name; the profiles here have no name twice.

use std::{collections::BTreeMap, process::Command};

use tempfile::TempDir;

use super::{files, json, made};

/// Numbers by function: flat and cumulative.
type Numbers = BTreeMap<String, (i64, i64)>;

/// What memtrace calls pprof's four sample types.
const SAMPLE_TYPES: [(&str, &str); 4] = [
    ("inuse_space", "live_bytes"),
    ("inuse_objects", "live_blocks"),
    ("alloc_space", "allocated_bytes"),
    ("alloc_objects", "allocated_blocks"),
];

/// What pprof says of a file, or of two.
fn pprof(directory: &TempDir, sample_type: &str, arguments: &[&str]) -> Numbers {
    let mut command = Command::new("go");
    command.args(["tool", "pprof", "-top", "-symbolize=none", "-unit=B", "-nodecount=0", "-nodefraction=0"]);
    command.arg("-edgefraction=0").arg(format!("-sample_index={sample_type}")).args(arguments);
    command.current_dir(directory).env("PPROF_TMPDIR", directory.path()).env("HOME", directory.path());
    let output = command.output().expect("Debian's golang-go");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (_, table) = text.split_once("cum%\n").expect("pprof's table");
    table.lines().map(parse).filter(|(_, numbers)| *numbers != (0, 0)).collect()
}

/// `8388608B 77.21% 77.21% 8388608B 77.21%  vec_grow (inline)`.
fn parse(line: &str) -> (String, (i64, i64)) {
    let mut cells = line.split_whitespace();
    let mut number = |skip| {
        let cell = cells.nth(skip).expect("a number");
        cell.trim_end_matches('B').parse().unwrap_or_else(|_| panic!("{cell} in {line}"))
    };
    let numbers = (number(0), number(2));
    let name = cells.skip(1).filter(|word| !matches!(*word, "(inline)" | "(partial-inline)"));
    (name.collect::<Vec<_>>().join(" "), numbers)
}

/// What memtrace says, in pprof's names.
fn memtrace(
    directory: &TempDir,
    number: fn(&serde_json::Value, &str) -> i64,
    field: &str,
    command: &[&str],
) -> Numbers {
    let mut numbers = Numbers::new();
    let flat = json(directory, &[command, &["-g", "function", "--site", "leaf"]].concat());
    let cumulative = json(directory, &[command, &["-g", "function", "--cumulative"]].concat());
    for (report, is_flat) in [(flat, true), (cumulative, false)] {
        for group in report["groups"].as_array().expect("groups") {
            let name = name(group);
            let (flat, cumulative) = numbers.entry(name).or_default();
            *(if is_flat { flat } else { cumulative }) += number(group, field);
        }
    }
    numbers.into_iter().filter(|(_, numbers)| *numbers != (0, 0)).collect()
}

/// pprof shows code without a name by its file.
fn name(group: &serde_json::Value) -> String {
    if let Some(function) = group["function"].as_str() {
        return function.to_owned();
    }
    // A sample without a stack has a function of this name in the file, as pprof leaves it out otherwise.
    let Some(module) = group["module"].as_str() else { return "[no stack]".to_owned() };
    format!("[{}]", module.rsplit('/').next().unwrap_or_default())
}

fn of_report(group: &serde_json::Value, field: &str) -> i64 {
    group[field].as_i64().expect("a number")
}

fn of_diff(group: &serde_json::Value, field: &str) -> i64 {
    of_report(&group["after"], field) - of_report(&group["before"], field)
}

/// A profile of random stacks over forty functions in three modules, inlined ones too.
fn random(mut state: u64) -> made::Made {
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut made = made::Made::new(77, "random", 9);
    for _ in 0..200 {
        let frames: Vec<String> = (0..=below(12))
            .map(|_| {
                let (function, module) = (below(40), below(3));
                let frame = |name: u64| format!("f{name}_{module}@/lib/m{module}.so@/src/f{name}.c:{}", name % 7 + 1);
                if below(4) == 0 { format!("{} > {}", frame(function), frame(below(40))) } else { frame(function) }
            })
            .collect();
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        let allocated = below(100_000);
        made.stack(&frames, allocated, below(5_000) + 1, below(allocated + 1));
    }
    made
}

/// Every number of every function, flat and cumulative, is pprof's.
#[test]
fn report_agrees_with_pprof() {
    let directory = files();
    random(1).file(&directory, "random.pb.gz");
    for file in ["before.pb.gz", "after.pb.gz", "random.pb.gz"] {
        for (sample_type, field) in SAMPLE_TYPES {
            let expected = pprof(&directory, sample_type, &[file]);
            assert!(expected.len() > 5, "{expected:?}");
            assert_eq!(memtrace(&directory, of_report, field, &["report", file]), expected, "{file} {sample_type}");
        }
    }
}

/// Every difference is that of pprof's `-diff_base`.
#[test]
fn diff_agrees_with_pprof() {
    let directory = files();
    random(1).file(&directory, "random.pb.gz");
    random(2).file(&directory, "other.pb.gz");
    for (before, after) in [("before.pb.gz", "after.pb.gz"), ("random.pb.gz", "other.pb.gz")] {
        for (sample_type, field) in SAMPLE_TYPES {
            let expected = pprof(&directory, sample_type, &["-diff_base", before, after]);
            let got = memtrace(&directory, of_diff, field, &["diff", before, after]);
            assert_eq!(got, expected, "{before} {after} {sample_type}");
        }
    }
}

/// Several files add up as pprof adds them.
#[test]
fn sum_agrees_with_pprof() {
    let directory = files();
    random(1).file(&directory, "random.pb.gz");
    random(2).file(&directory, "other.pb.gz");
    for (sample_type, field) in SAMPLE_TYPES {
        let expected = pprof(&directory, sample_type, &["random.pb.gz", "other.pb.gz"]);
        let got = memtrace(&directory, of_report, field, &["report", "random.pb.gz", "other.pb.gz"]);
        assert_eq!(got, expected, "{sample_type}");
    }
}
