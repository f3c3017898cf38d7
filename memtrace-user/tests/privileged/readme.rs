//! The README's commands, by the letter.

use std::{fs, path::Path, process::Command};

use crate::{
    binary::{Attached, memtrace},
    support::program,
    target::Target,
};

/// The lines of README.md's shell blocks that call memtrace, without comments.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("the README");
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split('#').next().unwrap_or_default().trim());
    let words = lines.map(|line| line.strip_prefix("sudo ").unwrap_or(line));
    words.filter(|line| line.starts_with("memtrace ")).map(str::to_owned).collect()
}

/// A command with something for each word that stands for something.
fn filled_in(command: &str, pid: u32) -> String {
    let words = command.split(' ').map(|word| match word {
        "PID" => pid.to_string(),
        "CMD" => "true".to_owned(),
        "FILE.pb.gz" | "BEFORE.pb.gz" => "before.pb.gz".to_owned(),
        "AFTER.pb.gz" => "after.pb.gz".to_owned(),
        // Of alternatives, the first.
        word if word.contains('|') => word.split('|').next().unwrap_or_default().to_owned(),
        "ARG..." => String::new(),
        "30s" => "500ms".to_owned(),
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Each command of the README does what it says: it succeeds, as it stands there but for the process, the files and the
/// time. (One that goes on until it is stopped is stopped; an address that holds no block is not found.)
#[test]
fn commands_of_the_readme_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut target = Target::start(program("on_request"));
    let pid = target.pid();
    for name in ["before.pb.gz", "after.pb.gz"] {
        let made = memtrace(&["snapshot", "--pid", &pid.to_string(), "--duration", "300ms", "-o", name])
            .current_dir(directory.path())
            .status();
        assert!(made.expect("memtrace runs").success());
    }
    // For `ctl` and `where`.
    let attached = Attached::with(pid, &["-o", directory.path().join("asked.pb.gz").to_str().expect("UTF-8")]);
    assert_eq!(target.ask("a"), "done");
    let commands = commands();
    assert!(commands.len() >= 10, "{commands:?}");
    let binary = Path::new(env!("CARGO_BIN_EXE_memtrace"));
    let path = std::env::join_paths(
        [binary.parent().expect("a directory").to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let path = path.expect("a PATH");
    for command in commands {
        let line = filled_in(&command, pid);
        let goes_on = (line.contains(" attach ") || line.ends_with(" top")) && !line.contains("--duration");
        let line = if goes_on { line.replacen("memtrace", "timeout -s INT 2 memtrace", 1) } else { line };
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &line]).env("PATH", &path).current_dir(directory.path());
        let output = shell.output().expect("a shell runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let as_expected = match output.status.code() {
            Some(0) => true,
            // What timeout(1) returns.
            Some(124) => goes_on,
            Some(1) => line.contains(" where ") && said.contains("no live block"),
            _ => false,
        };
        assert!(as_expected, "{line}: {}\n{said}", output.status);
    }
    drop(attached);
    target.say("quit");
}
