//! Programs as Debian ships them, without frame pointers, with blocks whose sizes are known.

use crate::support::{Outcome, options, run_traced};

/// Blocks of a size that no other block of the program has.
fn blocks_of(outcome: &Outcome, size: u64) -> u64 {
    let stats = outcome.profile.samples.iter().map(|sample| sample.stats);
    stats
        .filter(|stats| stats.allocated_bytes == stats.allocated_blocks * size)
        .map(|stats| stats.allocated_blocks)
        .sum()
}

/// `CPython`: each of a hundred `bytes` objects is a block of the length and 33 bytes, and all are freed but the last.
#[test]
fn python3() {
    let script = "for i in range(100): x = b'x' * 1000003\nimport os; os._exit(0)";
    let outcome = run_traced(&["/usr/bin/python3", "-S", "-c", script], &options());
    assert_eq!(outcome.status.code(), Some(0));
    assert_eq!(blocks_of(&outcome, 1_000_003 + 33), 100);
    let usage = outcome.usage();
    assert!(usage.freed.1 >= 99 * 1_000_036, "{usage:?}");
    assert!(outcome.profile.totals.current_bytes >= 1_000_036);
    assert_eq!(outcome.losses(), []);
}
