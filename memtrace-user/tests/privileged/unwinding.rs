//! Stacks of real programs that lack frame pointers, against libgcc's unwinder in the same process: a preloaded library
//! records `backtrace()` after every malloc. Each stack must be the same frame for frame, with the same count and bytes.

use std::{collections::HashMap, fs, path::Path};

use memtrace::{
    profile::{Modules, Profile, StackEnd, SymbolTable},
    tracer::UnwindMode,
};

use crate::support::{options, program_with, run_traced};

/// A stack from the caller of malloc outwards: file and offset of each return address.
type Stack = Vec<(String, u64)>;

/// Calls and bytes of each stack.
type Stacks = HashMap<Stack, (u64, u64)>;

/// One line a program: a name, and how it is run. All come from Debian's packages, built without frame pointers.
const PROGRAMS: &[(&str, &[&str])] = &[
    (
        "python3",
        &["/usr/bin/python3", "-c", "import json, re; print(len(json.dumps([{'a': str(i)} for i in range(3000)])))"],
    ),
    ("perl", &["perl", "-e", "my %h; $h{$_} = [1..5] for 1..3000; print scalar(keys %h), qq(\\n)"]),
    (
        "sqlite3",
        &[
            "sqlite3",
            ":memory:",
            "create table t(a); insert into t select value from generate_series(1,3000); select count(*) from t",
        ],
    ),
    ("git", &["git", "--no-pager", "log", "--stat", "-n", "3"]),
    ("jq", &["jq", "-n", "[range(3000)|tostring]|length"]),
    ("xz", &["xz", "--list", "--verbose", "/dev/null"]),
    ("sort", &["sort", "/usr/include/stdlib.h"]),
    ("gcc", &["gcc", "-E", "-include", "stdio.h", "/dev/null", "-o", "/dev/null"]),
    ("gdb", &["gdb", "--batch", "-ex", "print 1"]),
    ("bash", &["bash", "-c", "declare -A a; for i in {1..500}; do a[$i]=x$i; done; echo ${#a[@]}"]),
];

/// Frames of the preloaded library before the caller: the recording function and its malloc.
const OWN_FRAMES: usize = 2;

/// Every recorded stack of ten real programs is libgcc's, frame for frame, with the same calls and bytes.
#[test]
fn stacks_of_real_programs_are_those_of_libgcc() {
    let library =
        program_with("backtrace_oracle", "backtrace_oracle.so", &["-shared", "-fPIC", "-fomit-frame-pointer"]);
    let mut total = (0, 0);
    for (name, words) in PROGRAMS {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oracle-{name}"));
        let preload = format!("LD_PRELOAD={}", library.display());
        let file = format!("ORACLE_OUT={}", out.display());
        let mut command = vec!["env", &preload, &file];
        command.extend(*words);
        let outcome = run_traced(&command, &options());
        assert_eq!(options().unwind, UnwindMode::Auto);
        let seen = recorded(&outcome.profile, &outcome.symbols);
        let expected = oracle(&out);
        let calls: u64 = expected.values().map(|(calls, _)| calls).sum();
        let same: u64 =
            expected.iter().filter(|(stack, sums)| seen.get(*stack) == Some(sums)).map(|(_, (calls, _))| calls).sum();
        println!(
            "{name}: {} stacks, {calls} calls, {same} the same; losses {}",
            expected.len(),
            outcome.profile.losses.total()
        );
        for (stack, sums) in expected.iter().filter(|(stack, sums)| seen.get(*stack) != Some(sums)).take(2) {
            println!("  libgcc {sums:?} {stack:x?}\n  memtrace {:?}", seen.get(stack));
        }
        total = (total.0 + calls, total.1 + same);
        let _ = fs::remove_file(&out);
    }
    println!("{} of {} calls have the same stack", total.1, total.0);
    assert!(total.0 > 10_000, "only {} calls", total.0);
    assert!(total.1 * 1000 >= total.0 * 995, "{} of {} calls have the same stack", total.1, total.0);
}

/// The stacks that memtrace has of the calls that the library recorded.
fn recorded(profile: &Profile, symbols: &SymbolTable) -> Stacks {
    let mut stacks = Stacks::new();
    for sample in &profile.samples {
        let inner = sample.stack.first().and_then(|location| symbols.frames(*location).last());
        if inner.and_then(|frame| frame.function.as_deref()) != Some("oracle_recorded") {
            continue;
        }
        if sample.end == StackEnd::Incomplete {
            println!("  incomplete: {} calls", sample.stats.allocated_blocks);
        }
        let place = |location: &memtrace::profile::Location| (path(&profile.modules, location), location.offset);
        let stack: Stack = sample.stack.iter().skip(OWN_FRAMES).map(place).collect();
        let sums = stacks.entry(stack).or_default();
        *sums = (sums.0 + sample.stats.allocated_blocks, sums.1 + sample.stats.allocated_bytes);
    }
    stacks
}

fn path(modules: &Modules, location: &memtrace::profile::Location) -> String {
    modules.path(location.module).to_string()
}

/// The library's table.
fn oracle(file: &Path) -> Stacks {
    const FRAMES: usize = 126;
    let maps = fs::read_to_string(file.with_extension("maps")).expect("the library wrote its mappings");
    let maps: Vec<(u64, u64, u64, String)> = maps.lines().filter_map(mapping).collect();
    let place = |address: u64| {
        let map = maps.iter().find(|(start, end, ..)| (*start..*end).contains(&(address - 1)));
        map.map_or(("[unknown]".to_owned(), address), |(start, _, offset, path)| {
            (path.clone(), address - start + offset)
        })
    };
    let bytes = fs::read(file).expect("the library wrote its table");
    let mut stacks = Stacks::new();
    for entry in bytes.chunks_exact((4 + FRAMES) * 8) {
        let word = |index: usize| u64::from_ne_bytes(entry[index * 8..index * 8 + 8].try_into().expect("eight bytes"));
        if word(0) != 0 {
            let frames = usize::try_from(word(3)).expect("a number of frames");
            stacks.insert((4..4 + frames).map(|index| place(word(index))).collect(), (word(1), word(2)));
        }
    }
    stacks
}

fn mapping(line: &str) -> Option<(u64, u64, u64, String)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let permissions = fields.next()?;
    let offset = hex(fields.next()?)?;
    let path = fields.nth(2)?;
    permissions.contains('x').then(|| Some((hex(start)?, hex(end)?, offset, path.to_owned())))?
}
