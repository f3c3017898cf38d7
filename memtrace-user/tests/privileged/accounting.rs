//! Numbers known by construction: what each function of the allocator means for the counters.
//!
//! The scenarios are functions of the same names in `programs/accounting.c`.

use memtrace::{
    profile::{AllocStats, Frame, LossReason, Losses, StackSample},
    snapshot::read_file,
    tracer::{Accelerator, TracerOptions},
};

use crate::{
    binary::memtrace,
    numbers::{Amount, Fixed, Use, run_attached},
    support::{Outcome, every_way, options, program, run_traced},
};

/// The numbers of a scenario.
#[derive(Debug, PartialEq, Eq)]
struct Numbers {
    allocated: Amount,
    freed: Amount,
    peak: u64,
    failed: u64,
    unknown_frees: u64,
}

impl Numbers {
    fn of(outcome: &Outcome) -> Self {
        let totals = &outcome.profile.totals;
        let Use { allocated, freed } = outcome.usage();
        let (peak, failed, unknown_frees) = (totals.peak_bytes, totals.failed_calls, totals.unknown_frees);
        Self { allocated, freed, peak, failed, unknown_frees }
    }
}

fn run(scenario: &str, options: &TracerOptions) -> Outcome {
    finished(run_traced(&[program("accounting").to_str().expect("a UTF-8 path"), scenario], options))
}

fn attached(scenario: &str, options: &TracerOptions) -> Outcome {
    finished(run_attached(&[program("accounting").to_str().expect("a UTF-8 path"), scenario], options))
}

fn finished(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.status.code(), Some(0), "the program found something wrong");
    outcome.assert_consistent();
    outcome
}

/// Runs a scenario with all accelerators and without each, and compares all that is counted.
fn expect(scenario: &str, numbers: &Numbers) {
    for options in every_way() {
        let outcome = run(scenario, &options);
        assert_eq!(Numbers::of(&outcome), *numbers, "{scenario}, {options:?}");
        assert_eq!(outcome.losses(), [], "{scenario}, {options:?}");
    }
}

/// A block is counted with the bytes asked for, not with what the allocator rounds them up to.
#[test]
fn malloc_and_free() {
    let numbers = Numbers { allocated: (2, 1024), freed: (1, 24), peak: 1024, failed: 0, unknown_frees: 0 };
    expect("plain", &numbers);
}

/// A block of no bytes is a block; a free of nothing is nothing.
#[test]
fn zero_sizes_are_blocks() {
    expect("zero_sizes", &Numbers { allocated: (5, 0), freed: (1, 0), peak: 0, failed: 0, unknown_frees: 0 });
}

/// calloc counts the product of its arguments; one that overflows is a failed call and no block.
#[test]
fn calloc_counts_the_product() {
    let numbers = Numbers { allocated: (2, 1021), freed: (1, 21), peak: 1021, failed: 1, unknown_frees: 0 };
    expect("products", &numbers);
}

/// Calls that return no memory are counted as failed, whatever function they were, and as nothing else.
#[test]
fn failed_calls_are_no_blocks() {
    expect("failures", &Numbers { allocated: (0, 0), freed: (0, 0), peak: 0, failed: 7, unknown_frees: 0 });
}

/// realloc ends one block and begins another, from NULL (where glibc jumps to malloc) to size 0, which frees.
#[test]
fn realloc_ends_one_block_and_begins_another() {
    let all = (5, 100 + 5000 + 50 + (1 << 20) + (2 << 20));
    expect("reallocations", &Numbers { allocated: all, freed: all, peak: 2 << 20, failed: 0, unknown_frees: 0 });
}

/// A realloc that fails leaves the block live, and the next one finds it.
#[test]
fn a_failing_realloc_keeps_the_block() {
    let numbers = Numbers { allocated: (2, 300), freed: (1, 100), peak: 200, failed: 2, unknown_frees: 0 };
    expect("failing_realloc", &numbers);
}

