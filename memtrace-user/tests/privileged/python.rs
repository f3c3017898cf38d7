//! Lines of Python, compared with what tracemalloc counts in the same program.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use memtrace::{
    process::{CommandSpec, SignalState},
    profile::{AllocStats, Domain, PYTHON_MODULE, Profile, SymbolTable, Unfollowed, sum_of_domain},
    session::{self, Update},
    tracer::{Accelerator, Follow, TracerOptions},
};

use crate::support::{Outcome, is_without, options, run_traced, runtime};

/// Debian's interpreter. (Others are tried by hand: see docs/python.md.)
pub const PYTHON: &str = "/usr/bin/python3";

pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

pub fn run(name: &str, options: &TracerOptions) -> Outcome {
    let outcome = run_traced(&[PYTHON, script(name).to_str().expect("a UTF-8 path")], options);
    assert!(outcome.status.success());
    assert_eq!(outcome.profile.losses.total(), 0, "{:?}", outcome.profile.losses);
    outcome
}

/// A frame as `function:line`, of Python alone.
type Line = (String, String, u32);

/// The Python frames of a stack, innermost first: file, function and line.
fn python_frames(stack: &[memtrace::profile::Location], profile: &Profile, symbols: &SymbolTable) -> Vec<Line> {
    let is_python = |location: &&memtrace::profile::Location| &**profile.modules.path(location.module) == PYTHON_MODULE;
    let line = |location: &memtrace::profile::Location| {
        let frame = symbols.frames(*location).last().expect("a Python frame has a name");
        let source = frame.source.as_ref().unwrap_or_else(|| panic!("no line: {frame:?}"));
        (source.file.to_string(), frame.function.as_deref().unwrap_or_default().to_owned(), source.line)
    };
    stack.iter().filter(is_python).map(line).collect()
}

/// What lines hold, by file and number.
pub fn lines(outcome: &Outcome) -> HashMap<(String, u32), AllocStats> {
    lines_among(outcome, |_| true)
}

/// The same of the samples of some domains.
fn lines_among(outcome: &Outcome, wanted: impl Fn(Domain) -> bool) -> HashMap<(String, u32), AllocStats> {
    let mut lines: HashMap<_, AllocStats> = HashMap::new();
    for sample in outcome.profile.samples.iter().filter(|sample| wanted(sample.domain)) {
        if let Some((file, _, line)) =
            python_frames(&sample.stack, &outcome.profile, &outcome.symbols).into_iter().next()
        {
            let sum = lines.entry((file, line)).or_default();
            *sum = [*sum, sample.stats].into_iter().sum();
        }
    }
    lines
}

/// Lines of the program by tracemalloc: number, bytes and blocks; under 0 the current and the highest sum.
fn by_tracemalloc(name: &str) -> HashMap<u32, (u64, u64)> {
    let mut command = Command::new(PYTHON);
    command.args(["-X", "tracemalloc"]).arg(script(name)).env("PYTHONMALLOC", "malloc");
    let output = command.output().expect("Python runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| {
        let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
        (u32::try_from(numbers[0]).expect("a line"), (numbers[1], numbers[2]))
    };
    text.lines().map(line).collect()
}

/// Whether two numbers differ by no more than one in so many.
fn agree(one: u64, other: u64, part: u64) -> bool {
    one.abs_diff(other) * part <= one.max(other)
}

