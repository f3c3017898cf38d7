//! Sampling by bytes: the estimates of a real program's sums.

use memtrace::{profile::Interval, tracer::TracerOptions};

use crate::support::{every_way, program, run_traced};

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
