//! Sampling by bytes: the estimates of a real program's sums, and the budget that changes how it samples.

use std::collections::BTreeSet;

use memtrace::{
    profile::{AllocStats, Interval},
    session::{self, AttachError, Session, Update},
    tracer::{Accelerator, MultiLinks, OverBudget, Tracer, TracerError, TracerOptions, multi_links},
};

use crate::{
    support::{Outcome, every_way, options, program, run_traced, runtime},
    target::Target,
};

const MEAN: u64 = 16 << 10;

/// Bytes that the program asks for, and that it keeps. It makes 3,000 to 10,000 samples.
const ALLOCATED: u64 = (32 + 48 + 64 + 16 + 32) << 20;
const KEPT: u64 = (16 + 24 + 32) << 20;

/// Bytes are estimated without bias, whatever calls ask for them, with all accelerators and without each: calls within calls
/// count once, frees and reallocations take away what allocations have added. (Five standard errors, which one run in two
/// million exceeds.)
#[test]
fn sums_are_estimated() {
    for options in every_way() {
        let options = TracerOptions { sample_bytes: MEAN, ..options };
        let outcome = run_traced(&[program("sampled").to_str().expect("a UTF-8 path")], &options);
        let stats = outcome.profile.totals.stats;
        let near = |value: u64, wanted: u64, interval: Option<Interval>| {
            let Interval { low, high } = interval.expect("an estimate has an interval");
            assert!(low <= value && value <= high && high - low < wanted / 10, "{low} to {high}");
            assert!(value.abs_diff(wanted) < (high - low) * 5 / 4, "{value}, not {wanted}: {options:?}");
        };
        near(stats.allocated_bytes, ALLOCATED, stats.allocated_interval());
        near(stats.live_bytes(), KEPT, stats.live_interval());
        assert_eq!(outcome.profile.totals.current_bytes, stats.live_bytes(), "{options:?}");
        assert_eq!(outcome.losses(), [], "{options:?}");
        assert_eq!(outcome.profile.sample_bytes, Some(MEAN));
    }
}

/// With session probes, no return is trapped of a call that was not chosen; but realloc's, which may call malloc.
#[test]
fn most_returns_are_not_trapped() {
    let options = TracerOptions { sample_bytes: MEAN, ..options() };
    if !Tracer::load(&options).expect("programs are loaded").uses_session_probes() {
        return eprintln!("not tried: this kernel has no session probes");
    }
    let outcome = run_traced(&[program("sampled").to_str().expect("a UTF-8 path")], &options);
    let totals = &outcome.profile.totals;
    let others = (1 << 19) + (3 << 10) + 64;
    assert!(totals.entry_hits > others, "{totals:?}");
    let reallocations = totals.entry_hits - others;
    // One sample in 16 KiB of 192 MiB at the most.
    assert!(totals.return_hits < reallocations + 15_000, "{totals:?}");
}

/// A budget that no program under load can keep: it goes from exact to sampled, and on.
fn tiny_budget(over_budget: OverBudget) -> TracerOptions {
    TracerOptions { max_overhead: Some(0.001), over_budget, ..options() }
}

/// Whether a budget can be kept: without uprobe-multi links, the cost of a hit is not measured.
fn has_budget() -> bool {
    let has_links = matches!(multi_links(), Ok(MultiLinks::Usable)) && options().allows(Accelerator::Multi);
    if !has_links {
        eprintln!("not tried: there is no budget without uprobe-multi links");
    }
    has_links
}

/// Where the cost of a hit is not measured, a budget is refused, and the remedy is named.
#[test]
fn a_budget_needs_the_cost_of_a_hit() {
    let mut options = tiny_budget(OverBudget::Warn);
    options.without.push(Accelerator::Multi);
    let target = Target::start(program("on_request"));
    let runtime = runtime();
    let _inside = runtime.enter();
    let error = session::attach(target.pid(), &options).err().expect("it is refused");
    assert!(matches!(error, AttachError::Tracer(TracerError::NoBudget)), "{error:?}");
    assert!(TracerError::NoBudget.hint().is_some_and(|hint| hint.contains("--sample-bytes")));
}

