//! The budget of `--max-overhead`: which blocks are recorded, so that tracing costs no more than it may.
//!
//! What can be saved are returns: an entry is trapped whatever is chosen, and so is a free. So where returns cost too much,
//! fewer blocks are chosen; where entries and frees alone do, nothing is left to save.

use memtrace_common::steps;

/// Windows in a row that must agree before tracing is said to be too dear, and before more is recorded again.
const DEAR: u32 = 3;
const CALM: u32 = 8;

/// What a new step aims at, as a share of the budget: what comes next may allocate more.
const AIM: f64 = 0.85;

/// Returns that cost this part of what entries and frees do are not worth fewer samples.
const NEGLIGIBLE: f64 = 0.1;

/// Steps that more is recorded by at a time: four times as many samples.
const FINER: u64 = 2;

/// What tracing has cost for a while.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// Seconds that entries and frees have cost.
    pub calls: f64,
    /// Seconds that returns have cost.
    pub returns: f64,
    /// CPU time of the process in seconds, the probes' included.
    pub cpu: f64,
}

impl Window {
    /// The share of the CPU time that tracing has taken.
    #[must_use]
    pub fn share(&self) -> f64 {
        let spent = self.calls + self.returns;
        spent / self.cpu.max(spent).max(f64::MIN_POSITIVE)
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Blocks are to be chosen by this step from now on.
    Step(u64),
    /// Entries and frees alone take this share of the CPU time, which is more than tracing may.
    TooDear(f64),
}

/// Watches over a budget.
#[derive(Debug)]
pub struct Budget {
    most: f64,
    base: u64,
    dear: u32,
    calm: u32,
}

impl Budget {
    /// Of at most this share of the CPU time, with steps from `base` on.
    #[must_use]
    pub const fn new(most: f64, base: u64) -> Self {
        Self { most, base, dear: 0, calm: 0 }
    }

    /// The most that tracing may cost.
    #[must_use]
    pub const fn most(&self) -> f64 {
        self.most
    }

    /// Judges by what has been. `mean_block` tells how many bytes a block has on average; it is asked only where needed.
    pub fn judge(&mut self, window: &Window, step: u64, mean_block: impl FnOnce() -> f64) -> Verdict {
        let cpu = window.cpu.max(window.calls + window.returns).max(f64::MIN_POSITIVE);
        let (calls, returns) = (window.calls / cpu, window.returns / cpu);
        if calls + returns <= self.most {
            self.dear = 0;
            return self.finer(calls, returns, step);
        }
        self.calm = 0;
        let left = AIM.mul_add(self.most, -calls);
        let is_settled = step != steps::ALL && returns <= NEGLIGIBLE * calls || step == steps::last(self.base);
        if is_settled {
            self.dear += 1;
            return if self.dear >= DEAR && calls > self.most { Verdict::TooDear(calls) } else { Verdict::Keep };
        }
        self.dear = 0;
        let aim = if left > 0.0 { left } else { NEGLIGIBLE / 2.0 * calls };
        Verdict::Step(self.coarser(returns / aim, step, mean_block))
    }

    /// The step at which so many times fewer blocks are chosen.
    fn coarser(&self, fewer: f64, step: u64, mean_block: impl FnOnce() -> f64) -> u64 {
        // From all blocks on, a block is chosen with a probability of at most its size over the mean distance.
        let now = if step == steps::ALL { mean_block() } else { mean(self.base, step) };
        let wanted = now * fewer;
        let enough = (step + 1..steps::last(self.base)).find(|step| mean(self.base, *step) >= wanted);
        enough.unwrap_or_else(|| steps::last(self.base))
    }

