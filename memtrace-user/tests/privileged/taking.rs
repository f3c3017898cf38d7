//! Snapshot files, written by the real binary.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
};

use memtrace::{profile::Snapshot, snapshot::read_file};
use nix::sys::signal::Signal;

use crate::{
    binary::{Attached, eventually, memtrace},
    support::program,
    target::Target,
};

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// Names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let list = fs::read_dir(directory).expect("a directory");
    let name = |name: OsString| name.into_string().expect("UTF-8");
    let mut names: Vec<String> = list.map(|entry| name(entry.expect("an entry").file_name())).collect();
    names.sort();
    names
}

fn read(path: &Path) -> Snapshot {
    read_file(path).unwrap_or_else(|error| panic!("{error}"))
}

fn blocks(snapshot: &Snapshot) -> (u64, u64) {
    (snapshot.total().allocated_blocks, snapshot.total().freed_blocks)
}

/// The file has exactly what the program has done, the same numbers as the last report, and a line for each function of
/// the program.
#[test]
fn files_are_exact() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("end.pb.gz");
    let mut target = Target::start(program("on_request"));
    let attached = Attached::with(target.pid(), &["-o", text(&file)]);
    target.ask("a");
    target.ask("b");
    let ended = attached.interrupt();
    assert!(ended.status.success(), "{ended:#?}");
    let snapshot = read(&file);
    assert_eq!(blocks(&snapshot), (2000, 1000));
    assert_eq!((ended.allocated_blocks(), ended.freed_blocks()), (2000, 1000));
    assert_eq!(snapshot.total().live_bytes(), 100_000);
    let totals = snapshot.processes[0].totals.expect("totals");
    assert_eq!((totals.current_bytes, totals.peak_bytes), (100_000, 100_100));
    assert_eq!(snapshot.processes[0].info.pid, target.pid());
    let frames = |name: &str| {
        let all = snapshot.symbols.iter().flat_map(|(_, frames)| frames.iter());
        all.filter(|frame| frame.function.as_deref() == Some(name)).count()
    };
    assert!(frames("keep") > 0 && frames("make_and_free") > 0 && frames("main") > 0);
    assert_eq!(names(directory.path()), ["end.pb.gz"]);
}

/// The last snapshot comes however tracing ends: by time, by the end of the process, and under `run`.
#[test]
fn every_end_leaves_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name);
    let mut target = Target::start(program("on_request"));
    let deadline = Attached::with(target.pid(), &["-o", text(&file("time.pb.gz")), "--duration", "300ms"]);
    assert!(deadline.end().status.success());
    read(&file("time.pb.gz"));
    let exit = Attached::with(target.pid(), &["-o", text(&file("exit.pb.gz"))]);
    target.ask("a");
    target.say("q");
    target.wait();
    assert!(exit.end().status.success());
    let snapshot = read(&file("exit.pb.gz"));
    assert_eq!(blocks(&snapshot), (1000, 0));
    assert!(snapshot.processes[0].info.exited);
    let accounting = program("accounting");
    let run = file("run.pb.gz");
    let words = ["run", "-o", text(&run), "--", text(&accounting), "plain"];
    let status = memtrace(&words).output().expect("memtrace runs").status;
    assert!(status.success());
    assert_eq!((blocks(&read(&run)), read(&run).total().live_bytes()), ((2, 1), 1000));
}

/// Who calls memtrace through sudo owns what it writes into a directory of theirs.
#[test]
fn files_belong_to_who_calls_sudo() {
    const CALLER: (u32, u32) = (4321, 1234);
    let directory = tempfile::tempdir().expect("a directory");
    chown(directory.path(), Some(CALLER.0), None).expect("root may");
    let file = directory.path().join("run.pb.gz");
    let simple = program("simple");
    let output = memtrace(&["run", "--as-root", "-o", text(&file), "--", text(&simple)])
        .env("SUDO_UID", CALLER.0.to_string())
        .env("SUDO_GID", CALLER.1.to_string())
        .output()
        .expect("memtrace runs");
    assert!(output.status.success(), "{output:#?}");
    let owner = fs::metadata(&file).map(|metadata| (metadata.uid(), metadata.gid())).expect("a snapshot");
    assert_eq!(owner, CALLER);
}

/// With --every, numbered files come while tracing goes on; the newest are kept, and files of another run are left alone.
#[test]
fn numbered_files_come_and_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("heap.pb.gz");
    let foreign = directory.path().join("heap-000003.pb.gz");
    fs::write(&foreign, "another run's").expect("a file");
    let mut target = Target::start(program("on_request"));
    let words = ["-o", text(&file), "--every", "100ms", "--keep", "2"];
    let attached = Attached::with(target.pid(), &words);
    target.ask("a");
    let numbered = |number: u32| directory.path().join(format!("heap-{number:06}.pb.gz"));
    eventually("the first two are removed", || numbered(7).exists() && !numbered(4).exists() && !numbered(5).exists());
    let ended = attached.interrupt();
    assert!(ended.status.success(), "{ended:#?}");
    let left = names(directory.path());
    assert_eq!(left.len(), 4, "{left:?}");
    assert_eq!(fs::read(&foreign).expect("it is there"), b"another run's");
    for name in left.iter().filter(|name| **name != "heap-000003.pb.gz") {
        assert_eq!(blocks(&read(&directory.path().join(name))), (1000, 0), "{name}");
    }
}

