//! `memtrace report` and `memtrace diff` over files, as a user runs them. Needs no root.

mod made;
mod pprof;
mod text;

use std::{
    path::Path,
    process::{Command, Output},
};

use tempfile::TempDir;

/// Runs memtrace where the files are, so that outputs do not name the directory; exit status, output, errors.
fn memtrace(directory: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memtrace"));
    command.current_dir(directory).args(arguments);
    let Output { status, stdout, stderr } = command.output().expect("memtrace starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

/// What memtrace writes when it succeeds.
fn output(directory: &TempDir, arguments: &[&str]) -> String {
    let (code, output, errors) = memtrace(directory, arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{arguments:?}");
    output
}

fn json(directory: &TempDir, arguments: &[&str]) -> serde_json::Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    serde_json::from_str(&output(directory, &arguments)).expect("JSON")
}

/// A directory with the files that most tests read.
fn files() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    made::server("/srv/bin/rowsd", 0).file(&directory, "before.pb.gz");
    let mut after = made::server("/opt/rowsd-2/bin/rowsd", 1);
    after.snapshot.processes[0].info.pid = 5_000;
    after.file(&directory, "after.pb.gz");
    made::worker().file(&directory, "worker.pb.gz");
    made::hostile().file(&directory, "hostile.pb.gz");
    made::empty().file(&directory, "empty.pb.gz");
    assert!(Path::exists(&directory.path().join("empty.pb.gz")));
    directory
}