    /// More is recorded again when that has been affordable for a while. Never all: what was not chosen stays unknown.
    fn finer(&mut self, calls: f64, returns: f64, step: u64) -> Verdict {
        let factor = f64::from(1_u32 << FINER);
        if step <= FINER || returns.mul_add(factor, calls) > AIM * self.most {
            self.calm = 0;
            return Verdict::Keep;
        }
        self.calm += 1;
        if self.calm < CALM {
            return Verdict::Keep;
        }
        self.calm = 0;
        Verdict::Step(step - FINER)
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most 2^28")]
const fn mean(base: u64, step: u64) -> f64 {
    steps::mean(base, step) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = steps::LEAST_BASE;

    /// A process that calls at an even rate: what it costs at a step, in shares of its CPU time.
    struct Load {
        calls: f64,
        all_returns: f64,
        block: f64,
    }

    impl Load {
        fn window(&self, step: u64) -> Window {
            let chosen = if step == steps::ALL { 1.0 } else { -(-self.block / mean(BASE, step)).exp_m1() };
            Window { calls: self.calls, returns: self.all_returns * chosen, cpu: 1.0 }
        }

        /// The step after so many windows, and whether it was too dear.
        fn run(&self, budget: &mut Budget, mut step: u64, windows: usize) -> (u64, bool) {
            let mut too_dear = false;
            for _ in 0..windows {
                match budget.judge(&self.window(step), step, || self.block) {
                    Verdict::Keep => {}
                    Verdict::Step(to) => step = to,
                    Verdict::TooDear(_) => too_dear = true,
                }
            }
            (step, too_dear)
        }
    }

    /// What costs less than it may is recorded as a whole, for ever.
    #[test]
    fn cheap_processes_are_recorded_exactly() {
        let load = Load { calls: 0.02, all_returns: 0.028, block: 100.0 };
        assert_eq!(load.run(&mut Budget::new(0.05, BASE), steps::ALL, 100), (steps::ALL, false));
    }

    /// Where returns make the difference, one change of step leads below the budget, with as many samples as it allows.
    #[test]
    fn one_step_leads_below_the_budget() {
        for block in [16.0, 100.0, 5000.0, 300_000.0] {
            let load = Load { calls: 0.03, all_returns: 0.05, block };
            let (step, too_dear) = load.run(&mut Budget::new(0.05, BASE), steps::ALL, 1);
            let Window { calls, returns, .. } = load.window(step);
            assert!(!too_dear && step > 0 && calls + returns <= 0.05, "{block}: step {step}, {returns}");
            assert_eq!(load.run(&mut Budget::new(0.05, BASE), steps::ALL, 100), (step, false), "it stays there");
            if block > 4096.0 {
                assert!(returns > 0.25 * (0.05 - calls), "{block}: step {step} wastes samples, {returns}");
            }
        }
    }

    /// Where the calls' own traps are too dear, that is said; samples are not given up for nothing.
    #[test]
    fn traps_alone_may_be_too_dear() {
        let load = Load { calls: 0.3, all_returns: 0.3, block: 100.0 };
        let (step, too_dear) = load.run(&mut Budget::new(0.05, BASE), steps::ALL, 10);
        assert!(too_dear && step < steps::last(BASE), "step {step}");
        let burst = load.run(&mut Budget::new(0.05, BASE), steps::ALL, 2);
        assert!(!burst.1, "a short burst is no reason to end");
    }

    /// When a burst is over, more is recorded again, step by step, and it does not swing to and fro.
    #[test]
    fn more_is_recorded_after_a_burst() {
        let mut budget = Budget::new(0.05, BASE);
        let burst = Load { calls: 0.04, all_returns: 0.4, block: 4000.0 };
        let (coarse, _) = burst.run(&mut budget, steps::ALL, 10);
        let calm = Load { calls: 0.01, all_returns: 0.1, block: 4000.0 };
        let (finer, too_dear) = calm.run(&mut budget, coarse, 100);
        assert!(0 < finer && finer < coarse && !too_dear, "{finer}, after {coarse}");
        assert_eq!(calm.run(&mut budget, finer, 100).0, finer);
    }

    /// A window without any CPU time or hits changes nothing.
    #[test]
    fn idle_processes_are_left_alone() {
        let mut budget = Budget::new(0.05, BASE);
        assert_eq!(budget.judge(&Window::default(), steps::ALL, || 0.0), Verdict::Keep);
    }
}
