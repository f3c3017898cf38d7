//! Python that runs already or has its own allocator, and Python that is not what it seems.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use memtrace::{
    process::elf::ElfFile,
    profile::{AllocStats, Domain, Profile},
    session::{self, Update},
    tracer::{Accelerator, Recorded, TracerOptions},
};

use crate::{
    python::{PYTHON, lines, mebibytes, run, script},
    support::{Outcome, is_without, options, run_traced, runtime},
    target::Target,
};

/// With Python's own allocator left alone, small objects are not seen, and that is said.
#[test]
fn kept_allocator_is_told() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let outcome = run("objects.py", &TracerOptions { keep_pymalloc: true, ..options() });
    assert!(outcome.profile.totals.stats.allocated_blocks < 100_000);
    let notes = &outcome.profile.process.notes;
    assert!(notes.iter().any(|note| note.contains("pymalloc")), "{notes:?}");
}

/// Attached to a server that runs already, with Python's own allocator, and keeps a large object of each request: its line is
/// the one that holds most by far, as soon as there has been a reading.
#[test]
fn line_that_leaks_in_a_running_server_is_found() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
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

/// A line is known at the end of long code that is gone before anybody looks at it.
#[test]
fn lines_of_long_code_are_known() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let mut target = Target::start_command(Command::new(PYTHON).arg(script("long_module.py")));
    let outcome = runtime().block_on(async {
        let mut session = session::attach(target.pid(), &options()).expect("it is traced");
        assert_eq!(target.ask("go"), "done");
        let (profile, symbols) = session.read_now().await;
        Outcome { profile, symbols, status: ExitStatus::default() }
    });
    let found = lines(&outcome).get(&("long".to_owned(), 5001)).map(|stats| stats.live_bytes() / 1_000_000);
    assert_eq!(found, Some(7));
}

/// Where more functions run than copies of code find room until somebody looks, each has its line, and all of its blocks.
#[test]
fn code_that_finds_no_room_is_known() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let mut target = Target::start_command(Command::new(PYTHON).arg(script("many_codes.py")));
    let outcome = runtime().block_on(async {
        let mut session = session::attach(target.pid(), &options()).expect("it is traced");
        assert_eq!(target.ask("go"), "done");
        let (profile, symbols) = session.read_now().await;
        Outcome { profile, symbols, status: ExitStatus::default() }
    });
    let lines = lines(&outcome);
    let blocks = |number| lines.get(&(format!("f{number}.py"), 3)).map_or(0, AllocStats::live_blocks);
    // The list grows a few times, too, in a function's line.
    let wrong: Vec<_> =
        (0..9000).map(|number| (number, blocks(number))).filter(|(_, blocks)| !(5..=6).contains(blocks)).collect();
    assert_eq!(wrong, []);
    assert_eq!(outcome.profile.losses.total(), 0, "{:?}", outcome.profile.losses);
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
    if is_without(Accelerator::BpfLoop) {
        return;
    }
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
    if is_without(Accelerator::BpfLoop) {
        return;
    }
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
    if is_without(Accelerator::BpfLoop) {
        return;
    }
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
