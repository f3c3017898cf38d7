//! Looks now and then what tracing costs, and keeps it within the budget of `--max-overhead`.

use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior};

use super::{
    Session, Update,
    budget::{Budget, Verdict, Window},
    budget_words::{Change, too_dear},
    family::{Family, Member},
    meter::Spent,
    notes::Subject,
};
use crate::{
    process::cpu_time,
    profile::{Hits, ProcessTotals},
    tracer::{Choice, OverBudget, TracerOptions},
};

/// How often the cost is looked at, and with a budget.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_CLOSELY: Duration = Duration::from_millis(250);

/// A window is judged when so much CPU time has gone by, or so much time: a moment tells too little.
const ENOUGH_CPU: f64 = 0.1;
const ENOUGH_TIME: Duration = Duration::from_secs(2);

/// What tracing has cost, and what it may.
#[derive(Debug)]
pub(super) struct Spending {
    looks: Interval,
    budget: Option<Budget>,
    /// When the window began that is being looked at, and what was spent then.
    since: Instant,
    before: (Spent, Duration),
    /// CPU time of the process before tracing, or before it was begun anew.
    earlier: Duration,
    /// It has been said that tracing costs too much.
    told: bool,
}

impl Spending {
    pub(super) fn new(options: &TracerOptions) -> Self {
        let base = Choice::of(options).base();
        let mut looks = tokio::time::interval(if options.max_overhead.is_some() { LOOK_CLOSELY } else { LOOK_EVERY });
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            looks,
            budget: options.max_overhead.map(|most| Budget::new(most, base)),
            since: Instant::now(),
            before: (Spent::default(), Duration::ZERO),
            earlier: Duration::ZERO,
            told: false,
        }
    }

    /// Resolves when it is time to look. May be dropped at any await.
    pub(super) async fn next(&mut self) {
        let _when = self.looks.tick().await;
    }

    /// What is spent from now on is looked at.
    fn begin_window(&mut self, spent: Spent, cpu: Duration) {
        (self.since, self.before) = (Instant::now(), (spent, cpu));
    }
}

impl Session {
    /// What is counted begins anew, of a process that has had CPU time before.
    pub(super) fn count_anew(&mut self) {
        self.meter.forget();
        self.spending.earlier = cpu_time(self.info.pid).unwrap_or_default();
        self.spending.begin_window(Spent::default(), Duration::ZERO);
    }

    /// CPU time that the process of a slot has had; of one that is gone, that of its threads as they ended.
    pub(super) fn cpu_of(&self, pid: u32, exited: bool, slot: u32) -> Duration {
        let running = if exited { None } else { cpu_time(pid) };
        running.unwrap_or_else(|| self.tracer.ended_cpu_time(slot))
    }

    /// CPU time of a member, since what was recorded was forgotten if it was.
    pub(super) fn cpu_of_member(&self, member: &Member) -> Duration {
        let cpu = self.cpu_of(member.info.pid, member.info.exited, member.home);
        cpu.saturating_sub(member.earlier)
    }

    /// Adds the process's CPU time since tracing began.
    pub(super) fn add_cpu_time(&self, totals: &mut ProcessTotals) {
        let cpu = self.cpu_of(self.info.pid, self.info.exited, self.home).saturating_sub(self.spending.earlier);
        totals.cpu_nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
    }

    /// What `cargo xtask bench stated` reads of a traced command.
    pub(super) fn log_cost(&self, cpu_nanos: u64) {
        let cpu = Duration::from_nanos(cpu_nanos).as_secs_f64();
        log::debug!("probes took {:.4} s of {cpu:.4} s of CPU time", self.meter.spent().seconds());
    }

    /// Hits and CPU time of all processes so far.
    fn use_so_far(&self) -> (Hits, Duration) {
        let mut totals = ProcessTotals::default();
        let mut add = |hits: Hits, cpu: Duration| {
            totals.add(&ProcessTotals {
                entry_hits: hits.entries,
                return_hits: hits.returns,
                release_hits: hits.releases,
                cpu_nanos: u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX),
                ..ProcessTotals::default()
            });
        };
        let own = self.cpu_of(self.info.pid, self.info.exited, self.home);
        add(self.tracer.hits(self.slot), own.saturating_sub(self.spending.earlier));
        for member in self.family.iter().flat_map(Family::members) {
            match member {
                Member { locator: None, totals, .. } => add(totals.hits(), Duration::from_nanos(totals.cpu_nanos)),
                Member { slot, .. } => add(self.tracer.hits(*slot), self.cpu_of_member(member)),
            }
        }
        for totals in self.family.iter().flat_map(Family::folded_totals) {
            add(totals.hits(), Duration::from_nanos(totals.cpu_nanos));
        }
        (totals.hits(), Duration::from_nanos(totals.cpu_nanos))
    }

    /// Looks what tracing costs; an update where something is to be said of it.
    pub(super) fn look_at_cost(&mut self) -> Option<Update> {
        if self.slot == 0 {
            return None;
        }
        let (hits, cpu) = self.use_so_far();
        let spent = self.meter.count(&self.tracer, hits)?;
        self.spending.budget.as_ref()?;
        let (before, cpu_before) = self.spending.before;
        let window = Window {
            calls: (spent.calls - before.calls).max(0.0),
            returns: (spent.returns - before.returns).max(0.0),
            cpu: cpu.saturating_sub(cpu_before).as_secs_f64(),
        };
        if window.cpu < ENOUGH_CPU && self.spending.since.elapsed() < ENOUGH_TIME {
            return None;
        }
        self.spending.begin_window(spent, cpu);
        self.judge(&window)
    }

    fn judge(&mut self, window: &Window) -> Option<Update> {
        let (step, slot) = (self.tracer.step(), self.slot);
        let budget = self.spending.budget.as_mut()?;
        let (most, tracer) = (budget.most(), &mut self.tracer);
        let verdict = budget.judge(window, step, || tracer.mean_block(slot));
        log::debug!("cost of {window:?} at step {step}: {verdict:?}");
        match verdict {
            Verdict::Keep => None,
            Verdict::Step(next) => {
                self.tracer.set_step(next);
                self.meter.begin_sample(&self.tracer);
                let message = self.say_step(window.share(), most, step, next);
                Some(Update::Budget { message, ends: false })
            }
            Verdict::TooDear(calls) => self.say_too_dear(calls, most),
        }
    }

    /// Says how blocks are chosen from now on; the note stays in every report.
    fn say_step(&mut self, share: f64, most: f64, before: u64, next: u64) -> String {
        let mean = self.tracer.choice().mean(next).unwrap_or_default();
        let change = Change { share, most, before, next, mean, seconds: self.tracer.elapsed().as_secs() };
        self.notes.set(Subject::Budget, Some(change.note()));
        change.news()
    }

    /// Says, once, that the budget cannot be kept.
    fn say_too_dear(&mut self, calls: f64, most: f64) -> Option<Update> {
        if std::mem::replace(&mut self.spending.told, true) {
            return None;
        }
        let ends = self.tracer.options().over_budget == OverBudget::Stop;
        let what = too_dear(calls, most);
        self.notes.extend([if ends { format!("{what}: tracing has ended") } else { what.clone() }]);
        let message = if ends { format!("{what}: tracing ends (--over-budget warn goes on)") } else { what };
        Some(Update::Budget { message, ends })
    }
}
