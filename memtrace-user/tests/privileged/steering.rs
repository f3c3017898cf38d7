//! Forgetting and new peaks while a program runs, and finding blocks: through the library, so that every number is known.

use std::{collections::BTreeSet, sync::Arc};

use memtrace::{
    profile::{Profile, SymbolTable},
    session::{self, OrderError, Session, Update},
    tracer::{Accelerator, TracerOptions},
};
use tokio::sync::oneshot;

use crate::{
    numbers::Use,
    support::{Outcome, options, program, run_traced, runtime},
    target::Target,
};

/// Drives a session until an order is carried out.
pub async fn carried_out<T>(session: &mut Session, answer: oneshot::Receiver<Result<T, OrderError>>) -> T {
    tokio::pin!(answer);
    let nothing = BTreeSet::new();
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer.expect("the session lives").expect("it is carried out"),
            update = session.next(&nothing) => {
                if let Update::Reading { profile, .. } = update.expect("events arrive") {
                    assert_sound(&profile);
                }
            }
        }
    }
}

/// What holds at every instant.
fn assert_sound(profile: &Profile) {
    for sample in &profile.samples {
        assert!(sample.stats.freed_blocks <= sample.stats.allocated_blocks, "{:?}", sample.stats);
        assert!(sample.stats.freed_bytes <= sample.stats.allocated_bytes, "{:?}", sample.stats);
    }
    assert!(profile.totals.peak_bytes >= profile.totals.current_bytes);
    assert!(profile.totals.current_bytes < 1 << 40, "{:?}", profile.totals);
}

async fn reading(session: &mut Session) -> Outcome {
    let (profile, symbols) = session.read_now().await;
    assert_sound(&profile);
    Outcome { profile, symbols, status: std::process::ExitStatus::default() }
}

/// What is kept after a clear is exact, and nothing of before it is counted, live or freed or in the peak.
#[test]
fn clear_forgets_what_was_before() {
    let mut target = Target::start(program("steer"));
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &options()).expect("the program is traced");
        for _ in 0..5 {
            target.ask("k");
        }
        target.ask("p");
        let before = reading(&mut session).await;
        assert_eq!((before.usage().allocated, before.profile.totals.peak_bytes), ((6, 55_000), 55_000));
        // Each of the two slots that take turns is used more than once.
        for round in 0..5 {
            let answer = session.clear();
            carried_out(&mut session, answer).await;
            let after = reading(&mut session).await;
            assert_eq!(after.usage(), Use { allocated: (0, 0), freed: (0, 0) }, "round {round}");
            assert_eq!((after.profile.totals.peak_bytes, after.profile.samples.len()), (0, 0));
            // One from before, whose free is unknown, and two new ones, of which one is freed again.
            target.ask("f");
            target.ask("k");
            target.ask("k");
            target.ask("f");
            let then = reading(&mut session).await;
            assert_eq!(then.usage(), Use { allocated: (2, 2000), freed: (1, 1000) }, "round {round}");
            let totals = &then.profile.totals;
            assert_eq!((totals.current_bytes, totals.peak_bytes, totals.unknown_frees), (1000, 2000, 1));
            assert_eq!(then.usage_by("keep").allocated, (2, 2000));
            assert_eq!(then.losses(), []);
        }
    });
}

/// While threads allocate, reallocate and free each other's blocks, clearing again and again attributes nothing wrongly: in
/// the end what was kept after the last clear is live to the byte, and all else that was counted has been freed.
#[test]
fn clear_is_exact_under_load() {
    let without_multi = TracerOptions { without: vec![Accelerator::Multi], ..options() };
    for options in [options(), without_multi] {
        let mut target = Target::start(program("steer"));
        runtime().block_on(async {
            let mut session = session::attach(target.pid(), &options).expect("the program is traced");
            target.ask("l");
            for _ in 0..20 {
                let answer = session.clear();
                carried_out(&mut session, answer).await;
                target.ask("n");
                // Frees blocks of before, while blocks at the same addresses may be new.
                for _ in 0..100 {
                    target.ask("f");
                }
            }
            let answer = session.clear();
            carried_out(&mut session, answer).await;
            target.ask("n");
            target.ask("s");
            let end = reading(&mut session).await;
            let load = end.usage_by("exchange");
            assert!(load.allocated.0 > 0, "there was no load");
            assert_eq!(load.allocated, load.freed);
            assert_eq!(end.usage_by("keep_new"), Use { allocated: (500, 48_000), freed: (0, 0) });
            assert_eq!(end.profile.totals.current_bytes, 48_000);
            end.assert_consistent();
            assert_eq!(end.losses(), []);
        });
    }
}