/// Bytes and blocks of the lines of a program are those that tracemalloc counts, and the peak is, too.
#[test]
fn lines_hold_what_tracemalloc_says() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let expected = by_tracemalloc("objects.py");
    let outcome = run("objects.py", &options());
    let lines = lines(&outcome);
    let file = script("objects.py").display().to_string();
    let large: Vec<_> = expected.iter().filter(|(line, (bytes, _))| **line != 0 && *bytes > 1 << 20).collect();
    assert_eq!(large.len(), 2, "{expected:?}");
    for (line, (bytes, blocks)) in large {
        let found = lines
            .get(&(file.clone(), *line))
            .unwrap_or_else(|| panic!("no line {line}: {:?}, {lines:?}", outcome.profile.process.notes));
        let notes = &outcome.profile.process.notes;
        let of_line = format!("line {line}: {found:?}, tracemalloc {bytes} in {blocks}, {notes:?}");
        assert!(agree(found.live_bytes(), *bytes, 1000) && agree(found.live_blocks(), *blocks, 1000), "{of_line}");
    }
    let (current, peak) = expected[&0];
    let totals = outcome.profile.totals;
    // What the interpreter holds from before tracemalloc begins, and what no Python object is.
    let unseen = totals.current_bytes - current;
    assert!(unseen < 2 << 20, "{totals:?}, tracemalloc {current}");
    assert!(agree(totals.peak_bytes - unseen, peak, 50), "{totals:?}, tracemalloc {current}, peak {peak}");
    assert!(outcome.profile.process.notes.iter().any(|note| note.contains("PYTHONMALLOC=malloc")));
}

/// Current and highest sum of a program with large objects are those of tracemalloc, to a hundredth, without what the
/// interpreter holds from before its program begins: that is told.
#[test]
fn sums_are_those_of_tracemalloc() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let (current, peak) = by_tracemalloc("large_objects.py")[&0];
    let profile = run("large_objects.py", &options()).profile;
    let note = profile.process.notes.iter().find(|note| note.contains("before it began with the program"));
    let note = note.unwrap_or_else(|| panic!("{:?}", profile.process.notes));
    let numbers: Vec<f64> = note.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [before, live, highest] = numbers[..] else { panic!("{note}") };
    let is_near = |one: f64, other: u64, part: f64| (one - mebibytes(other)).abs() * part <= one;
    assert!(is_near(live, current, 100.0) && is_near(highest, peak, 100.0), "{note}, tracemalloc {current}, {peak}");
    assert!(is_near(before + highest, profile.totals.peak_bytes, 1000.0), "{note}, {:?}", profile.totals);
}

/// To a KiB.
pub fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).expect("less than 4 TiB")) / 1024.0
}

/// What the interpreter allocates is told from what libraries in C do: both are blocks, each in a domain of its own.
#[test]
fn blocks_of_libraries_are_told_from_python_s() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let outcome = run("domains.py", &options());
    let file = script("domains.py").display().to_string();
    let held = |line: u32, domain: Domain| {
        let lines = lines_among(&outcome, |known| known == domain);
        let stats = lines.get(&(file.clone(), line)).copied().unwrap_or_default();
        (stats.live_blocks(), stats.live_bytes())
    };
    assert_eq!(held(7, Domain::Malloc), (50, 50_000));
    assert_eq!(held(8, Domain::Malloc), (0, 0));
    let (blocks, bytes) = held(8, Domain::Python);
    // Of each object its head and end as well; the list and what it holds.
    assert!((70..=72).contains(&blocks) && (70 * 2033..70 * 2033 + 2000).contains(&bytes), "{blocks}, {bytes}");
    let sum = sum_of_domain(&outcome.profile.samples, Domain::Malloc);
    assert_eq!(outcome.profile.totals.current_bytes, sum.live_bytes(), "both are of one layer");
}

/// Where the kernel cannot walk its frames, that is said, and all blocks are seen.
#[test]
fn python_without_bpf_loop_has_no_frames() {
    let mut options = options();
    options.without.push(Accelerator::BpfLoop);
    let profile = run("objects.py", &options).profile;
    assert!(profile.totals.stats.allocated_blocks > 200_000, "{:?}", profile.totals);
    let notes = &profile.process.notes;
    assert!(notes.iter().any(|note| note.contains("bpf_loop")), "{notes:?}");
}

