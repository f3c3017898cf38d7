//! Tests of mapping events, with a command that is gone at once.

use std::{fs, path::Path, process::Command, time::Duration};

use tokio::{
    io::{Interest, unix::AsyncFd},
    time::timeout,
};

use super::*;
use crate::process::{AddressSpace, CommandSpec, PreparedChild, RunAs, SignalState};

/// The kernel's lists of CPUs have ranges and single numbers.
#[test]
fn cpu_lists_are_read() {
    assert_eq!(parse_cpu_list("0"), Some(vec![0]));
    assert_eq!(parse_cpu_list("0-2,5,8-9"), Some(vec![0, 1, 2, 5, 8, 9]));
    assert_eq!(parse_cpu_list(""), None);
}

const LIBRARY: &str = "void *where_am_i(void) { return __builtin_return_address(0); }
void *inside(void) { return &&here; here: return 0; }";
const PROGRAM: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
    void *library = dlopen(argv[1], RTLD_NOW);
    void *(*inside)(void) = dlsym(library, "inside");
    printf("%p %p %p\n", (void *)main, (void *)((char *)inside + 1), (void *)((char *)printf + 1));
    fflush(stdout);
    _exit(0);
}"#;

fn compile(directory: &Path, name: &str, source: &str, options: &[&str]) -> std::path::PathBuf {
    let (input, output) = (directory.join(format!("{name}.c")), directory.join(name));
    fs::write(&input, source).unwrap();
    let status = Command::new("cc").arg("-o").arg(&output).arg(&input).args(options).status().unwrap();
    assert!(status.success());
    output
}

/// A command that loads a library and exits at once is fully located after it is gone and its files are deleted.
#[test]
fn short_command_is_located_after_its_exit() {
    let directory = tempfile::tempdir().unwrap();
    let library = compile(directory.path(), "plugin.so", LIBRARY, &["-shared", "-fPIC", "-O1"]);
    let program = compile(directory.path(), "program", PROGRAM, &["-ldl"]);
    let output = directory.path().join("output");
    let script = format!("exec {} {} > {}", program.display(), library.display(), output.display());
    let spec = CommandSpec {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        run_as: None,
        signals: SignalState::default(),
    };
    let prepared = PreparedChild::start(&spec).unwrap();
    let pid = prepared.pid();
    let mut events = match MappingEvents::open(pid) {
        Ok(events) => events,
        Err(error) => return eprintln!("skipped: {error}; {}", error.hint()),
    };
    let mut space = AddressSpace::of_pid(pid).unwrap();
    let mut child = prepared.release().unwrap();
    assert!(child.wait().unwrap().success());
    let arrived = events.drain();
    assert_eq!(events.take_lost(), 0);
    // The shell's own exec and the program's after it.
    assert_eq!(arrived.iter().filter(|event| **event == MappingEvent::Exec { pid }).count(), 2);
    assert!(arrived.contains(&MappingEvent::Exit { pid, tid: pid }));
    for event in &arrived {
        space.apply(event);
    }
    let printed = fs::read_to_string(&output).unwrap();
    let found: Vec<_> = printed
        .split_whitespace()
        .map(|address| u64::from_str_radix(address.trim_start_matches("0x"), 16).unwrap())
        .map(|address| space.locate(address + 1).unwrap_or_else(|| panic!("{address:x} in {arrived:#?}")))
        .map(|location| (space.modules().path(location.module).to_string(), space.file(location.module).is_some()))
        .collect();
    assert_eq!(found[0], (program.display().to_string(), true));
    assert_eq!(found[1], (library.display().to_string(), true));
    assert!(found[2].0.contains("libc") && found[2].1, "{found:?}");
}

/// A command that runs as another user than memtrace is watched beyond its exec, and a reader waiting in tokio is
/// woken.
#[test]
fn command_of_another_user_is_watched() {
    let Ok(Some(user)) = nix::unistd::User::from_name("games") else { return eprintln!("skipped: no user to run as") };
    if !nix::unistd::getuid().is_root() {
        return eprintln!("skipped: only root can run a command as another user");
    }
    let run_as = RunAs::of_uid(user.uid.as_raw()).ok();
    let (arguments, signals) = (Vec::new(), SignalState::default());
    let prepared = PreparedChild::start(&CommandSpec { program: "true".into(), arguments, run_as, signals }).unwrap();
    let pid = prepared.pid();
    let events = match MappingEvents::open(pid) {
        Ok(events) => events,
        Err(error) => return eprintln!("skipped: {error}; {}", error.hint()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut child = prepared.release().unwrap();
    let arrived = runtime.block_on(async {
        // SAFETY: the descriptor lives as long as the events, which the AsyncFd owns.
        let mut events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }.unwrap();
        let mut arrived = Vec::new();
        while !arrived.contains(&MappingEvent::Exit { pid, tid: pid }) {
            let mut guard = timeout(Duration::from_secs(30), events.readable_mut()).await.expect("an event").unwrap();
            guard.clear_ready();
            arrived.extend(guard.get_inner_mut().drain());
        }
        arrived
    });
    assert!(child.wait().unwrap().success());
    let mapped = |file: &str| {
        arrived.iter().any(|event| matches!(event, MappingEvent::Map(map) if map.name.to_string_lossy().contains(file)))
    };
    assert!(mapped("libc") && mapped("/true"), "{arrived:#?}");
}
