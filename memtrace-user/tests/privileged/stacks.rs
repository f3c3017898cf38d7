//! Call stacks by frame pointers, against the chain of calls that the program itself records.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use memtrace::{
    profile::{StackEnd, StackSample},
    tracer::{TracerOptions, UnwindMode},
};

use crate::{
    numbers::Fixed,
    support::{Outcome, options, program},
};

/// Chains by the size of the block at their end, innermost function first.
type Recorded = HashMap<u64, Vec<String>>;

/// By frame pointers alone.
fn frame_pointers() -> TracerOptions {
    TracerOptions { unwind: UnwindMode::FramePointer, ..options() }
}

/// The program with frame pointers, each function a call.
fn plain() -> PathBuf {
    program("stacks")
}

/// Runs a part of `programs/stacks.c`; what it recorded comes with it.
fn run(program: &Path, part: &str, options: &TracerOptions) -> (Outcome, Recorded) {
    let directory = tempfile::tempdir().expect("a directory");
    let output = directory.path().join("chains");
    let words = vec![program.to_str().expect("a UTF-8 path"), part];
    let command = Fixed { words, environment: Vec::new(), directory: directory.path(), output: &output };
    let outcome = command.run_traced(options);
    assert_eq!(outcome.status.code(), Some(0));
    assert_eq!(outcome.losses(), []);
    let lines = std::fs::read_to_string(&output).expect("the program's chains");
    let recorded = lines.lines().map(|line| {
        let mut words = line.split(' ').map(str::to_owned);
        (words.next().and_then(|size| size.parse().ok()).expect("a size"), words.collect())
    });
    (outcome, recorded.collect())
}

/// The one stack whose block has this size.
fn sample(outcome: &Outcome, size: u64) -> &StackSample {
    let of_size = |sample: &&StackSample| (sample.stats.allocated_blocks, sample.stats.allocated_bytes) == (1, size);
    outcome.profile.samples.iter().find(of_size).unwrap_or_else(|| panic!("no block of {size} bytes"))
}

/// Chains of 1 to 50 calls, in the main thread: every frame is there, in order, out to main and the C library's start,
/// and the stack counts as whole. (glibc leaves no zero at the end of the chain: that it is whole is known by the name of
/// its start function, which a stripped C library has in its debug file only.)
#[test]
fn stacks_of_every_depth_are_the_calls_of_the_program() {
    let (outcome, recorded) = run(&plain(), "chains", &frame_pointers());
    assert_eq!(recorded.len(), 50);
    for (size, chain) in &recorded {
        let sample = sample(&outcome, *size);
        let functions = outcome.functions(sample);
        assert!(functions.len() > chain.len(), "{functions:?}");
        assert_eq!(functions[..chain.len()], chain[..]);
        let start_is_named = functions.last().is_some_and(|name| name != "?");
        assert_eq!(sample.end == StackEnd::Whole, start_is_named, "{functions:?}");
    }
}

/// `--max-frames` keeps the innermost frames, and marks the stacks that had more.
#[test]
fn stacks_are_cut_at_the_limit_and_marked() {
    let (outcome, recorded) = run(&plain(), "chains", &TracerOptions { max_frames: 20, ..frame_pointers() });
    // Chains that differ only beyond the limit are one stack.
    let mut expected = HashMap::<Vec<String>, (u64, u64)>::new();
    for (size, chain) in recorded.iter().filter(|(_, chain)| chain.len() >= 20) {
        let stack = expected.entry(chain[..20].to_vec()).or_default();
        *stack = (stack.0 + 1, stack.1 + size);
    }
    let cut = outcome.profile.samples.iter().filter(|sample| sample.end == StackEnd::Truncated);
    let stats = |sample: &StackSample| (sample.stats.allocated_blocks, sample.stats.allocated_bytes);
    let found: HashMap<_, _> = cut.map(|sample| (outcome.functions(sample), stats(sample))).collect();
    let short = |stack: &Vec<String>| !expected.contains_key(stack);
    // Those with main as 19th frame are cut within what starts main.
    let beyond_main: Vec<_> = found.keys().filter(|stack| short(stack)).collect();
    assert!(beyond_main.iter().all(|stack| stack.contains(&"main".to_owned())), "{beyond_main:?}");
    for (stack, stats) in &expected {
        assert_eq!(found.get(stack), Some(stats), "{stack:?}");
    }
}

/// A single frame is the caller.
#[test]
fn one_frame_is_the_caller() {
    let (outcome, _) = run(&plain(), "chains", &TracerOptions { max_frames: 1, ..frame_pointers() });
    let blocks: Vec<_> = outcome.profile.samples.iter().filter(|s| outcome.functions(s) == ["leaf"]).collect();
    assert_eq!(blocks.iter().map(|sample| sample.stats.allocated_blocks).sum::<u64>(), 50);
    assert!(blocks.iter().all(|sample| sample.end == StackEnd::Truncated));
}

/// A recursion 300 deep is cut at 127 frames, the innermost, and marked.
#[test]
fn a_deep_recursion_is_cut_at_127_frames() {
    let (outcome, recorded) = run(&plain(), "recurse", &frame_pointers());
    let sample = sample(&outcome, 7000);
    assert!(recorded[&7000].len() > 300);
    assert_eq!(outcome.functions(sample), recorded[&7000][..127]);
    assert_eq!(sample.end, StackEnd::Truncated);
    assert!(outcome.profile.coverage().truncated > 0.99);
}

/// Stacks of another thread reach its start: right at the top of its stack and further down.
#[test]
fn stacks_of_threads_are_whole() {
    let (outcome, recorded) = run(&plain(), "thread", &frame_pointers());
    for size in [4000, 4001] {
        let sample = sample(&outcome, size);
        let functions = outcome.functions(sample);
        let chain = &recorded[&size];
        assert_eq!(functions[..chain.len()], chain[..]);
        assert_eq!(sample.end, StackEnd::Whole, "{functions:?}");
    }
}

/// A stack that ends where the mapped memory ends, as coroutines have: what lies on it is there.
#[test]
fn a_stack_at_the_end_of_mapped_memory_is_read() {
    let (outcome, recorded) = run(&plain(), "switched", &frame_pointers());
    assert_eq!(outcome.functions(sample(&outcome, 5000))[..1], recorded[&5000][..]);
}

/// The caller is there even if it keeps no frame pointer, alone or in a program of such functions.
#[test]
fn the_caller_is_never_lost() {
    let mixed = plain();
    let without = program("stacks-without-frame-pointers");
    for program in [&mixed, &without] {
        let (outcome, _) = run(program, "without_frame_pointer", &frame_pointers());
        assert_eq!(outcome.functions(sample(&outcome, 6000))[0], "without_frame_pointer");
    }
    let (outcome, _) = run(&without, "chains", &frame_pointers());
    let leaf = outcome.profile.samples.iter().filter(|sample| outcome.functions(sample)[0] == "leaf");
    assert_eq!(leaf.map(|sample| sample.stats.allocated_blocks).sum::<u64>(), 50);
}
