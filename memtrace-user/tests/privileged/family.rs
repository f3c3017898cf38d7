//! Processes that are followed: what each of them has allocated, exactly, however it was started and however it ended.

use std::{collections::BTreeSet, sync::Arc};

use memtrace::{
    profile::{AllocStats, Profile, TracedProcess},
    session::{self, Session, Update},
    tracer::{Accelerator, Follow, TracerOptions, UnwindMode},
};

use crate::{
    steering::carried_out,
    support::{Outcome, can_do_without, options, program, run_traced, runtime},
    target::Target,
};

fn following() -> TracerOptions {
    TracerOptions { follow: Follow::Children, ..options() }
}

fn family(arguments: &[&str]) -> Outcome {
    family_with(arguments, &following())
}

fn family_with(arguments: &[&str], options: &TracerOptions) -> Outcome {
    let program = program("family");
    let words: Vec<&str> = std::iter::once(program.to_str().expect("UTF-8")).chain(arguments.iter().copied()).collect();
    let outcome = run_traced(&words, options);
    assert!(outcome.status.success(), "{:?}", outcome.status);
    outcome
}

/// What was allocated through the function `leaf`, of each process in the order in which they appeared.
fn leaves(outcome: &Outcome) -> Vec<(String, AllocStats)> {
    let profile = &outcome.profile;
    let own = profile.process.command.clone();
    let others = profile.others.iter().map(|process| process.info.command.clone());
    let mut sums: Vec<_> = std::iter::once(own).chain(others).map(|name| (name, AllocStats::default())).collect();
    for sample in &profile.samples {
        let caller = sample.stack.first().and_then(|location| outcome.symbols.frames(*location).first());
        if caller.and_then(|frame| frame.function.as_deref()) == Some("leaf") {
            sums[sample.process.0 as usize].1 += sample.stats;
        }
    }
    for (name, _) in &mut sums {
        // Programs lie in a directory of the build.
        *name = name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    sums
}

/// Blocks and bytes allocated, and blocks freed.
fn numbers(outcome: &Outcome) -> Vec<(String, u64, u64, u64)> {
    let of =
        |(name, stats): (String, AllocStats)| (name, stats.allocated_blocks, stats.allocated_bytes, stats.freed_blocks);
    leaves(outcome).into_iter().map(of).collect()
}

fn expected(lines: &[(&str, u64, u64, u64)]) -> Vec<(String, u64, u64, u64)> {
    lines.iter().map(|(name, blocks, bytes, freed)| ((*name).to_owned(), *blocks, *bytes, *freed)).collect()
}

/// Nothing is lost, everything has ended, and the sum of the processes is that of the call sites.
fn assert_sound(profile: &Profile) {
    assert_eq!(profile.losses.total(), 0, "{:?}", profile.losses);
    assert!(profile.process.exited && profile.others.iter().all(|process| process.info.exited));
    let totals = |process: &TracedProcess| process.totals.expect("counters").stats;
    let sum: AllocStats = profile.others.iter().map(totals).sum();
    assert_eq!(sum + profile.own_totals.stats, profile.totals.stats);
    assert_eq!(profile.samples.iter().map(|sample| sample.stats).sum::<AllocStats>(), profile.totals.stats);
}

/// A forked child has its own blocks; its free of an inherited block is neither its own block's nor a loss.
#[test]
fn a_forked_child_counts_by_itself() {
    let outcome = family(&["forks"]);
    assert_sound(&outcome.profile);
    assert_eq!(numbers(&outcome), expected(&[("family forks", 1, 1000, 1), ("family forks", 4, 120, 0)]));
    let child = outcome.profile.others[0].totals.expect("counters");
    assert_eq!((child.unknown_frees, child.current_bytes, child.peak_bytes), (1, 120, 120));
    assert_eq!(outcome.profile.own_totals.unknown_frees, 0);
}

/// The same numbers come by perf-event links, and with exits in place of return probes.
#[test]
fn children_are_followed_without_accelerators() {
    let all = [Accelerator::Multi, Accelerator::ReturnProbes];
    for accelerator in all.into_iter().filter(|accelerator| can_do_without(*accelerator)) {
        let outcome = family_with(&["forks"], &TracerOptions { without: vec![accelerator], ..following() });
        let stats = |process: &TracedProcess| process.totals.expect("counters").stats.allocated_bytes;
        let children: Vec<_> = outcome.profile.others.iter().map(stats).collect();
        assert_eq!(outcome.profile.losses.total(), 0, "{accelerator:?}: {:?}", outcome.profile.losses);
        assert_eq!((outcome.profile.own_totals.stats.allocated_bytes, children), (1000, vec![120]), "{accelerator:?}");
    }
}

/// Children that share their parent's memory count with it until they execute a program.
#[test]
fn vfork_and_spawn_share_until_exec() {
    let outcome = family(&["vforks"]);
    assert_sound(&outcome.profile);
    let lines = [
        ("family vforks", 5, 250, 0),
        ("family leaves after vfork", 5, 1000, 2),
        ("family leaves spawned", 5, 1000, 2),
    ];
    assert_eq!(numbers(&outcome), expected(&lines));
}

/// A program that a second thread executes is another image of the same process, and loses nothing.
#[test]
fn a_thread_may_execute() {
    let outcome = family(&["thread-executes"]);
    assert_sound(&outcome.profile);
    let lines = [("family leaves by thread", 5, 1000, 2), ("family thread-executes", 1, 70, 0)];
    assert_eq!(numbers(&outcome), expected(&lines));
    assert_eq!(outcome.profile.others[0].info.pid, outcome.profile.process.pid);
}

/// A process lives on, and forks, when its first thread has ended.
#[test]
fn the_first_thread_may_end() {
    let outcome = family(&["leader-ends"]);
    assert_sound(&outcome.profile);
    assert_eq!(numbers(&outcome), expected(&[("family leader-ends", 6, 480, 0), ("family leader-ends", 7, 630, 0)]));
}

/// Children of a process whose threads allocate at that moment have what they allocate, no more; and it may leave while
/// its threads are within the allocator.
#[test]
fn forks_among_allocating_threads() {
    let outcome = family(&["forks-among-threads"]);
    assert_sound(&outcome.profile);
    let mut lines = numbers(&outcome);
    assert_eq!(lines.remove(0).1, 0);
    assert_eq!(lines, expected(&[("family forks-among-threads", 3, 60, 0); 50]));
    let children = outcome.profile.others.iter().map(|process| process.totals.expect("counters").stats);
    assert!(children.into_iter().all(|stats| stats.allocated_blocks == 3));
}

/// Call stacks of one frame, whose addresses differ as little as the numbers that processes are counted under, are each
/// process's own.
#[test]
fn short_stacks_of_processes_are_apart() {
    for unwind in [UnwindMode::Auto, UnwindMode::FramePointer] {
        let outcome = family_with(&["resembles"], &TracerOptions { max_frames: 1, unwind, ..following() });
        assert_sound(&outcome.profile);
        let children: Vec<_> = outcome.profile.others.iter().map(|process| process.totals.expect("counters")).collect();
        let numbers: Vec<_> =
            children.iter().map(|totals| (totals.stats.allocated_blocks, totals.stats.allocated_bytes)).collect();
        assert_eq!(numbers, (1..=16).map(|bytes| (16, 16 * bytes)).collect::<Vec<_>>(), "{unwind:?}");
    }
}

/// Two processes that had one id after the other are two.
#[test]
fn an_id_may_be_used_again() {
    let outcome = family(&["reuses-id"]);
    assert_sound(&outcome.profile);
    let lines = [("family reuses-id", 0, 0, 0), ("family reuses-id", 1, 25, 0), ("family reuses-id", 2, 50, 0)];
    assert_eq!(numbers(&outcome), expected(&lines));
}

/// More processes than there are slots, one after the other, are all accounted for: what the dead have used is given back,
/// and those that are too many to be kept by themselves are added up.
#[test]
fn slots_are_used_again() {
    const PROCESSES: u64 = 6000;
    let outcome = family(&["storms", &PROCESSES.to_string()]);
    assert_sound(&outcome.profile);
    assert_eq!(outcome.profile.other_processes(), PROCESSES);
    let (sums, own): (Vec<_>, Vec<_>) = outcome.profile.others.iter().partition(|process| process.further > 0);
    assert!(sums.len() == 1 && (500..2000).contains(&own.len()), "{} sums, {} others", sums.len(), own.len());
    assert_eq!(sums[0].info.command, format!("family ({} processes)", sums[0].further + 1));
    let lines = numbers(&outcome);
    assert!(lines[1..=own.len()].iter().all(|(_, blocks, bytes, freed)| (*blocks, *bytes, *freed) == (1, 12, 0)));
    let blocks: u64 = lines[1..].iter().map(|(_, blocks, ..)| blocks).sum();
    assert_eq!(blocks, PROCESSES);
}

/// Children of a process that runs already are followed from then on; what is forgotten is so in all of them, and those that
/// run count on.
#[test]
fn an_attached_process_is_followed() {
    let mut target = Target::start(program("on_request"));
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &following()).expect("the program is traced");
        assert_eq!(target.ask("a"), "done");
        assert_eq!(target.ask("f"), "child");
        assert_eq!(target.ask("b"), "child done");
        assert_eq!(blocks(&mut session).await, [(1000, 0), (1000, 1000)]);
        for round in 0..3 {
            let answer = session.clear();
            carried_out(&mut session, answer).await;
            assert_eq!(blocks(&mut session).await, [(0, 0), (0, 0)], "round {round}");
            assert_eq!(target.ask("b"), "child done");
            assert_eq!(blocks(&mut session).await, [(0, 0), (1000, 1000)], "round {round}");
        }
        assert_eq!(target.ask("q"), "done");
        assert_eq!(target.ask("a"), "done");
        assert_eq!(blocks(&mut session).await, [(1000, 0), (1000, 1000)]);
        let answer = session.clear();
        carried_out(&mut session, answer).await;
        let left: u64 = blocks(&mut session).await.iter().map(|(allocated, _)| allocated).sum();
        assert_eq!(left, 0);
    });
    target.say("q");
    assert!(target.wait().success());
}