/// A change of the mean distance while the program runs leaves its sums unbiased: each block stands for what it was chosen
/// by, and its free takes that away. (Five standard errors.)
#[test]
fn a_budget_leaves_sums_unbiased() {
    if !has_budget() {
        return;
    }
    let outcome = run_traced(&[program("sampled").to_str().expect("a UTF-8 path")], &tiny_budget(OverBudget::Warn));
    let stats = outcome.profile.totals.stats;
    let near = |value: u64, wanted: u64, interval: Option<Interval>| {
        let Interval { low, high } = interval.expect("an estimate has an interval");
        assert!(value.abs_diff(wanted) < (high - low) * 5 / 4, "{value}, not {wanted}: {low} to {high}");
    };
    near(stats.allocated_bytes, ALLOCATED, stats.allocated_interval());
    near(stats.live_bytes(), KEPT, stats.live_interval());
    assert_eq!(outcome.profile.totals.current_bytes, stats.live_bytes());
    assert_eq!(outcome.losses(), []);
    let sampled = outcome.profile.sample_bytes.expect("it is sampled in the end");
    let note = format!("sampled to stay within --max-overhead 0.1%: one byte in {} KiB", sampled >> 10);
    let notes = &outcome.profile.process.notes;
    assert!(sampled >= 1 << 20 || notes.iter().any(|line| line.starts_with(&note)), "{notes:?}");
}

/// Goes on until something is said about the budget.
async fn news(session: &mut Session) -> (String, bool) {
    loop {
        if let Update::Budget { message, ends } = session.next(&BTreeSet::new()).await.expect("events arrive") {
            return (message, ends);
        }
    }
}

/// What was recorded exactly stays exact, and its frees are seen, though blocks are sampled since; what is freed of the
/// others leaves nothing behind.
#[test]
fn what_was_exact_stays_exact() {
    if !has_budget() {
        return;
    }
    let mut target = Target::start(program("steer"));
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &tiny_budget(OverBudget::Warn)).expect("it is traced");
        target.ask("n");
        let (before, _) = session.read_now().await;
        assert_eq!(before.sample_bytes, None, "every block is recorded as long as that is cheap");
        target.ask("l");
        let (message, ends) = news(&mut session).await;
        assert!(message.starts_with("recording every block takes") && !ends, "{message}");
        loop {
            let (message, ends) = news(&mut session).await;
            assert!(!ends, "{message}");
            if message.starts_with("calls of the allocator cost") {
                break;
            }
        }
        target.ask("s");
        let kept = outcome(&mut session).await;
        assert!(kept.profile.sample_bytes.is_some());
        let stats = kept.stats_by("keep_new");
        assert_eq!((stats.live_blocks(), stats.live_bytes(), stats.live_interval()), (500, 48_000, None));
        for _ in 0..500 {
            target.ask("f");
        }
        let freed = outcome(&mut session).await;
        let exact = AllocStats { freed_blocks: 500, freed_bytes: 48_000, ..stats };
        assert_eq!(AllocStats { short_lived_blocks: 0, ..freed.stats_by("keep_new") }, exact);
        // glibc keeps the stacks of threads that have ended, with a small block for each.
        let exchanged = freed.usage_below("exchange");
        assert!(exchanged.allocated.0 > 0, "{exchanged:?}");
        assert_eq!(exchanged.allocated, exchanged.freed, "all of these are freed, whenever they were chosen");
        freed.assert_consistent();
        assert_eq!(freed.losses(), []);
    });
}

/// Where the traps alone are too dear, tracing ends if it is to, and says why in the last report.
#[test]
fn tracing_ends_where_the_budget_cannot_be_kept() {
    if !has_budget() {
        return;
    }
    let mut target = Target::start(program("steer"));
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &tiny_budget(OverBudget::Stop)).expect("it is traced");
        target.ask("l");
        let (message, ends) = loop {
            let (message, ends) = news(&mut session).await;
            if ends {
                break (message, ends);
            }
        };
        assert!(ends && message.contains("--over-budget warn"), "{message}");
        let last = outcome(&mut session).await;
        let notes = &last.profile.process.notes;
        assert!(notes.iter().any(|note| note.ends_with("tracing has ended")), "{notes:?}");
        drop(session);
        target.ask("s");
    });
}

async fn outcome(session: &mut Session) -> Outcome {
    let (profile, symbols) = session.read_now().await;
    Outcome { profile, symbols, status: std::process::ExitStatus::default() }
}
