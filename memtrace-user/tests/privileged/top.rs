//! All processes of the machine at once: each has its own numbers, whoever else runs, and nothing is left behind.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    binary::{Attached, Ended, eventually},
    support::{program, program_with},
    target::Target,
    traces::{await_removal, bpf_objects_of, breakpoints, entries_of_map},
};

/// The last report.
fn last(ended: &Ended) -> Value {
    assert!(ended.status.success(), "{ended:#?}");
    let line = ended.output.lines().next_back().expect("a report");
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn process(report: &Value, pid: u32) -> &Value {
    let processes = report["processes"].as_array().expect("processes");
    let found = processes.iter().find(|process| process["pid"] == pid);
    found.unwrap_or_else(|| panic!("no process {pid} in {report:#}"))
}

fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {value:#}"))
}

/// Blocks and bytes allocated at a function, and what of it lives.
fn at(process: &Value, function: &str) -> (u64, u64, u64) {
    let sites = process["sites"].as_array().expect("sites");
    let site = sites.iter().find(|site| site["function"] == function);
    let site = site.unwrap_or_else(|| panic!("nothing at {function} in {process:#}"));
    (number(site, "allocated_blocks"), number(site, "allocated_bytes"), number(site, "live_bytes"))
}

fn losses(report: &Value) -> u64 {
    report["losses"].as_object().expect("losses").values().filter_map(Value::as_u64).sum()
}

/// Processes that are selected by name have the numbers that they are known to have, one that begins later as well, beside
/// a storm of processes that are not selected, of which nothing is recorded. When memtrace has ended, nothing is left.
#[test]
fn selected_processes_have_their_own_numbers() {
    let (one, other) = (program_with("leaking", "top-one", &[]), program_with("leaking", "top-other", &[]));
    let mut storm = Target::start(program("storm"));
    let (mut first, mut second) = (Target::start(&one), Target::start(&other));
    let selected = ["--comm", "top-one", "--comm", "top-other", "--exact", "--sites", "10"];
    let memtrace = Attached::to_all(&selected);
    let objects = bpf_objects_of(memtrace.pid());
    let mut late = Target::start(&one);
    for _ in 0..3 {
        assert_eq!(first.ask("s"), "done");
    }
    assert_eq!(second.ask("r"), "done");
    assert_eq!(late.ask("s"), "done");
    assert_eq!(late.ask("r"), "done");
    eventually("the late one is named", || memtrace.output().contains(&format!("\"pid\":{}", late.pid())));
    let report = last(&memtrace.interrupt());
    storm.say("");
    assert!(storm.hear().parse::<u64>().expect("a number") > 0);
    assert_eq!(at(process(&report, first.pid()), "settings_load"), (1500, 150_000, 150_000));
    assert_eq!(at(process(&report, second.pid()), "cache_put"), (20, 10_240, 10_240));
    assert_eq!(at(process(&report, second.pid()), "scratch"), (100, 6400, 0));
    assert_eq!(at(process(&report, late.pid()), "settings_load"), (500, 50_000, 50_000));
    assert_eq!(at(process(&report, late.pid()), "scratch"), (100, 6400, 0));
    let first_numbers = process(&report, first.pid());
    assert_eq!((number(first_numbers, "live_bytes"), number(first_numbers, "peak_bytes")), (150_000, 150_000));
    assert_eq!((number(&report, "traced_processes"), losses(&report)), (3, 0), "{report:#}");
    assert_eq!(report["ended"]["processes"], 0);
    for target in [&first, &second, &late] {
        eventually("no breakpoint", || breakpoints(target.pid()) == 0);
    }
    await_removal(&objects);
    assert_eq!(first.ask("s"), "done");
}

/// Of a storm that is selected, all processes are accounted for, also more than there are slots, and each with what it has
/// allocated; what the sum of them holds is told, and their slots are used again.
#[test]
fn a_storm_is_accounted_for() {
    let storm = program_with("storm", "top-storm", &[]);
    let memtrace = Attached::to_all(&["--comm", "top-storm", "--exact"]);
    let mut storm = Target::start(&storm);
    let ended = || {
        let output = memtrace.output();
        let lines = output.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.take(1).map(|report| number(&report["ended"], "processes")).next().unwrap_or(0)
    };
    eventually("more processes than slots", || ended() > 5000);
    storm.say("");
    let children: u64 = storm.hear().parse().expect("a number");
    storm.wait();
    // The storm itself ends, too.
    eventually("all have ended", || ended() > children);
    eventually("no map holds anything of them", || entries_of_map(memtrace.pid(), "TARGETS") == 0);
    let report = last(&memtrace.interrupt());
    assert_eq!(number(&report["ended"], "processes"), children + 1);
    assert_eq!(number(&report["ended"], "allocated_bytes"), children * 120, "{report:#}");
    assert_eq!((number(&report, "traced_processes"), losses(&report)), (0, 0), "{report:#}");
}

/// A process that has its share of the shared tables has losses of its own; another has none.
#[test]
fn one_process_does_not_starve_another() {
    let program = program_with("leaking", "top-share", &[]);
    let (mut greedy, mut modest) = (Target::start(&program), Target::start(&program));
    let memtrace = Attached::to_all(&["--comm", "top-share", "--exact", "--most-blocks", "600", "--most-stacks", "1"]);
    for _ in 0..3 {
        assert_eq!(greedy.ask("s"), "done");
    }
    assert_eq!(greedy.ask("r"), "done");
    assert_eq!(modest.ask("s"), "done");
    let report = last(&memtrace.interrupt());
    let (greedy, modest) = (process(&report, greedy.pid()), process(&report, modest.pid()));
    // 600 of 1,500 blocks, and none of 120.
    assert_eq!((number(greedy, "live_blocks"), number(greedy, "refused_blocks")), (600, 1020));
    assert_eq!((number(modest, "live_blocks"), number(modest, "refused_blocks")), (500, 0));
    assert_eq!(number(&report["losses"], "share-of-blocks"), 1020);
    assert!(number(modest, "refused_stacks") == 0);
}

/// Estimates are near the truth, of each process by itself.
#[test]
fn sampled_processes_are_estimated() {
    let program = program_with("sampled", "top-sampled", &[]);
    let memtrace = Attached::to_all(&["--comm", "top-sampled", "--sample-bytes", "16KiB"]);
    for _ in 0..2 {
        assert!(Command::new(&program).status().expect("it runs").success());
    }
    eventually("both have ended", || memtrace.output().contains("\"ended\":{\"processes\":2"));
    let report = last(&memtrace.interrupt());
    let ended = &report["ended"];
    let (low, high) = (number(ended, "allocated_bytes_low"), number(ended, "allocated_bytes_high"));
    // See tests/privileged/sampling.rs.
    let truth: u64 = (2 * (32 + 48 + 64 + 16 + 32)) << 20;
    assert!(high - low < truth / 10, "{low} to {high}");
    assert!(number(ended, "allocated_bytes").abs_diff(truth) < (high - low) * 5 / 4, "{report:#}");
}

/// Whoever is killed leaves nothing, in processes that are traced and in those that are not.
#[test]
fn a_killed_top_leaves_nothing() {
    let mut storm = Target::start(program("storm"));
    let mut busy = Target::start(program("hammer"));
    let mut other = Target::start(program("on_request"));
    let memtrace = Attached::to_all(&["--comm", "hammer", "--comm", "storm"]);
    let objects = bpf_objects_of(memtrace.pid());
    assert_eq!(other.ask("b"), "done");
    assert!(breakpoints(other.pid()) >= 5, "whoever maps the file has them");
    memtrace.signal(Signal::SIGKILL);
    memtrace.end();
    for pid in [busy.pid(), other.pid()] {
        eventually("no breakpoint", || breakpoints(pid) == 0);
    }
    await_removal(&objects);
    assert_eq!((busy.ask("?"), other.ask("b")), ("done".to_owned(), "done".to_owned()));
    storm.say("");
    assert!(storm.hear().parse::<u64>().expect("a number") > 0);
}

/// A control group that is named as LXC names those of containers; removed at the end of the test.
struct Container(std::path::PathBuf);

impl Container {
    /// In whichever hierarchy this machine has; `None` where none can be written.
    fn new(name: &str) -> Option<Self> {
        let hierarchies = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/systemd"];
        let path = hierarchies.map(|root| std::path::Path::new(root).join("lxc").join(name));
        let is_hierarchy =
            |path: &&std::path::PathBuf| path.ancestors().nth(2).is_some_and(|root| root.join("cgroup.procs").exists());
        let path = path.iter().find(is_hierarchy)?;
        std::fs::create_dir_all(path).ok()?;
        Some(Self(path.clone()))
    }

    fn take_in(&self, pid: u32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).expect("a process can be moved");
    }

    /// Back to the root of the hierarchy.
    fn let_go(&self, pid: u32) {
        let root = self.0.ancestors().nth(2).expect("a hierarchy");
        std::fs::write(root.join("cgroup.procs"), pid.to_string()).expect("a process can be moved");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The parent may belong to others.
        eventually("the group is empty", || std::fs::remove_dir(&self.0).is_ok());
        let _others = self.0.parent().map(std::fs::remove_dir);
    }
}