/// When asked, recording goes on to the end: then all that lines of the program have held is given back.
#[test]
fn end_of_the_interpreter_can_be_seen() {
    let outcome = run("objects.py", &TracerOptions { through_exit: true, ..options() });
    assert!(outcome.profile.totals.current_bytes < 1 << 20, "{:?}", outcome.profile.totals);
    let notes = &outcome.profile.process.notes;
    assert!(!notes.iter().any(|note| note.contains("through-exit")), "{notes:?}");
}

/// With more different call stacks than there is room for, lines still hold what they have allocated, to the byte.
#[test]
fn lines_are_exact_when_stacks_find_no_room() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let outcome = run("many_stacks.py", &options());
    let lines = lines(&outcome);
    for line in 2..602 {
        let found = lines[&("<allocating>".to_owned(), line)];
        // Of each object, its head and end, and a part of the list that keeps them.
        let objects = 400 * u64::from(33 + line);
        assert!(found.live_blocks().abs_diff(400) <= 1, "line {line}: {found:?}");
        assert!(found.live_blocks() == 401 || found.live_bytes() == objects, "line {line}: {found:?}, {objects}");
    }
    // A cell for each call; more than one on the line where the list grows.
    for line in 2..52 {
        let found = lines[&("<closing>".to_owned(), line)];
        assert!(found.live_blocks().abs_diff(10) <= 1, "line {line}: {found:?}");
        assert!(found.live_blocks() == 11 || found.live_bytes() == 400, "line {line}: {found:?}");
    }
    let cut = outcome.profile.unfollowed.ranked().iter().any(|(reason, _)| *reason == Unfollowed::NotKept);
    assert!(cut, "{:?}", outcome.profile.unfollowed);
}

/// Code objects that get the addresses of others which have died are not taken for these.
#[test]
fn code_at_an_address_used_again_has_its_own_lines() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let outcome = run("codes.py", &options());
    let mut found = 0;
    for sample in &outcome.profile.samples {
        for (file, function, line) in
            python_frames(&sample.stack, &outcome.profile, &outcome.symbols).into_iter().take(1)
        {
            let Some(number) = file.strip_prefix("<made ").filter(|_| function == "f") else { continue };
            let stats = &sample.stats;
            if stats.live_bytes() < 100_000 * stats.live_blocks() || stats.live_blocks() == 0 {
                continue;
            }
            // The header of a `bytes` object, and its end.
            let size = stats.live_bytes() / stats.live_blocks() - 33;
            let rest = (size - 100_000) % 40;
            assert_eq!(u64::from(line), rest + 2, "a block of {size} bytes at {file}:{line}");
            assert!(number.starts_with(&((size - 100_000) % 7).to_string()) || stats.live_blocks() > 1);
            found += stats.live_blocks();
        }
    }
    assert_eq!(found, 700);
}

/// What lines hold that `wanted` names, by process and line.
fn lines_by_process(outcome: &Outcome, wanted: impl Fn(&Line) -> bool) -> BTreeMap<(u32, Line), AllocStats> {
    let mut lines: BTreeMap<_, AllocStats> = BTreeMap::new();
    for sample in &outcome.profile.samples {
        let line = python_frames(&sample.stack, &outcome.profile, &outcome.symbols).into_iter().next();
        if let Some(line) = line.filter(&wanted) {
            *lines.entry((sample.process.0, line)).or_default() += sample.stats;
        }
    }
    lines
}

/// Runs a command under tracing to its end, and shows each reading.
fn run_watched(words: &[&OsStr], options: &TracerOptions, mut watch: impl FnMut(&Outcome)) -> Outcome {
    let mut words = words.iter().map(OsString::from);
    let program = words.next().expect("a command");
    let command = CommandSpec { program, arguments: words.collect(), run_as: None, signals: SignalState::default() };
    runtime().block_on(async {
        let mut launched = session::launch(&command, options).expect("the command is traced");
        launched.session.set_interval(Duration::from_millis(200));
        let mut last = None;
        loop {
            match launched.session.next(&BTreeSet::new()).await.expect("events arrive") {
                Update::Reading { profile, symbols } => {
                    let reading = Outcome { profile, symbols, status: ExitStatus::default() };
                    watch(&reading);
                    last = Some(reading);
                }
                Update::Ended => break,
                _ => {}
            }
        }
        let status = launched.status.await.expect("the command is waited for").expect("the command has a status");
        Outcome { status, ..last.expect("a last reading") }
    })
}

