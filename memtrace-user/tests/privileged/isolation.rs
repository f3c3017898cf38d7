//! Tracing one process leaves every other alone.

use memtrace::tracer::Tracer;
use nix::sys::signal::Signal;

use crate::{
    binary::{Attached, eventually},
    support::{options, program},
    target::Target,
    traces::breakpoints,
};

/// While a process is traced, no breakpoint is in another that has the same libc mapped; once memtrace has ended, none is
/// in either.
#[test]
fn only_the_traced_process_has_breakpoints() {
    let file = program("on_request");
    let (mut traced, mut other) = (Target::start(&file), Target::start(&file));
    let memtrace = Attached::to(traced.pid());
    assert_eq!(traced.ask("b"), "done");
    assert_eq!(other.ask("b"), "done");
    assert!(breakpoints(traced.pid()) >= 5, "malloc, calloc, realloc, free, posix_memalign");
    assert_eq!(breakpoints(other.pid()), 0);
    // A process that is started meanwhile maps the same pages of the file.
    assert_eq!(breakpoints(Target::start(&file).pid()), 0);
    let ended = memtrace.interrupt();
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!((ended.allocated_blocks(), ended.freed_blocks()), (1000, 1000));
    assert_eq!(breakpoints(traced.pid()), 0);
    assert_eq!(traced.ask("b"), "done");
}

/// A child of the traced process inherits the breakpoints with its memory, and loses them at once: it works at its own
/// pace, and nothing of it is recorded.
#[test]
fn a_forked_child_is_freed_of_breakpoints() {
    // By perf-event links, which old kernels have alone, only in the end: see the next test.
    if !Tracer::load(&options()).expect("the programs load").uses_multi_links() {
        eprintln!("left out: there are no multi links");
        return;
    }
    let mut target = Target::start(program("on_request"));
    let memtrace = Attached::to(target.pid());
    assert_eq!(target.ask("f"), "child");
    let child = child_of(target.pid());
    eventually("no breakpoint in the child", || breakpoints(child) == 0);
    assert!(breakpoints(target.pid()) >= 5, "the parent keeps its own");
    assert_eq!(target.ask("b"), "child done");
    assert_eq!(target.ask("q"), "done", "the child ends well");
    let ended = memtrace.interrupt();
    assert_eq!(ended.allocated_blocks(), 0, "{}", ended.output);
}

/// With perf-event links, too, nothing of a child is recorded, and it has no breakpoint left in the end. (One vanishes
/// when the child hits it, unless another tracer has probes at the same place.)
#[test]
fn a_forked_child_under_perf_event_links_is_clean_in_the_end() {
    let mut target = Target::start(program("on_request"));
    let memtrace = Attached::with(target.pid(), &["--without", "multi"]);
    assert_eq!(target.ask("f"), "child");
    let child = child_of(target.pid());
    assert_eq!(target.ask("b"), "child done");
    assert_eq!(memtrace.interrupt().allocated_blocks(), 0);
    eventually("no breakpoint in the child", || breakpoints(child) == 0);
    assert_eq!(target.ask("q"), "done");
}

/// A child that outlives the tracing of its parent works on, and has no breakpoint left when memtrace has ended.
#[test]
fn a_child_that_never_hit_a_breakpoint_is_clean_in_the_end() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let mut target = Target::start(program("on_request"));
        let memtrace = Attached::to(target.pid());
        assert_eq!(target.ask("f"), "child");
        let child = child_of(target.pid());
        memtrace.signal(signal);
        memtrace.end();
        eventually("no breakpoint in the child", || breakpoints(child) == 0);
        assert_eq!(target.ask("b"), "child done");
        assert_eq!(target.ask("q"), "done");
    }
}

fn child_of(pid: u32) -> u32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("the process lives");
    text.trim().parse().expect("one child")
}
