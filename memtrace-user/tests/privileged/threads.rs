//! Many threads that allocate, reallocate, and free each other's blocks.

use crate::{
    numbers::Use,
    support::{options, program, run_traced},
};

const THREADS: u64 = 8;

/// Rounds of a thread; `MEMTRACE_TEST_ROUNDS` sets another number, 1,000,000 being what memtrace promises.
const ROUNDS: u64 = 200_000;

/// Eight threads that free each other's blocks: counts and bytes are exact, nothing is live at the end, nothing lost.
#[test]
fn blocks_freed_by_other_threads_are_exact() {
    expect_exact(&[]);
}

/// The same with up to 2^20 blocks at once: the table of live blocks grows amid the calls, and thousands of blocks find
/// their first buckets full.
#[test]
fn blocks_are_exact_while_their_table_grows() {
    expect_exact(&["20"]);
}

fn expect_exact(options_of_program: &[&str]) {
    let rounds = std::env::var("MEMTRACE_TEST_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    println!("{THREADS} threads, {rounds} rounds each");
    let (program, words) = (program("threads"), rounds.to_string());
    let command = [&[program.to_str().expect("a UTF-8 path"), &words], options_of_program].concat();
    let outcome = run_traced(&command, &options());
    assert!(outcome.status.success());
    assert_eq!(outcome.losses(), []);
    // A round allocates twice, malloc's block and the one that realloc makes of it, and both are freed.
    let bytes: u64 = THREADS * (0..rounds).map(|i| (16 + i % 61) + (32 + i % 127)).sum::<u64>();
    let all = (2 * rounds * THREADS, bytes);
    // Only the threads' own blocks: the C library's, for the threads themselves, are its affair. (So are the frees of
    // unknown blocks: at a thread's end glibc passes what lies in the thread's cache to `free` once more.)
    assert_eq!(outcome.usage_below("exchange_blocks"), Use { allocated: all, freed: all });
    outcome.assert_consistent();
}