/// reallocarray is seen as the realloc that it ends in; one that overflows calls none, and is not seen.
#[test]
fn reallocarray_counts_the_product() {
    let numbers = Numbers { allocated: (2, 1320), freed: (1, 120), peak: 1200, failed: 0, unknown_frees: 0 };
    expect("arrays", &numbers);
}

/// Each function for aligned blocks takes its size from its own argument; the rounding is the allocator's.
#[test]
fn aligned_blocks_count_the_bytes_asked_for() {
    let live = 128 + 33 + 5 + 7;
    let numbers = Numbers { allocated: (6, 1001 + live), freed: (1, 1001), peak: 1001, failed: 0, unknown_frees: 0 };
    expect("aligned", &numbers);
}

/// The peak is exact to the byte, and never has a reallocated block twice.
#[test]
fn the_peak_is_exact() {
    let allocated = (5, 1000 + 500 + 4000 + 10 + 3989);
    let freed = (4, 1000 + 500 + 4000 + 3989);
    expect("peaks", &Numbers { allocated, freed, peak: 4000, failed: 0, unknown_frees: 0 });
}

/// What the C library allocates for the program counts as the program's.
#[test]
fn callers_in_the_library_count() {
    let outcome = run("library_callers", &options());
    assert_eq!(outcome.usage_below("strdup").allocated, (1, 10));
    assert_eq!(outcome.usage_below("strndup").allocated, (1, 5));
    let Use { allocated, freed } = outcome.usage();
    // The file, its buffer and the line are freed again; the two copies are not.
    assert_eq!((allocated.0 - freed.0, allocated.1 - freed.1), (2, 15));
    assert_eq!(allocated.0, 5);
    assert_eq!(outcome.losses(), []);
}

/// Frees of blocks from before the attach are counted as such, and as nothing else.
#[test]
fn frees_of_blocks_from_before_the_attach() {
    for options in every_way() {
        let outcome = attached("freed_from_before", &options);
        let numbers = Numbers { allocated: (1, 77), freed: (0, 0), peak: 77, failed: 0, unknown_frees: 10 };
        assert_eq!(Numbers::of(&outcome), numbers);
        assert_eq!(outcome.losses(), []);
    }
}

/// A block from before the attach becomes known by its realloc; the old one is not counted as freed.
#[test]
fn reallocs_of_blocks_from_before_the_attach() {
    let outcome = attached("reallocated_from_before", &options());
    let Use { allocated, freed } = outcome.usage();
    assert_eq!((allocated, freed), ((2, 10060), (1, 10000)));
    assert_eq!(outcome.profile.totals.peak_bytes, 10060);
    assert_eq!(outcome.profile.totals.failed_calls, 1);
    assert_eq!(outcome.losses(), []);
}

/// Blocks below `--min-size` are as if they were not there, also where realloc crosses the limit.
#[test]
fn blocks_below_the_least_size_are_left_out() {
    let outcome = run("sizes", &TracerOptions { min_size: 50, ..options() });
    let large = 50 + 60 + 70 + 80 + 90 + 100;
    let Use { allocated, freed } = outcome.usage();
    assert_eq!(allocated, (6 + 2, large + 1000 + 50));
    assert_eq!(freed, (6 + 1, large + 1000));
    assert_eq!(outcome.profile.totals.peak_bytes, 1000);
    assert_eq!(outcome.profile.totals.unknown_frees, 4);
    assert_eq!(outcome.losses(), []);
}

/// After an exec, the numbers are those of the new image alone.
#[test]
fn exec_begins_anew() {
    expect("exec_again", &Numbers { allocated: (2, 311), freed: (1, 300), peak: 300, failed: 0, unknown_frees: 0 });
}

