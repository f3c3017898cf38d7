//! A profile that is complete in itself: what a snapshot file holds, and what is ranked, compared and exported.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{AllocStats, Losses, Modules, ProcessInfo, ProcessTotals, Profile, StackSample, SymbolTable};

/// A profile of one or several processes with all names that are known.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// How and when it was taken.
    pub about: About,
    /// The traced processes; a sample names its own by [`super::ProcessIndex`].
    pub processes: Vec<TracedProcess>,
    /// The threads that are told apart; a sample names its own by [`super::ThreadIndex`].
    pub threads: Vec<TracedThread>,
    /// Files that the stacks refer to.
    pub modules: Modules,
    /// A record a call stack (of a process, a thread and a domain).
    pub samples: Vec<StackSample>,
    /// Functions and lines of the stacks' locations.
    pub symbols: SymbolTable,
}

/// How and when a snapshot was taken. What a file of another program does not tell is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    /// Program and version that took it, as `memtrace 0.1.0`.
    pub tool: Option<String>,
    /// Name of the machine.
    pub host: Option<String>,
    /// Its kernel release.
    pub kernel: Option<String>,
    /// Wall-clock time of the reading.
    pub taken_at: Option<SystemTime>,
    /// Time from the beginning of tracing to the reading.
    pub elapsed: Option<Duration>,
    /// What could not be recorded.
    pub losses: Losses,
    /// What the numbers cannot tell, as the file does not hold it; empty for our own.
    pub lacks: Vec<Lack>,
    /// Comments that mean nothing to memtrace, kept as they were.
    pub comments: Vec<String>,
}

/// A traced process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TracedProcess {
    /// Who it is.
    pub info: ProcessInfo,
    /// When it was started; tells processes of one id apart.
    pub started_at: Option<SystemTime>,
    /// Its counters, peak among them; `None` where the file does not tell.
    pub totals: Option<ProcessTotals>,
}

/// A traced thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TracedThread {
    /// Its id, as memtrace's own process id namespace counts; 0 when not known.
    pub tid: u32,
    /// Its name (`comm`).
    pub name: Arc<str>,
}

/// Something that a profile of another program does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Only live memory is known: allocated numbers repeat the live ones, freed ones are 0.
    Allocated,
    /// Only allocations are known: live numbers repeat the allocated ones.
    Live,
    /// Bytes alone are known: blocks are 0.
    Blocks,
    /// Blocks alone are known: bytes are 0.
    Bytes,
    /// Nothing says which process the samples are of.
    Process,
    /// Nothing says whether the stacks are whole.
    StackEnds,
    /// Some locations have no function name.
    Functions,
    /// No location has a source line.
    Lines,
}

impl Snapshot {
    /// The snapshot of one process's profile; `about` is completed with what the profile knows.
    #[must_use]
    pub fn of(profile: &Profile, symbols: &SymbolTable, about: About) -> Self {
        let about = About {
            taken_at: Some(profile.taken_at),
            elapsed: Some(profile.elapsed),
            losses: profile.losses.clone(),
            ..about
        };
        let process = TracedProcess { info: profile.process.clone(), started_at: None, totals: Some(profile.totals) };
        Self {
            about,
            processes: vec![process],
            threads: profile.threads.clone(),
            modules: profile.modules.clone(),
            samples: profile.samples.clone(),
            symbols: symbols.clone(),
        }
    }

    /// Sum over all samples.
    #[must_use]
    pub fn total(&self) -> AllocStats {
        self.samples.iter().map(|sample| sample.stats).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Scene;

    /// Taking a snapshot of a profile loses none of its bytes and blocks.
    #[test]
    fn snapshot_of_a_profile_keeps_its_sum() {
        let mut scene = Scene::default();
        scene.sample(&["a@app"], 3, 10, 1);
        scene.sample(&["b@app", "a@app"], 2, 5, 0);
        assert_eq!(scene.snapshot().total(), scene.profile().totals.stats);
        assert_eq!(scene.snapshot().total().live_bytes(), 30);
    }
}
