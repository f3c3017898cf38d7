//! What tests of exactness share: numbers of a profile side by side, processes that are attached to, and commands with
//! their environment, directory and output fixed.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use memtrace::{
    profile::{AllocStats, StackSample},
    session::{self, Update},
    tracer::TracerOptions,
};

use crate::support::{Outcome, Running, run_traced, runtime};

/// Blocks and bytes.
pub type Amount = (u64, u64);

/// What was allocated and what of it was freed.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct Use {
    pub allocated: Amount,
    pub freed: Amount,
}

impl From<AllocStats> for Use {
    fn from(stats: AllocStats) -> Self {
        Self {
            allocated: (stats.allocated_blocks, stats.allocated_bytes),
            freed: (stats.freed_blocks, stats.freed_bytes),
        }
    }
}

impl Outcome {
    /// Everything that the process allocated.
    pub fn usage(&self) -> Use {
        self.profile.totals.stats.into()
    }

    /// What was allocated in a function or in what it called. (Functions of the C library have many names: the last
    /// part of the name is enough.)
    pub fn usage_below(&self, function: &str) -> Use {
        let called = |sample: &&StackSample| self.functions(sample).iter().any(|name| name.ends_with(function));
        let samples = self.profile.samples.iter().filter(called);
        samples.map(|sample| sample.stats).sum::<AllocStats>().into()
    }

    /// What was allocated by a function itself.
    pub fn usage_by(&self, function: &str) -> Use {
        let calls = |sample: &&StackSample| self.functions(sample).first().is_some_and(|name| name == function);
        self.profile.samples.iter().filter(calls).map(|sample| sample.stats).sum::<AllocStats>().into()
    }

    /// Names of a stack's functions, innermost first; `?` for one without a name.
    pub fn functions(&self, sample: &StackSample) -> Vec<String> {
        let frames = sample.stack.iter().map(|location| self.symbols.frames(*location).last());
        frames.map(|frame| frame.and_then(|frame| frame.function.as_deref()).unwrap_or("?").to_owned()).collect()
    }

    /// Losses by reason, for messages and comparisons.
    pub fn losses(&self) -> Vec<(&'static str, u64)> {
        self.profile.losses.iter().map(|(reason, count)| (reason.name(), count)).collect()
    }

    /// That the sums over call stacks and the counters of the process tell the same.
    pub fn assert_consistent(&self) {
        let totals = &self.profile.totals;
        assert_eq!(totals.current_bytes, totals.stats.live_bytes(), "current bytes and the sum over call stacks");
        assert!(totals.peak_bytes >= totals.current_bytes);
    }
}

/// Starts a program that prints a line when it is ready to be traced and goes on after a byte from its stdin; traces
/// it from there to its end. After an exec it gets another byte.
pub fn run_attached(words: &[&str], options: &TracerOptions) -> Outcome {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running(command.spawn().expect("the program starts"));
    let mut line = [0; 6];
    running.0.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("the program gets ready");
    assert_eq!(&line, b"ready\n");
    let (profile, symbols) = runtime().block_on(async {
        let mut session = session::attach(running.pid(), options).expect("the program is traced");
        go_on(&mut running.0);
        let mut last = None;
        loop {
            match session.next(&BTreeSet::new()).await.expect("events arrive") {
                Update::Reading { profile, symbols } => last = Some((profile, symbols)),
                Update::Ended => break last.expect("a last reading"),
                Update::Exec => go_on(&mut running.0),
                _ => {}
            }
        }
    });
    Outcome { profile: Arc::clone(&profile), symbols, status: running.0.wait().expect("the program ends") }
}

fn go_on(child: &mut Child) {
    child.stdin.as_mut().expect("a pipe").write_all(b"x").expect("the program listens");
}

/// A command whose every input is fixed.
pub struct Fixed<'a> {
    pub words: Vec<&'a str>,
    pub environment: Vec<(String, OsString)>,
    pub directory: &'a Path,
    /// Where its standard output goes. Its input is empty.
    pub output: &'a Path,
}

impl Fixed<'_> {
    /// Runs it under tracing. The programs that set it up run first in the same process; the numbers are those of the
    /// last program, since each `exec` begins anew.
    pub fn run_traced(&self, options: &TracerOptions) -> Outcome {
        let text = |path: &Path| path.to_str().expect("a UTF-8 path").to_owned();
        let mut words = ["/bin/sh", "-c", r#"exec "$@" </dev/null >"$0" 2>/dev/null"#].map(str::to_owned).to_vec();
        words.extend([text(self.output), "/usr/bin/env".into(), "-i".into(), "-C".into(), text(self.directory)]);
        let assign = |(name, value): &(String, OsString)| format!("{name}={}", value.to_str().expect("UTF-8"));
        words.extend(self.environment.iter().map(assign));
        words.extend(self.words.iter().map(|&word| word.to_owned()));
        run_traced(&words.iter().map(String::as_str).collect::<Vec<_>>(), options)
    }
}