/// The same when a thread calls exec that is not the process's first. There the kernel drops the probes: they are placed
/// anew, and the gap is a loss.
#[test]
fn exec_from_another_thread_begins_anew() {
    for options in every_way() {
        let outcome = attached("exec_from_thread", &options);
        let numbers = Numbers { allocated: (2, 311), freed: (1, 300), peak: 300, failed: 0, unknown_frees: 0 };
        assert_eq!(Numbers::of(&outcome), numbers);
        assert_eq!(outcome.losses(), [(LossReason::LateProbes.name(), 1)]);
    }
}

/// The peak is exact when eight threads reach it together.
#[test]
fn the_peak_of_threads_is_exact() {
    let outcome = run("peak_of_threads", &options());
    let own = outcome.usage_below("hold_then_free");
    assert_eq!(own, Use { allocated: (8000, 800_000), freed: (8000, 800_000) });
    // The C library's blocks for the threads are all made before the barrier.
    let libraries = outcome.usage().allocated.1 - own.allocated.1;
    assert_eq!(outcome.profile.totals.peak_bytes, 800_000 + libraries);
    assert_eq!(outcome.losses(), []);
}

/// Threads that exit or are cancelled amid allocating leave nothing behind that disturbs later ones.
#[test]
fn threads_that_leave_do_not_disturb() {
    let outcome = run("leaving_threads", &options());
    // By the functions themselves: to leave, glibc loads a library.
    assert_eq!(outcome.usage_by("allocate_and_leave"), Use { allocated: (1, 40), freed: (0, 0) });
    assert_eq!(outcome.usage_by("later_blocks"), Use { allocated: (100, 6400), freed: (0, 0) });
    let endless = outcome.usage_by("allocate_forever");
    assert_eq!(endless.allocated, endless.freed);
    assert_eq!(outcome.losses(), []);
}

/// Allocator calls left by a jump out of a signal handler are counted as never returned, and later ones are exact.
#[test]
#[cfg_attr(target_arch = "aarch64", ignore = "a dead call cannot be told from one under way, see docs/architecture.md")]
fn calls_left_by_longjmp_do_not_disturb() {
    for options in every_way() {
        let outcome = run("interrupted", &options);
        assert_eq!(outcome.usage(), Use { allocated: (100, 6400), freed: (0, 0) });
        let left = outcome.profile.losses.count(LossReason::NeverReturned);
        assert!((1..=200).contains(&left), "{left} of 200 jumps left a call");
        assert_eq!(outcome.losses(), [(LossReason::NeverReturned.name(), left)]);
    }
}

/// A signal handler that allocates within an allocator call is a part of that call. Where the call has returned to the
/// kernel's trampoline, whose first instruction overwrites the return address, it is no longer recognised as under way:
/// then it is counted as lost. Later calls are exact in any case.
#[test]
fn calls_in_signal_handlers_do_not_disturb() {
    let outcome = run("interrupted_on_other_stack", &options());
    assert_eq!(outcome.usage(), Use { allocated: (100, 6400), freed: (0, 0) });
    let losses = &outcome.profile.losses;
    let [left, unpaired] = [LossReason::NeverReturned, LossReason::UnpairedReturn].map(|reason| losses.count(reason));
    assert_eq!((unpaired, losses.total()), (left, 2 * left));
    assert!(left < 100, "{left} of 200 handlers broke the call that they interrupted");
}

/// A block whose free was not seen and whose address is handed out again counts as freed, and as a loss.
#[test]
fn a_missed_free_is_made_good() {
    let outcome = run("freed_in_vfork", &options());
    assert_eq!(outcome.usage(), Use { allocated: (2, 190), freed: (1, 100) });
    assert_eq!(outcome.losses(), [(LossReason::MissedFree.name(), 1)]);
}

/// What a forked child allocates and frees is not the parent's.
#[test]
fn a_forked_child_is_another_process() {
    expect("forked", &Numbers { allocated: (1, 100), freed: (1, 100), peak: 100, failed: 0, unknown_frees: 0 });
}

