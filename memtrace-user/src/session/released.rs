//! What a process holds when it ends goes with it: while others of its family run, that is live no more. Only when all of
//! them have ended, the numbers are of what each held at its end.

use crate::profile::{ProcessTotals, StackSample, TracedProcess, some_run};

/// Makes live no more what processes held that have ended, if others run; the first is `own`, that by which the session is
/// named. Returns the sum of all.
pub(super) fn release(
    own_exited: bool,
    own: &mut ProcessTotals,
    others: &mut [TracedProcess],
    samples: &mut [StackSample],
) -> ProcessTotals {
    if some_run(own_exited, others) {
        let mut exited = vec![own_exited];
        exited.extend(others.iter().map(|process| process.info.exited));
        let others = others.iter_mut().map(|process| process.totals.get_or_insert_default());
        for (totals, _) in std::iter::once(&mut *own).chain(others).zip(&exited).filter(|(_, exited)| **exited) {
            *totals = totals.released();
        }
        for sample in samples {
            if exited.get(sample.process.0 as usize) == Some(&true) {
                sample.stats = sample.stats.released();
            }
        }
    }
    let mut sum = *own;
    for process in others {
        sum.add(&process.totals.unwrap_or_default());
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{AllocStats, CallStack, Domain, ProcessIndex, ProcessInfo, StackEnd};

    const HELD: AllocStats = AllocStats {
        allocated_blocks: 3,
        allocated_bytes: 30,
        freed_blocks: 1,
        freed_bytes: 10,
        short_lived_blocks: 0,
        allocated_variance: 5,
        freed_variance: 1,
    };

    fn totals() -> ProcessTotals {
        ProcessTotals { current_bytes: 20, peak_bytes: 25, stats: HELD, ..ProcessTotals::default() }
    }

    fn other(exited: bool) -> TracedProcess {
        let info = ProcessInfo { exited, ..ProcessInfo::default() };
        TracedProcess { info, totals: Some(totals()), ..TracedProcess::default() }
    }

    fn sample(process: u32) -> StackSample {
        StackSample {
            stack: CallStack::from([]),
            end: StackEnd::Whole,
            domain: Domain::Malloc,
            process: ProcessIndex(process),
            thread: None,
            stats: HELD,
        }
    }

    /// Live bytes of the sum, and of each sample.
    fn live(own_exited: bool, others: &[bool]) -> (u64, Vec<u64>) {
        let mut others: Vec<_> = others.iter().copied().map(other).collect();
        let mut samples: Vec<_> = (0..=u32::try_from(others.len()).unwrap()).map(sample).collect();
        let sum = release(own_exited, &mut totals(), &mut others, &mut samples);
        assert_eq!(sum.current_bytes, sum.stats.live_bytes());
        assert_eq!(sum.stats.allocated_bytes, 30 * samples.len() as u64);
        assert_eq!(samples.iter().map(|sample| sample.stats).sum::<AllocStats>(), sum.stats);
        (sum.current_bytes, samples.iter().map(|sample| sample.stats.live_bytes()).collect())
    }

    /// What has ended holds nothing while anybody runs, whoever that is; at the end of all, each has what it held.
    #[test]
    fn what_has_ended_holds_nothing() {
        assert_eq!(live(false, &[true, false]), (40, vec![20, 0, 20]));
        assert_eq!(live(true, &[true, false]), (20, vec![0, 0, 20]));
        assert_eq!(live(true, &[true, true]), (60, vec![20, 20, 20]));
        assert_eq!(live(true, &[]), (20, vec![20]));
    }
}
