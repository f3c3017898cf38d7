//! A command under `memtrace run` behaves as it does without.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    binary::memtrace,
    support::{Running, program},
};

fn run(words: &[&str]) -> Command {
    let mut command = memtrace(&["run"]);
    command.args(words).stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Output {
    command.output().expect("memtrace starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// The command's exit status is memtrace's, and death by a signal gives what shells make of it. The report comes in
/// either case.
#[test]
fn exit_status_is_passed_on() {
    for (script, code) in [("exit 0", 0), ("exit 5", 5), ("kill -TERM $$", 128 + 15), ("kill -KILL $$", 128 + 9)] {
        let output = output(&mut run(&["--", "sh", "-c", script]));
        assert_eq!(output.status.code(), Some(code), "{script}");
        let first = text(&output.stderr).lines().next().unwrap_or_default();
        assert!(first.starts_with("Process ") && first.ends_with(&format!(" (has ended)  sh -c {script}")), "{first}");
    }
}

/// Standard input and output are the command's own; what memtrace has to say goes to standard error.
#[test]
fn input_and_output_pass_through() {
    let mut child = Running(
        run(&["--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("memtrace starts"),
    );
    let child: &mut Child = &mut child.0;
    child.stdin.take().expect("a pipe").write_all(b"one\n\0two").expect("cat reads");
    let mut out = Vec::new();
    std::io::Read::read_to_end(child.stdout.as_mut().expect("a pipe"), &mut out).expect("cat writes");
    assert_eq!(out, b"one\n\0two");
    assert!(child.wait().expect("it ends").success());
}

/// Signals that would end memtrace go to the command, which decides.
#[test]
fn signals_are_forwarded() {
    let program = program("signals");
    let words = ["--", program.to_str().expect("UTF-8")];
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
        let spawned = run(&words).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = Running(spawned.expect("memtrace starts"));
        let mut lines = BufReader::new(child.0.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("ready"));
        kill(Pid::from_raw(child.pid().cast_signed()), signal).expect("memtrace takes signals");
        assert_eq!(child.0.wait().expect("it ends").code(), Some(signal as i32), "{signal}");
    }
}

/// Under sudo the command runs as the user who called it, with that user's environment and none of sudo's; `--as-root`
/// leaves it root.
#[test]
fn sudo_is_undone() {
    let script = "id -u; echo $HOME; echo ${SUDO_UID-unset}";
    let run_as = |option: &[&str]| {
        let words = [option, &["--", "sh", "-c", script]].concat();
        let sudo = [("SUDO_UID", "65534"), ("SUDO_GID", "65534"), ("SUDO_USER", "nobody"), ("HOME", "/root")];
        let output = output(run(&words).envs(sudo));
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    assert_eq!(run_as(&[]), "65534\n/nonexistent\nunset\n");
    assert_eq!(run_as(&["--as-root"]), "0\n/root\n65534\n");
    let wrong = output(run(&["--", "true"]).env("SUDO_UID", "alice"));
    assert_eq!(wrong.status.code(), Some(1));
    let hint = "run the command as root with --as-root, or start memtrace in another way than through sudo";
    let expected = format!("memtrace: error: SUDO_UID is \"alice\", which is no user id\nhint: {hint}\n");
    assert_eq!(text(&wrong.stderr), expected);
}

/// With `--duration` tracing ends and the report is printed while the command goes on, and its exit status still counts.
#[test]
fn a_command_outlives_its_tracing() {
    let spawned = run(&["--duration", "200ms", "--", "sh", "-c", "read line; exit 4"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = Running(spawned.expect("memtrace starts"));
    let mut report = BufReader::new(child.0.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    assert!(report.next().is_some_and(|line| line.starts_with("Process ") && !line.contains("has ended")));
    child.0.stdin.take().expect("a pipe").write_all(b"\n").expect("sh reads");
    assert_eq!(child.0.wait().expect("it ends").code(), Some(4));
}