/// A memtrace that is killed while it writes leaves no half file under a snapshot's name.
#[test]
fn killed_writers_leave_whole_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("heap.pb.gz");
    let mut target = Target::start(program("on_request"));
    let attached = Attached::with(target.pid(), &["-o", text(&file), "--every", "1ms"]);
    target.ask("a");
    let is_whole_name = |name: &String| name.starts_with("heap-") && name.ends_with(".pb.gz");
    eventually("files", || names(directory.path()).iter().filter(|name| is_whole_name(name)).count() > 20);
    attached.signal(Signal::SIGKILL);
    attached.end();
    let files: Vec<PathBuf> = names(directory.path())
        .iter()
        .filter(|name| is_whole_name(name))
        .map(|name| directory.path().join(name))
        .collect();
    assert!(files.len() > 20);
    for file in files {
        read(&file);
    }
}

/// SIGUSR1 writes a numbered file at once and tracing goes on; without -o, `run` passes it on to the command.
#[test]
fn sigusr1_takes_one_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("heap.pb.gz");
    let mut target = Target::start(program("on_request"));
    let attached = Attached::with(target.pid(), &["-o", text(&file)]);
    target.ask("a");
    attached.signal(Signal::SIGUSR1);
    let first = directory.path().join("heap-000001.pb.gz");
    eventually("the file", || first.exists());
    assert_eq!(blocks(&read(&first)), (1000, 0));
    target.ask("b");
    assert!(attached.interrupt().status.success());
    assert_eq!(blocks(&read(&file)), (2000, 1000));
}

/// Under `run`, SIGUSR1 is memtrace's own when -o was given, and the command's when not.
#[test]
fn sigusr1_under_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("heap.pb.gz");
    // A signal just before the shell reads would wait until something is read: so it reads for a while only.
    let script = "trap 'echo got it' USR1; echo $PPID; until read -t 0.2 line; do :; done; exit 3";
    for output in [Some(&file), None] {
        let mut command = memtrace(&["run"]);
        command.args(output.iter().flat_map(|file| ["-o", text(file)]));
        command.args(["--", "/bin/bash", "-c", script]);
        let mut run = Target::start_shell(&mut command);
        let memtrace: i32 = run.hear().parse().expect("a process id");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(memtrace), Signal::SIGUSR1).expect("it takes signals");
        let first = directory.path().join("heap-000001.pb.gz");
        match output {
            Some(_) => eventually("the file", || first.exists()),
            None => assert_eq!(run.hear(), "got it"),
        }
        run.say("end");
        assert_eq!(run.wait().code(), Some(3));
    }
    assert_eq!(names(directory.path()), ["heap-000001.pb.gz", "heap.pb.gz"]);
}

/// `memtrace snapshot` traces for a while and writes one file; with --no-symbols it has addresses and build ids alone.
#[test]
fn snapshot_without_a_terminal() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut target = Target::start(program("on_request"));
    let pid = target.pid().to_string();
    for (name, more) in [("named.pb.gz", None), ("bare.pb.gz", Some("--no-symbols"))] {
        let file = directory.path().join(name);
        let words = ["snapshot", "--pid", &pid, "--duration", "60s", "-o", text(&file)];
        let mut command = memtrace(&words);
        command.args(more).stderr(std::process::Stdio::null());
        let mut child = crate::support::Running(command.spawn().expect("memtrace starts"));
        let tracer = child.pid().to_string();
        let ctl = |word: &str| memtrace(&["ctl", "--pid", &pid, "--tracer", &tracer, word]).output().expect("it runs");
        eventually("memtrace traces", || ctl("status").status.success());
        target.ask("a");
        assert!(ctl("stop").status.success());
        assert!(child.0.wait().expect("it ends").success());
        let snapshot = read(&file);
        assert_eq!(blocks(&snapshot), (1000, 0));
        let named = snapshot.symbols.iter().any(|(_, frames)| frames.iter().any(|frame| frame.function.is_some()));
        assert_eq!(named, more.is_none());
        let own = snapshot.modules.iter().find(|(_, module)| module.path.ends_with("/on_request"));
        assert!(own.is_some_and(|(_, module)| module.build_id.is_some()));
    }
}

/// What cannot be written is said before tracing begins.
#[test]
fn impossible_files_are_refused_at_once() {
    let target = Target::start(program("on_request"));
    let pid = target.pid().to_string();
    for (file, reason) in
        [("/no/such/place/x.pb.gz", "no snapshot can be in /no/such/place"), ("/tmp", "is a directory")]
    {
        let output = memtrace(&["attach", "--pid", &pid, "-o", file]).output().expect("memtrace runs");
        assert_eq!(output.status.code(), Some(1));
        let errors = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(errors.contains(reason), "{errors}");
    }
}
