//! Whatever a process does while it is traced, and however memtrace ends, the process goes on as if it were alone.

use std::os::unix::process::ExitStatusExt as _;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    binary::{Attached, eventually},
    support::program,
    target::Target,
    traces::{await_removal, bpf_objects_of, breakpoints},
};

/// However memtrace is ended, its probes and BPF objects go with it, and the process works on. An orderly end prints a
/// last report.
#[test]
fn every_end_of_memtrace_leaves_nothing_behind() {
    let mut target = Target::start(program("on_request"));
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGKILL] {
        let memtrace = Attached::to(target.pid());
        let objects = bpf_objects_of(memtrace.pid());
        assert_eq!(target.ask("b"), "done");
        memtrace.signal(signal);
        let ended = memtrace.end();
        if signal == Signal::SIGKILL {
            assert_eq!(ended.status.signal(), Some(libc::SIGKILL));
        } else {
            assert!(ended.status.success(), "{signal}: {ended:#?}");
            assert_eq!(ended.allocated_blocks(), 1000, "{signal}");
        }
        eventually("no breakpoint", || breakpoints(target.pid()) == 0);
        await_removal(&objects);
        assert_eq!(target.ask("b"), "done", "{signal}");
    }
}

/// The same in the midst of allocations by four threads, which then end in an orderly way.
#[test]
fn busy_threads_survive_the_end_of_memtrace() {
    let mut target = Target::start(program("hammer"));
    for signal in [Signal::SIGINT, Signal::SIGKILL, Signal::SIGINT, Signal::SIGKILL] {
        let memtrace = Attached::to(target.pid());
        memtrace.signal(signal);
        memtrace.end();
        assert_eq!(target.ask("?"), "done");
    }
    eventually("no breakpoint", || breakpoints(target.pid()) == 0);
    target.say("e");
    assert_eq!(target.wait().code(), Some(7));
}

/// A process may exit, be killed or crash while threads are in the middle of malloc: it ends as it would, and memtrace
/// prints the last numbers and succeeds.
#[test]
fn a_process_may_end_in_the_middle_of_malloc() {
    let program = program("hammer");
    for (word, expected) in [("e", Ok(7)), ("k", Err(libc::SIGKILL)), ("s", Err(libc::SIGSEGV))] {
        let mut target = Target::start(&program);
        let memtrace = Attached::to(target.pid());
        target.say(word);
        let status = target.wait();
        assert_eq!(status.code().ok_or(status.signal().unwrap_or(0)), expected);
        let ended = memtrace.end();
        assert!(ended.status.success(), "{ended:#?}");
        assert!(ended.last_report().contains("(has ended)"), "{}", ended.output);
        assert_eq!(ended.errors, "");
        assert!(ended.allocated_blocks() > 0);
    }
}

/// A process with many threads runs another program: that one is traced from its start.
#[test]
fn an_exec_in_the_middle_of_malloc_is_followed() {
    let mut target = Target::start_with(program("hammer"), program("on_request"));
    let memtrace = Attached::to(target.pid());
    target.say("x");
    assert_eq!(target.hear(), "ready");
    assert_eq!(target.ask("b"), "done");
    target.say("q");
    assert!(target.wait().success());
    let ended = memtrace.end();
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!((ended.allocated_blocks(), ended.freed_blocks()), (1000, 1000), "{}", ended.last_report());
}

/// Children that allocate, and free what they inherited, do not disturb their parent or its numbers.
#[test]
fn fork_storms_are_survived() {
    let mut target = Target::start(program("fork_storm"));
    let memtrace = Attached::to(target.pid());
    assert_eq!(target.ask("go"), "done");
    let ended = memtrace.interrupt();
    assert_eq!((ended.allocated_blocks(), ended.freed_blocks()), (200, 200), "{}", ended.last_report());
    target.say("end");
    assert!(target.wait().success());
}

/// Jumps out of signal handlers leave calls of malloc that never return; those after them are recorded as ever.
#[test]
fn jumps_out_of_malloc_are_survived() {
    let mut target = Target::start(program("jumps"));
    let memtrace = Attached::to(target.pid());
    assert_eq!(target.ask("go"), "done");
    let ended = memtrace.interrupt();
    assert!(ended.allocated_blocks() >= 1000, "{}", ended.last_report());
    target.say("end");
    assert!(target.wait().success());
}

/// C++ exceptions pass through frames that allocate, and `operator new` throws, as without tracing.
#[test]
fn exceptions_are_survived() {
    let mut target = Target::start(program("exceptions"));
    let memtrace = Attached::to(target.pid());
    assert_eq!(target.ask("go"), "done");
    let ended = memtrace.interrupt();
    assert!(ended.last_report().contains("500 calls that returned no memory"), "{}", ended.last_report());
    target.say("end");
    assert!(target.wait().success());
}

/// A stopped process can be attached to and detached from; continued, it works.
#[test]
fn a_stopped_process_is_traced_and_left() {
    let mut target = Target::start(program("on_request"));
    let send = |pid: u32, signal| kill(Pid::from_raw(pid.cast_signed()), signal).expect("the target takes signals");
    let attach_to_stopped = |pid: u32| {
        send(pid, Signal::SIGSTOP);
        eventually("the target is stopped", || state_of(pid) == 'T');
        Attached::to(pid)
    };
    let memtrace = attach_to_stopped(target.pid());
    send(target.pid(), Signal::SIGCONT);
    assert_eq!(target.ask("b"), "done");
    assert_eq!(memtrace.interrupt().allocated_blocks(), 1000);
    let memtrace = attach_to_stopped(target.pid());
    assert!(memtrace.interrupt().status.success());
    assert_eq!((state_of(target.pid()), breakpoints(target.pid())), ('T', 0));
    send(target.pid(), Signal::SIGCONT);
    assert_eq!(target.ask("b"), "done");
}

/// Two memtraces on one process count the same from then on, and the end of one does not touch the other.
#[test]
fn two_memtraces_agree() {
    let mut target = Target::start(program("on_request"));
    let first = Attached::to(target.pid());
    let second = Attached::to(target.pid());
    assert_eq!(target.ask("a"), "done");
    let second = second.interrupt();
    assert_eq!(target.ask("b"), "done");
    let first = first.interrupt();
    assert_eq!((second.allocated_blocks(), second.freed_blocks()), (1000, 0));
    assert_eq!((first.allocated_blocks(), first.freed_blocks()), (2000, 1000));
    assert_eq!(breakpoints(target.pid()), 0);
    assert_eq!(target.ask("b"), "done");
}

/// The fall-back, perf-event links, does no more harm.
#[test]
fn perf_event_links_leave_nothing_behind() {
    let mut target = Target::start(program("hammer"));
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let memtrace = Attached::with(target.pid(), &["--without", "multi"]);
        let objects = bpf_objects_of(memtrace.pid());
        memtrace.signal(signal);
        memtrace.end();
        eventually("no breakpoint", || breakpoints(target.pid()) == 0);
        await_removal(&objects);
        assert_eq!(target.ask("?"), "done");
    }
}

fn state_of(pid: u32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).expect("a state")
}