/// A process that leaves the container is traced no more; when it comes back, it is, from nothing.
#[test]
fn who_comes_back_is_traced_again() {
    let name = format!("memtrace-back-{}", std::process::id());
    let Some(group) = Container::new(&name) else {
        eprintln!("skipped: no control group can be made here");
        return;
    };
    let mut target = Target::start(program("leaking"));
    group.take_in(target.pid());
    let memtrace = Attached::to_all(&["--container", &name, "--exact"]);
    assert_eq!(target.ask("s"), "done");
    let traced = || {
        let output = memtrace.output();
        let report = output.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        report.map(|report| number(&report, "traced_processes"))
    };
    group.let_go(target.pid());
    eventually("it is traced no more", || traced() == Some(0));
    assert_eq!(target.ask("r"), "done");
    group.take_in(target.pid());
    eventually("it is traced again", || traced() == Some(1));
    for _ in 0..2 {
        assert_eq!(target.ask("s"), "done");
    }
    let report = last(&memtrace.interrupt());
    let again = process(&report, target.pid());
    assert_eq!(at(again, "settings_load"), (1000, 100_000, 100_000));
    assert_eq!((number(again, "live_bytes"), number(again, "allocated_blocks")), (100_000, 1000), "{report:#}");
    assert_eq!(number(&report["ended"], "allocated_bytes"), 50_000, "{report:#}");
    assert_eq!((number(&report["ended"], "processes"), losses(&report)), (1, 0), "{report:#}");
}

