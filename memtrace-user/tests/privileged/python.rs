//! Lines of Python, compared with what tracemalloc counts in the same program.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use memtrace::{
    process::elf::ElfFile,
    profile::{AllocStats, Domain, PYTHON_MODULE, Profile, SymbolTable, Unfollowed},
    session::{self, Update},
    tracer::{Follow, Recorded, TracerOptions},
};

use crate::{
    support::{Outcome, options, run_traced, runtime},
    target::Target,
};

/// Debian's interpreter. (Others are tried by hand: see docs/python.md.)
const PYTHON: &str = "/usr/bin/python3";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

fn run(name: &str, options: &TracerOptions) -> Outcome {
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
fn lines(outcome: &Outcome) -> HashMap<(String, u32), AllocStats> {
    let mut lines: HashMap<_, AllocStats> = HashMap::new();
    for sample in &outcome.profile.samples {
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
    let expected = by_tracemalloc("objects.py");
    let outcome = run("objects.py", &options());
    let lines = lines(&outcome);
    let file = script("objects.py").display().to_string();
    let large: Vec<_> = expected.iter().filter(|(line, (bytes, _))| **line != 0 && *bytes > 1 << 20).collect();
    assert_eq!(large.len(), 2, "{expected:?}");
    for (line, (bytes, blocks)) in large {
        let found = lines.get(&(file.clone(), *line)).unwrap_or_else(|| panic!("no line {line}"));
        let of_line = format!("line {line}: {found:?}, tracemalloc {bytes} in {blocks}");
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
fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).expect("less than 4 TiB")) / 1024.0
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
    let outcome = run("many_stacks.py", &options());
    let lines = lines(&outcome);
    for line in 2..602 {
        let found = lines[&("<allocating>".to_owned(), line)];
        // Of each object, its head and end, and a part of the list that keeps them.
        let objects = 400 * u64::from(33 + line);
        assert!(found.live_blocks().abs_diff(400) <= 1, "line {line}: {found:?}");
        assert!(found.live_blocks() == 401 || found.live_bytes() == objects, "line {line}: {found:?}, {objects}");
    }
    let cut = outcome.profile.unfollowed.ranked().iter().any(|(reason, _)| *reason == Unfollowed::NotKept);
    assert!(cut, "{:?}", outcome.profile.unfollowed);
}

/// With Python's own allocator left alone, small objects are not seen, and that is said.
#[test]
fn kept_allocator_is_told() {
    let outcome = run("objects.py", &TracerOptions { keep_pymalloc: true, ..options() });
    assert!(outcome.profile.totals.stats.allocated_blocks < 100_000);
    let notes = &outcome.profile.process.notes;
    assert!(notes.iter().any(|note| note.contains("pymalloc")), "{notes:?}");
}

/// Code objects that get the addresses of others which have died are not taken for these.
#[test]
fn code_at_an_address_used_again_has_its_own_lines() {
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

/// Each process that a Python program starts has lines of its own, to the byte: forked ones from their first block on, also by
/// code that they have made since, and such as execute an interpreter.
#[test]
fn processes_that_python_starts_have_their_own_lines() {
    let outcome = run("forks.py", &TracerOptions { follow: Follow::Children, ..options() });
    let file = script("forks.py").display().to_string();
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

/// Attached to a server that runs already, with Python's own allocator, and keeps a large object of each request: its line is
/// the one that holds most by far, as soon as there has been a reading.
#[test]
fn line_that_leaks_in_a_running_server_is_found() {
    let mut server = Target::start_command(Command::new(PYTHON).arg(script("leaking_server.py")));
    let port: u16 = server.hear().parse().expect("a port");
    let request = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it takes requests");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.ends_with("ok\n"), "{answer}");
    };
    let start = Instant::now();
    let (outcome, took) = runtime().block_on(async {
        let mut session = session::attach(server.pid(), &options()).expect("it is traced");
        for _ in 0..20 {
            request();
        }
        let (profile, symbols) = session.read_now().await;
        (Outcome { profile, symbols, status: ExitStatus::default() }, start.elapsed())
    });
    let mut lines: Vec<_> = lines(&outcome).into_iter().collect();
    lines.sort_by_key(|(_, stats)| std::cmp::Reverse(stats.live_bytes()));
    let ((file, line), first) = &lines[0];
    assert_eq!((file.as_str(), *line), (script("leaking_server.py").to_str().expect("UTF-8"), 9), "{lines:?}");
    // The list may have grown, too.
    let rest = first.live_bytes() - 20 * (65536 + 33);
    assert!((20..=21).contains(&first.live_blocks()) && rest < 1024, "{first:?}");
    assert!(lines[1..].iter().map(|(_, stats)| stats.live_bytes()).sum::<u64>() < first.live_bytes() / 4, "{lines:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// A number out of what `sys._debugmallocstats` says, as `# bytes in allocated blocks        =            9,132,048`.
fn counted(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    let digits: String = line.rsplit('=').next().unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// What lies in the pools of Python's own allocator, where objects are not seen one by one, is told, and is what the
/// interpreter itself counts.
#[test]
fn what_python_pools_hold_is_told() {
    let mut target = Target::start_command(Command::new(PYTHON).arg(script("small_objects.py")));
    let mut text = String::new();
    while !text.ends_with("done") {
        text += "\n";
        text += &target.hear();
    }
    let expected = counted(&text, "bytes in allocated blocks");
    let note = runtime().block_on(async {
        let mut session = session::attach(target.pid(), &options()).expect("it is traced");
        loop {
            let (profile, _) = session.read_now().await;
            let note = profile.process.notes.iter().find(|note| note.contains("of them hold")).cloned();
            match note {
                Some(note) => break note,
                // The look goes on beside.
                None => tokio::task::yield_now().await,
            }
        }
    });
    let words: Vec<&str> = note.split(' ').collect();
    let held: f64 =
        words.windows(2).find(|pair| pair[0] == "hold").and_then(|pair| pair[1].parse().ok()).expect("a number");
    // What `_debugmallocstats` itself has allocated is there no more.
    assert!((held - mebibytes(expected)).abs() * 200.0 <= held, "{note}; {text}");
}

/// The arenas that Python maps for its own allocator count as an allocator's, and are as many as it says itself.
#[test]
fn arenas_of_python_are_an_allocators() {
    let directory = tempfile::tempdir().expect("a directory");
    let words = directory.path().join("words");
    let command = format!("exec {PYTHON} {} </dev/null >{}", script("small_objects.py").display(), words.display());
    let options = TracerOptions { keep_pymalloc: true, recorded: Recorded::Both, ..options() };
    let outcome = run_traced(&["/bin/sh", "-c", &command], &options);
    assert!(outcome.status.success());
    let arenas = counted(&std::fs::read_to_string(words).expect("text"), "arenas allocated total");
    let of = |domain: Domain| {
        let samples = outcome.profile.samples.iter().filter(|sample| sample.domain == domain);
        let stats = samples.map(|sample| sample.stats);
        let is_arena = |stats: &AllocStats| stats.allocated_bytes == stats.allocated_blocks << 20;
        stats.filter(is_arena).map(|stats| stats.allocated_blocks).sum::<u64>()
    };
    assert!(arenas > 10);
    assert_eq!((of(Domain::Allocator), of(Domain::Mmap)), (arenas, 0));
}

/// A copy of the interpreter that says that it is another version.
fn interpreter_that_lies(directory: &Path, version: u8) -> PathBuf {
    let copy = directory.join("python3.11");
    std::fs::copy(PYTHON, &copy).expect("it can be copied");
    let elf = ElfFile::open(&copy).expect("an ELF file");
    let [Some(address)] = elf.data_addresses(["Py_Version"]).expect("symbols") else { panic!("no Py_Version") };
    let segment =
        elf.segments().find(|segment| (segment.address..segment.address + segment.file_size).contains(&address));
    let segment = segment.expect("it is in the file");
    let file = std::fs::File::options().write(true).open(&copy).expect("it can be written");
    // PY_VERSION_HEX, of which the third byte is the minor version.
    file.write_all_at(&[version], segment.offset + (address - segment.address) + 2).expect("written");
    copy
}

/// Of an interpreter that is not what it seems, or that nobody knows, no frame is shown, and the reason is said: when it is run,
/// and when it is found running. What it allocates counts under native code.
#[test]
fn python_that_is_not_understood_has_no_frames() {
    let directory = tempfile::tempdir().expect("a directory");
    for (version, reason) in [(12, "does not keep its threads as CPython 3.12 does"), (15, "CPython 3.15 of this kind")]
    {
        let python = interpreter_that_lies(directory.path(), version);
        let is_said = |profile: &Profile| {
            let is_it = |note: &String| note.starts_with("Python frames are not seen") && note.contains(reason);
            profile.process.notes.iter().any(is_it)
        };
        let check = |outcome: &Outcome| {
            assert!(is_said(&outcome.profile), "{version}: {:?}", outcome.profile.process.notes);
            let lines = lines(outcome);
            assert!(lines.is_empty(), "{version}: {lines:?}");
        };
        let words = [python.to_str().expect("UTF-8"), script("objects.py").to_str().expect("UTF-8")].map(str::to_owned);
        let outcome = run_traced(&words.each_ref().map(String::as_str), &options());
        assert!(outcome.status.success() && outcome.profile.totals.stats.allocated_blocks > 1000);
        check(&outcome);
        let mut target = Target::start_command(Command::new(&python).arg(script("small_objects.py")));
        while target.hear() != "done" {}
        check(&runtime().block_on(async {
            let mut session = session::attach(target.pid(), &options()).expect("it is traced");
            session.set_interval(Duration::from_millis(100));
            loop {
                // It is looked at again while it may be just beginning.
                if let Update::Reading { profile, symbols } = session.next(&BTreeSet::new()).await.expect("events")
                    && is_said(&profile)
                {
                    break Outcome { profile, symbols, status: ExitStatus::default() };
                }
            }
        }));
    }
}

/// The functions that are on a stack, whatever way Python has been called, are those that the program has called.
#[test]
fn calls_of_every_kind_are_followed() {
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
