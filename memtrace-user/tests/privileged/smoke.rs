//! The main job, end to end.

use crate::support::{options, program, run_traced};

/// A command is traced from its first allocation to its end, and every number is what its source says.
#[test]
fn a_command_is_traced_from_first_to_last() {
    let program = program("simple");
    let outcome = run_traced(&[program.to_str().expect("a UTF-8 path")], &options());
    assert!(outcome.status.success());
    let totals = &outcome.profile.totals;
    assert_eq!(totals.stats.allocated_blocks, 100 + 1);
    assert_eq!(totals.stats.allocated_bytes, 100 * 1000 + 5);
    assert_eq!((totals.stats.freed_blocks, totals.stats.freed_bytes), (50, 50 * 1000));
    assert_eq!(totals.current_bytes, 50 * 1000 + 5);
    assert_eq!(totals.peak_bytes, 100 * 1000);
    assert_eq!(outcome.profile.losses.total(), 0);
}
