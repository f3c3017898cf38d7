//! `memtrace export` as it is run: where it writes, what it leaves behind, what it says when it cannot. Needs no root.

#[path = "browser/scene.rs"]
#[allow(dead_code, reason = "what the browser tests need besides")]
mod scene;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use memtrace::snapshot;
use scene::Scene;
use tempfile::TempDir;

/// A directory with two snapshots, `old.pb.gz` and `new.pb.gz`.
fn snapshots() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in [("old.pb.gz", 10), ("new.pb.gz", 30)] {
        let mut scene = Scene::new("/bin/app");
        scene.add(&["main", "parse"], 2, bytes);
        snapshot::write_file(&directory.path().join(name), &scene.snapshot).expect("it can be written");
    }
    directory
}

fn export(directory: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memtrace"));
    command.current_dir(directory).arg("export").args(arguments).output().expect("memtrace starts")
}

/// Standard output of an export that does well.
fn printed(directory: &TempDir, arguments: &[&str]) -> String {
    let output = export(directory, arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Exit status and standard error of one that does not.
fn failed(directory: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let output = export(directory, arguments);
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

/// A file is read, the value chosen, and the format printed; with a base, the difference.
#[test]
fn snapshot_is_exported_to_standard_output() {
    let directory = snapshots();
    assert_eq!(printed(&directory, &["new.pb.gz", "--format", "folded"]), "main;parse 60\n");
    assert_eq!(printed(&directory, &["new.pb.gz", "-f", "folded", "--value", "live-blocks"]), "main;parse 2\n");
    assert_eq!(printed(&directory, &["new.pb.gz", "-f", "folded", "-o", "-"]), "main;parse 60\n");
    assert_eq!(printed(&directory, &["new.pb.gz", "-f", "folded", "--lines"]), "main (app.c:7);parse (app.c:7) 60\n");
    assert_eq!(printed(&directory, &["new.pb.gz", "-f", "folded", "--base", "old.pb.gz"]), "main;parse 20 60\n");
}

/// A file appears whole under its name, and nothing else does.
#[test]
fn output_file_is_written_whole() {
    let directory = snapshots();
    assert_eq!(printed(&directory, &["new.pb.gz", "-f", "html", "-o", "page.html"]), "");
    assert!(fs::read_to_string(directory.path().join("page.html")).unwrap().ends_with("</html>\n"));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 3);
}

/// What cannot be done is said with its object and a remedy.
#[test]
fn failures_name_their_remedy() {
    let directory = snapshots();
    let cases: [(&[&str], i32, &str); 5] = [
        (&["none.pb.gz", "-f", "csv"], 1, "memtrace: error: none.pb.gz: cannot be read: No such file or directory"),
        (
            &["new.pb.gz", "-f", "csv", "-o", "no/x.csv"],
            1,
            "error: no/x.csv: cannot be written: there is no such directory",
        ),
        (
            &["new.pb.gz", "-f", "csv", "--base", "old.pb.gz"],
            2,
            "error: csv shows one snapshot, not the difference of two\nhint: leave out --base, or use one of: folded, svg",
        ),
        (&["new.pb.gz", "-f", "pdf"], 2, "[possible values: folded, svg, html, speedscope, firefox, json, csv]"),
        (&["new.pb.gz"], 2, "--format <FORMAT>"),
    ];
    for (arguments, code, text) in cases {
        let (status, errors) = failed(&directory, arguments);
        assert!(status == Some(code) && errors.contains(text), "{arguments:?}: {status:?} {errors}");
    }
}

/// A full disk is an error that names the file; a reader that has seen enough is none.
#[test]
fn full_disk_fails_and_closed_pipe_does_not() {
    let directory = snapshots();
    let (status, errors) = failed(&directory, &["new.pb.gz", "-f", "html", "-o", "/dev/full"]);
    assert!(status == Some(1) && errors.contains("/dev/full") && errors.contains("No space left"), "{errors}");
    assert!(!Path::new("/dev/full").is_file());
    let mut command = Command::new(env!("CARGO_BIN_EXE_memtrace"));
    command.current_dir(&directory).args(["export", "new.pb.gz", "-f", "html"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("memtrace starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("memtrace ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