/// Each process that a Python program starts has lines of its own, to the byte: forked ones from their first block on, also by
/// code that they have made since, and such as execute an interpreter.
#[test]
fn processes_that_python_starts_have_their_own_lines() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let go = directory.path().join("go");
    let program = script("forks.py");
    let words = [PYTHON.as_ref(), program.as_os_str(), go.as_os_str()];
    // An interpreter that is executed may run before it is found; what it keeps, it allocates afterwards.
    let outcome = run_watched(&words, &TracerOptions { follow: Follow::Children, ..options() }, |outcome| {
        if !lines_by_process(outcome, |(_, function, _)| function == "wait").is_empty() {
            std::fs::write(&go, "").expect("it can be written");
        }
    });
    assert!(outcome.status.success());
    assert_eq!(outcome.profile.losses.total(), 0, "{:?}", outcome.profile.losses);
    let file = program.display().to_string();
    let kept = lines_by_process(&outcome, |(of, function, line)| *of == file && function == "keep" && *line == 15);
    let mut held: Vec<_> = kept.values().map(|stats| (stats.live_blocks(), stats.live_bytes())).collect();
    held.sort_unstable();
    // The header of a `bytes` object, and its end.
    assert_eq!(held, [500, 1000, 2000, 3000, 4000].map(|blocks| (blocks, blocks * 1033)));
    let made = lines_by_process(&outcome, |(of, function, _)| of.starts_with('<') && function == "f");
    assert_eq!(made.len(), 4 * 60);
    for ((process, (file, _, line)), stats) in &made {
        let (who, number) = file.trim_matches(['<', '>']).split_once(' ').expect("two words");
        let number: u64 = number.parse().expect("a number");
        assert_eq!((stats.live_blocks(), stats.live_bytes()), (1, 20033 + number), "{file}:{line}");
        assert_eq!(u64::from(*line), number % 7 + 2, "{file}");
        assert_eq!(*process == 0, who == "parent", "{file}");
    }
}

/// The functions that are on a stack, whatever way Python has been called, are those that the program has called.
#[test]
fn calls_of_every_kind_are_followed() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let outcome = run("calls.py", &options());
    let deep = |depth: usize| ["take"].into_iter().chain(std::iter::repeat_n("deep", depth));
    for (size, expected) in [
        (1_000_002, deep(6).chain(["<module>"]).collect::<Vec<_>>()),
        (1_000_003, deep(3).chain(["called_back.<locals>.<lambda>", "called_back", "<module>"]).collect()),
        (1_000_004, deep(2).chain(["steps", "<module>"]).collect()),
        (1_000_005, deep(2).chain(["inner", "outer", "<module>"]).collect()),
        (1_000_006, deep(2).chain(["Made.__init__", "<module>"]).collect()),
        (1_000_007, deep(1).chain(["<module>", "<module>"]).collect()),
        (1_000_008, deep(3).chain(["called_back.<locals>.<lambda>", "called_back", "<module>"]).collect()),
        (1_000_009, vec!["take", "Thread.run", "Thread._bootstrap_inner", "Thread._bootstrap"]),
        (1_000_010, vec![]),
    ] {
        let of_size = |stats: &AllocStats| stats.live_blocks() == 1 && stats.live_bytes() == size;
        let sample = outcome.profile.samples.iter().find(|sample| of_size(&sample.stats));
        let sample = sample.unwrap_or_else(|| panic!("no block of {size} bytes"));
        let frames = python_frames(&sample.stack, &outcome.profile, &outcome.symbols);
        let functions: Vec<&str> = frames.iter().map(|(_, function, _)| function.as_str()).collect();
        assert_eq!(functions, expected, "{size}");
    }
}