/// Of a container, the processes that run in it and those that execute a program in it later are traced; others are not.
#[test]
fn a_container_is_selected_by_its_group() {
    let name = format!("memtrace-{}", std::process::id());
    let Some(group) = Container::new(&name) else {
        eprintln!("skipped: no control group can be made here");
        return;
    };
    let program = program("leaking");
    let mut inside = Target::start(&program);
    group.take_in(inside.pid());
    let mut shell = Target::start_shell(Command::new("sh").arg("-c").arg("read line; exec \"$0\"").arg(&program));
    group.take_in(shell.pid());
    let memtrace = Attached::to_all(&["--container", &name[..name.len() - 1], "--exact"]);
    let mut outside = Target::start(&program);
    assert_eq!(shell.ask("go"), "ready");
    for target in [&mut inside, &mut shell, &mut outside] {
        assert_eq!(target.ask("s"), "done");
    }
    // Who a process is gets known a moment after it has begun.
    let is_known = |report: &Value, pid: u32| {
        let processes = report["processes"].as_array().expect("processes");
        let found = processes.iter().find(|process| process["pid"] == pid);
        found.is_some_and(|process| process["container"] == *name && number(process, "allocated_blocks") >= 500)
    };
    eventually("both are known", || {
        let output = memtrace.output();
        let whole = output.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        whole.is_some_and(|report| is_known(&report, inside.pid()) && is_known(&report, shell.pid()))
    });
    let report = last(&memtrace.interrupt());
    for target in [&inside, &shell] {
        assert_eq!(at(process(&report, target.pid()), "settings_load").0, 500);
        assert_eq!(process(&report, target.pid())["container"], *name);
    }
    assert!(!report["processes"].as_array().expect("processes").iter().any(|process| process["pid"] == outside.pid()));
    assert_eq!(losses(&report), 0, "{report:#}");
}
