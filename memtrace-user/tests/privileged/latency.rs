//! How long a user waits: from the command to the first number, and from Ctrl-C to the shell's prompt.
//!
//! The goals, on a quiet machine and with the release build, are 0.5 s and 0.3 s. What is asserted here only tells a
//! wait that has got out of hand: the machine is shared. `--nocapture` shows the figures.

use std::time::{Duration, Instant};

use crate::{binary::Attached, support::program, target::Target};

const FAR_TOO_LONG: Duration = Duration::from_secs(3);

/// Attaching to busy threads, and leaving them, takes a moment.
#[test]
fn attaching_and_detaching_take_a_moment() {
    let target = Target::start(program("hammer"));
    let mut best = (FAR_TOO_LONG, FAR_TOO_LONG);
    for _ in 0..3 {
        let start = Instant::now();
        // Reports come every 50 ms, the first number with the second reading: 50 ms of this are the reader's choice.
        let memtrace = Attached::to(target.pid());
        let attached = start.elapsed();
        let start = Instant::now();
        assert!(memtrace.interrupt().allocated_blocks() > 0);
        let detached = start.elapsed();
        println!("first number after {attached:?}, detached after {detached:?}");
        best = (best.0.min(attached), best.1.min(detached));
    }
    assert!(best.0 < FAR_TOO_LONG && best.1 < FAR_TOO_LONG, "{best:?}");
}