/// A new peak is what is live at that instant, and counts on from there, exactly.
#[test]
fn reset_peak_is_exact() {
    let mut target = Target::start(program("steer"));
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &options()).expect("the program is traced");
        target.ask("k");
        target.ask("p");
        assert_eq!(reading(&mut session).await.profile.totals.peak_bytes, 51_000);
        for round in 1..=5 {
            let answer = session.reset_peak();
            carried_out(&mut session, answer).await;
            let totals = reading(&mut session).await.profile.totals;
            assert_eq!((totals.current_bytes, totals.peak_bytes), (1000, 1000), "round {round}");
            target.ask("k");
            target.ask("f");
            assert_eq!(reading(&mut session).await.profile.totals.peak_bytes, 2000, "round {round}");
        }
        target.ask("p");
        let end = reading(&mut session).await;
        assert_eq!(end.profile.totals.peak_bytes, 51_000);
        // The counters are none of the peak's.
        assert_eq!(end.usage(), Use { allocated: (1 + 1 + 5 + 1, 106_000), freed: (7, 105_000) });
    });
}

/// Under load, a new peak never lies below what is live, and once the load has ended it is exact again.
#[test]
fn reset_peak_under_load() {
    let mut target = Target::start(program("steer"));
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &options()).expect("the program is traced");
        target.ask("l");
        for _ in 0..20 {
            let answer = session.reset_peak();
            carried_out(&mut session, answer).await;
            reading(&mut session).await;
        }
        target.ask("s");
        target.ask("n");
        let answer = session.reset_peak();
        carried_out(&mut session, answer).await;
        let live = reading(&mut session).await.profile.totals;
        assert_eq!(live.current_bytes, live.peak_bytes);
        target.ask("p");
        assert_eq!(reading(&mut session).await.profile.totals.peak_bytes, live.current_bytes + 50_000);
    });
}

/// Each thread's numbers are its own, under its own name, and their sum is that of the process.
#[test]
fn threads_are_told_apart() {
    let path = program("named_threads");
    let options = TracerOptions { per_thread: true, ..options() };
    let outcome = run_traced(&[path.to_str().expect("a UTF-8 path")], &options);
    let profile = &outcome.profile;
    let by_thread = |name: &str| {
        let wanted = |sample: &&memtrace::profile::StackSample| {
            let thread = &profile.threads[sample.thread.expect("a thread").0 as usize];
            *thread.name == *name && outcome.functions(sample).first().is_some_and(|name| name == "keep_blocks")
        };
        profile.samples.iter().filter(wanted).map(|sample| sample.stats.allocated_blocks).sum::<u64>()
    };
    assert_eq!([1, 2, 3, 4].map(|number| by_thread(&format!("worker {number}"))), [10, 20, 30, 40]);
    assert_eq!(outcome.usage_by("keep_blocks"), Use { allocated: (100, 6400), freed: (0, 0) });
    outcome.assert_consistent();
    assert_eq!(outcome.losses(), []);
}

/// Sums over threads are those without telling them apart, for threads that free each other's blocks.
#[test]
fn sums_over_threads_are_exact() {
    const ROUNDS: u64 = 5_000;
    let path = program("threads");
    let options = TracerOptions { per_thread: true, ..options() };
    let outcome = run_traced(&[path.to_str().expect("a UTF-8 path"), &ROUNDS.to_string()], &options);
    let mut blocks = vec![0; outcome.profile.threads.len()];
    for sample in &outcome.profile.samples {
        if outcome.functions(sample).first().is_some_and(|name| name == "exchange_blocks") {
            blocks[sample.thread.expect("a thread").0 as usize] += sample.stats.allocated_blocks;
        }
    }
    blocks.retain(|count| *count > 0);
    assert_eq!(blocks, [2 * ROUNDS; 8]);
    assert_eq!(outcome.losses(), []);
}

/// A snapshot of everything has a line for every place of a program that has debug information, and the build ids.
#[test]
fn snapshots_are_complete() {
    let mut target = Target::start(program("steer"));
    let (profile, snapshot): (Arc<Profile>, _) = runtime().block_on(async {
        let mut session = session::attach(target.pid(), &options()).expect("the program is traced");
        target.ask("k");
        target.ask("p");
        let (profile, _): (_, Arc<SymbolTable>) = session.read_now().await;
        let unfinished = session.snapshot_of(&profile);
        drop(session);
        let progress = tokio::sync::watch::Sender::default();
        let snapshot = session::Finder::default().complete(unfinished, &progress, std::future::pending()).await;
        assert!(progress.borrow().all > 0 && progress.borrow().done == progress.borrow().all);
        (profile, snapshot)
    });
    assert_eq!(snapshot.total(), profile.totals.stats);
    let own = |location: &&memtrace::profile::Location| snapshot.modules.path(location.module).ends_with("/steer");
    let mut places = 0;
    for location in snapshot.samples.iter().flat_map(|sample| sample.stack.iter()).filter(own) {
        let frame = snapshot.symbols.frames(*location).last().expect("a frame");
        let started = frame.function.as_deref() == Some("_start");
        assert!(started || frame.source.as_ref().is_some_and(|line| line.line > 0), "{frame:?}");
        assert!(snapshot.modules.module(location.module).build_id.is_some());
        places += 1;
    }
    assert!(places >= 4, "{places}");
    let process = &snapshot.processes[0];
    assert_eq!(process.info.pid, target.pid());
    let age = process.started_at.and_then(|time| time.elapsed().ok()).expect("a start time");
    assert!(age.as_secs() < 60, "{age:?}");
}
