//! What `memtrace doctor` says to root.

use std::{fs, os::unix::process::CommandExt as _, process::Command};

use serde_json::Value;

use crate::{binary::memtrace, support::program, target::Target};

fn diagnosis(command: &mut Command) -> (Option<i32>, Vec<Value>) {
    let output = command.output().expect("memtrace starts");
    let diagnosis: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    (output.status.code(), diagnosis["sections"].as_array().expect("sections").clone())
}

fn doctor(pid: u32) -> Command {
    memtrace(&["doctor", "--format", "json", "--pid", &pid.to_string()])
}

fn section<'a>(sections: &'a [Value], title: &str) -> &'a [Value] {
    let section = sections.iter().find(|section| section["title"].as_str().is_some_and(|name| name.starts_with(title)));
    section.and_then(|section| section["findings"].as_array()).unwrap_or_else(|| panic!("no {title} in {sections:#?}"))
}

fn finding<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check} in {findings:#?}"))
}

/// Where tracing works, nothing fails: the programs load, and the process has an allocator whose functions each have a
/// probe point with an instruction and a price.
#[test]
fn all_is_well_where_tracing_works() {
    let target = Target::start(program("on_request"));
    let (code, sections) = diagnosis(&mut doctor(target.pid()));
    assert_eq!(code, Some(0), "{sections:#?}");
    assert_eq!(finding(section(&sections, "Kernel"), "memtrace's BPF programs")["level"], "ok");
    let mapped = finding(section(&sections, "Kernel"), "mapped memory (--domain mmap)");
    assert!(mapped["found"].as_str().is_some_and(|found| found.contains("by ")), "{mapped}");
    let hit = finding(section(&sections, "Kernel"), "cost of a probe hit")["found"].as_str().expect("text");
    assert!(hit == "not measured" || hit.contains(" ns at an entry, "), "{hit}");
    let process = section(&sections, &format!("Process {}", target.pid()));
    assert!(finding(process, "allocators")["found"].as_str().is_some_and(|found| found.starts_with("glibc (")));
    let points = section(&sections, "Probe points in ");
    for function in ["malloc", "calloc", "realloc", "free"] {
        let found = finding(points, function)["found"].as_str().expect("text");
        assert!(
            found.starts_with('+') && (found.ends_with("emulated") || found.ends_with("single-stepped")),
            "{found}"
        );
    }
    let own = program("on_request");
    let file = finding(section(&sections, "Mapped files"), own.to_str().expect("UTF-8"));
    let found = file["found"].as_str().expect("text");
    assert!(found.contains("all symbols; debug information; ") && found.contains("unwind row"), "{found}");
}

/// Without root, what could not be seen is said to be unseen, and what is missing is named.
#[test]
fn what_cannot_be_seen_is_said() {
    let target = Target::start(program("on_request"));
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("permissions");
    let binary = directory.path().join("memtrace");
    fs::copy(env!("CARGO_BIN_EXE_memtrace"), &binary).expect("a copy");
    let mut command = Command::new(binary);
    command.args(["doctor", "--format", "json", "--pid", &target.pid().to_string()]).uid(65534).gid(65534);
    let (code, sections) = diagnosis(&mut command);
    assert_eq!(code, Some(1));
    assert_eq!(finding(section(&sections, "Kernel"), "memtrace's BPF programs")["level"], "unseen");
    assert_eq!(finding(section(&sections, "Permissions"), "CAP_BPF")["level"], "failed");
    assert_eq!(finding(section(&sections, "Process "), "access")["level"], "failed");
}