/// Of blocks whose lifetimes the program has measured, those count as short-lived whose lifetime is short beyond doubt,
/// and none whose lifetime is long beyond doubt.
#[test]
fn short_lived_blocks_are_those_with_short_lives() {
    let program = program("accounting");
    let directory = tempfile::tempdir().expect("a directory");
    let told = directory.path().join("told");
    let words = [program.to_str().expect("UTF-8"), "lifetimes", told.to_str().expect("UTF-8")];
    let outcome = finished(run_traced(&words, &options()));
    let told = std::fs::read_to_string(told).expect("the program has told");
    let numbers: Vec<u64> = told.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let [blocks, surely_short, surely_long] = numbers[..] else { panic!("{told}") };
    let stats = outcome.stats_by("live_for");
    println!("{told}{stats:?}");
    assert_eq!((stats.allocated_blocks, stats.freed_blocks), (blocks, blocks));
    assert!(surely_short > 0 && surely_long > 0, "{told}");
    assert!((surely_short..=blocks - surely_long).contains(&stats.short_lived_blocks), "{told}{stats:?}");
}

/// A preloaded library that wraps the allocator and calls the next one counts as the library itself does, not twice, and
/// under its callers from the first call on: `run` asks the loader what the environment preloads.
#[test]
fn a_preloaded_wrapper_does_not_count_twice() {
    let (library, program) = (program("preload.so"), program("accounting"));
    let directory = tempfile::tempdir().expect("a directory");
    for scenario in ["plain", "reallocations", "library_callers"] {
        let file = directory.path().join("end.pb.gz");
        let mut command = memtrace(&["run", "-o", file.to_str().expect("UTF-8"), "--"]);
        let output = command.arg(&program).arg(scenario).env("LD_PRELOAD", &library).output().expect("memtrace runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let snapshot = read_file(&file).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(snapshot.about.losses, Losses::default());
        let is_scenario = |frame: &Frame| frame.function.as_deref() == Some(scenario);
        let calls = |sample: &&StackSample| {
            sample.stack.iter().any(|location| snapshot.symbols.frames(*location).iter().any(is_scenario))
        };
        let below: AllocStats = snapshot.samples.iter().filter(calls).map(|sample| sample.stats).sum();
        // By frame pointers, a library's own caller is lost where the library has none.
        assert!(below == snapshot.total() || !options().allows(Accelerator::BpfLoop), "{scenario}: {below:?}");
        // memtrace has preloaded it as well, and ends later.
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let AllocStats { allocated_blocks, allocated_bytes, freed_blocks, .. } = snapshot.total();
        let expected = format!("{allocated_blocks} {freed_blocks} {allocated_bytes}");
        assert_eq!(printed.lines().next(), Some(&*expected), "{scenario}");
    }
}

/// The environment that a shell sets is not known before: the library is found when it is mapped, and that it was found so
/// late is said. The sums are exact all the same, as the inner allocator was probed from the start.
#[test]
fn a_wrapper_that_a_shell_preloads_is_found_late() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("counts");
    let (library, program) = (program("preload.so"), program("accounting"));
    let command = Fixed {
        words: vec![program.to_str().expect("a UTF-8 path"), "plain"],
        environment: vec![("LD_PRELOAD".into(), library.into())],
        directory: directory.path(),
        output: &output,
    };
    let outcome = finished(command.run_traced(&options()));
    let losses = &outcome.profile.losses;
    assert_eq!(losses.count(LossReason::LateProbes), 1, "{:?}", outcome.losses());
    // A call during which the probes came.
    let cut = losses.count(LossReason::UnpairedReturn);
    assert_eq!(losses.total(), 1 + cut, "{:?}", outcome.losses());
    let Use { allocated, .. } = outcome.usage();
    let counts = std::fs::read_to_string(&output).expect("the library's counts");
    let blocks: u64 = counts.split(' ').next().and_then(|blocks| blocks.parse().ok()).expect("a number");
    assert!(allocated.0 <= blocks && blocks <= allocated.0 + cut, "{allocated:?}, {cut} cut, of {counts}");
}
