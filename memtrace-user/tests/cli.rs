//! The command line itself: help, version, and what is refused before anything is done. Needs no root.

use std::fs::File;
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;

/// Runs memtrace and returns its exit status, standard output and standard error.
fn memtrace(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_memtrace"));
    let Output { status, stdout, stderr } = command.args(arguments).output().expect("memtrace starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn help(arguments: &[&str]) -> String {
    let (code, output, errors) = memtrace(arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    output
}

/// What is refused goes to standard error with exit status 2.
fn refusal(arguments: &[&str]) -> String {
    let (code, output, errors) = memtrace(arguments);
    assert_eq!((code, output.as_str()), (Some(2), ""), "{arguments:?}");
    errors
}

/// The whole help of memtrace and of each command is as committed.
#[test]
fn help_is_as_committed() {
    assert_snapshot!("help", help(&["--help"]));
    assert_snapshot!("help_attach", help(&["attach", "--help"]));
    assert_snapshot!("help_export", help(&["export", "--help"]));
    assert_snapshot!("help_run", help(&["run", "--help"]));
    assert_snapshot!("help_top", help(&["top", "--help"]));
    assert_snapshot!("help_snapshot", help(&["snapshot", "--help"]));
    assert_snapshot!("help_ctl", help(&["ctl", "--help"]));
    assert_snapshot!("help_where", help(&["where", "--help"]));
    assert_snapshot!("help_symbolize", help(&["symbolize", "--help"]));
    assert_snapshot!("help_report", help(&["report", "--help"]));
    assert_snapshot!("help_diff", help(&["diff", "--help"]));
    assert_snapshot!("help_doctor", help(&["doctor", "--help"]));
}

/// Where nobody can hear what it says, memtrace does what it does otherwise.
#[test]
fn a_full_disk_behind_standard_error_changes_nothing() {
    let full = || File::options().write(true).open("/dev/full").expect("a device");
    let run = |errors: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_memtrace"));
        command.args(["report", "/dev/null/none"]).stderr(errors).status().expect("memtrace starts").code()
    };
    assert_eq!(run(full().into()), run(Stdio::null()));
}

/// Without a word, memtrace says what it can do, and fails.
#[test]
fn nothing_asked_shows_the_help() {
    assert_eq!(refusal(&[]), help(&["-h"]));
}

/// The version is that of the package.
#[test]
fn version() {
    assert_eq!(help(&["--version"]), format!("memtrace {}\n", env!("CARGO_PKG_VERSION")));
}

/// Times and sizes that make no sense are refused with a word on how to write them.
#[test]
fn bad_values_are_explained() {
    let time = |text: &str| format!("`{text}` is no time: write it as 500ms, 30s, 5m or 1h");
    let size = |text: &str| format!("`{text}` is no size: write it as 4096, 4KiB or 1MiB");
    let cases = [
        (["--interval", "soon"], time("soon")),
        (["--duration", "1d"], time("1d")),
        (["--duration", "1e3"], time("1e3")),
        (["--interval", "0"], "the time must be greater than zero".to_owned()),
        (["--min-size", "3x"], size("3x")),
        (["--min-size", "99999999999G"], size("99999999999G")),
        (["--max-frames", "0"], "0 is not in 1..=127".to_owned()),
        (["--max-frames", "128"], "128 is not in 1..=127".to_owned()),
        (["--top", "few"], "invalid digit found in string".to_owned()),
        (["--pid", "0"], "0 is not in 1..=4294967295".to_owned()),
        (["--pid", "init"], "invalid digit found in string".to_owned()),
    ];
    for ([option, value], reason) in cases {
        let text = refusal(&["attach", option, value]);
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with(&format!("error: invalid value '{value}' for '{option}")), "{text}");
        assert!(first.ends_with(&format!(": {reason}")), "{text}");
    }
}

/// What is missing or unknown is named.
#[test]
fn usage_errors_name_their_cause() {
    let cases: [(&[&str], &str); 5] = [
        (&["attach"], "--pid <PID>"),
        (&["run"], "<CMD>..."),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["attach", "--pid", "1", "--frob"], "unexpected argument '--frob' found"),
        (&["attach", "--pid", "1", "--sort", "age"], "[possible values: live-bytes, live-blocks, alloc-bytes, "),
    ];
    for (arguments, cause) in cases {
        let text = refusal(arguments);
        assert!(text.starts_with("error: ") && text.contains(cause), "{text}");
    }
}

/// The doctor's words for programs are JSON with a level for each check, whatever the permissions, and its exit status is
/// 1 exactly if one has failed.
#[test]
fn doctor_speaks_json() {
    let (code, output, errors) = memtrace(&["doctor", "--format", "json"]);
    assert_eq!(errors, "");
    let diagnosis: serde_json::Value = serde_json::from_str(&output).expect("JSON");
    let sections = diagnosis["sections"].as_array().expect("sections");
    assert_eq!(sections.iter().map(|section| &section["title"]).collect::<Vec<_>>(), ["Kernel", "Permissions"]);
    let findings = || sections.iter().flat_map(|section| section["findings"].as_array().expect("findings"));
    let level = |name: &str| findings().find(|finding| finding["check"] == name).map(|finding| &finding["level"]);
    assert_eq!(level("release"), Some(&"ok".into()));
    assert!(level("CAP_BPF").is_some());
    let failed = findings().any(|finding| finding["level"] == "failed");
    assert_eq!(code, Some(i32::from(failed)));
    for finding in findings().filter(|finding| finding["level"] != "ok") {
        assert!(finding["advice"].is_string(), "{finding}");
    }
}

/// Of a process that is not there, the doctor says so, and fails.
#[test]
fn doctor_names_a_missing_process() {
    let (code, output, _) = memtrace(&["doctor", "--pid", "4194305"]);
    assert_eq!(code, Some(1));
    assert!(output.contains("Process 4194305\n  failed    access  "), "{output}");
}

/// Each command that the help shows has a manual page, and every shell completes it.
#[test]
fn manual_and_completions_know_every_command() {
    let directory = tempfile::tempdir().expect("a directory");
    let (code, _, errors) = memtrace(&["manual", directory.path().to_str().expect("UTF-8")]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    let page = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("a page");
    let overview = help(&["-h"]);
    let commands = overview.split_once("Commands:").expect("a list").1.split("\n\n").next().expect("its lines");
    // Descriptions go on in lines that are further in.
    let lines = commands.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let commands: Vec<_> = lines.filter_map(|line| line.split(' ').next()).collect();
    assert!(commands.contains(&"attach") && !commands.contains(&"floor"), "{commands:?}");
    let shells = ["bash", "fish", "zsh"].map(|shell| help(&["completions", shell]));
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(page("memtrace.1").contains(&format!("memtrace\\-{command}(1)")), "{command}");
        assert!(page(&format!("memtrace-{command}.1")).contains("SYNOPSIS"), "{command}");
        assert!(shells.iter().all(|script| script.contains(command)), "{command}");
    }
    assert!(!directory.path().join("memtrace-floor.1").exists());
}

/// Where the pages cannot be written, the directory is named.
#[test]
fn manual_without_a_directory() {
    let (code, _, errors) = memtrace(&["manual", "/no/such"]);
    assert_eq!(code, Some(1));
    assert!(errors.starts_with("memtrace: error: cannot write manual pages to /no/such: No such file"), "{errors}");
}