/// What a child holds at its end goes with it while its parent runs; when all have ended, each has what it held. The peak
/// is of both at once.
#[test]
fn what_a_child_holds_goes_with_it() {
    let mut target = Target::start(program("on_request"));
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &following()).expect("the program is traced");
        assert_eq!(
            (target.ask("a"), target.ask("f"), target.ask("a")),
            ("done".into(), "child".into(), "child done".into())
        );
        assert_eq!(live(&session.read_now().await.0), (200_000, vec![100_000, 100_000]));
        assert_eq!(target.ask("q"), "done");
        let profile = reading_with(&mut session, |profile| profile.others[0].info.exited).await;
        assert_eq!((live(&profile), profile.totals.peak_bytes), ((100_000, vec![100_000, 0]), 200_000));
        assert_eq!(profile.totals.stats.allocated_blocks, 2000);
        target.say("q");
        let profile = reading_with(&mut session, |profile| !profile.some_run()).await;
        assert_eq!((live(&profile), profile.totals.peak_bytes), ((200_000, vec![100_000, 100_000]), 200_000));
    });
    assert!(target.wait().success());
}

/// The first reading of which something is so.
async fn reading_with(session: &mut Session, is_so: impl Fn(&Profile) -> bool) -> Arc<Profile> {
    loop {
        if let Update::Reading { profile, .. } = session.next(&BTreeSet::new()).await.expect("events arrive")
            && is_so(&profile)
        {
            return profile;
        }
    }
}

/// Live bytes of all together, and of each process, by its counters and by its call sites alike.
fn live(profile: &Profile) -> (u64, Vec<u64>) {
    let others = profile.others.iter().map(|process| process.totals.expect("counters").stats.live_bytes());
    let each: Vec<u64> = std::iter::once(profile.own_totals.stats.live_bytes()).chain(others).collect();
    let mut by_samples = vec![0; each.len()];
    for sample in &profile.samples {
        by_samples[sample.process.0 as usize] += sample.stats.live_bytes();
    }
    assert_eq!(by_samples, each);
    (profile.totals.current_bytes, each)
}

/// Blocks allocated and freed by each process.
async fn blocks(session: &mut Session) -> Vec<(u64, u64)> {
    let (profile, _) = session.read_now().await;
    assert_eq!(profile.losses.total(), 0, "{:?}", profile.losses);
    let others = profile.others.iter().map(|process| process.totals.expect("counters").stats);
    let all = std::iter::once(profile.own_totals.stats).chain(others);
    all.map(|stats| (stats.allocated_blocks, stats.freed_blocks)).collect()
}
