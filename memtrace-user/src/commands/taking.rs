//! Takes snapshots while tracing goes on: at intervals, when asked, and at the end.

use std::{
    fs,
    future::pending,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Interval, MissedTickBehavior, interval_at},
};

use super::{
    numbered::{Numbered, default_name, directory_of},
    stream::{say, tell},
};
use crate::{
    cli::OutputArgs,
    profile::{Profile, Snapshot},
    report::units,
    session::{Finder, Progress, Session, Unfinished},
    snapshot::{self, SnapshotError},
};

/// Snapshots that are being written at a time, each with all its call stacks in memory.
const AT_ONCE: usize = 4;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Why a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It was time.
    Interval,
    /// Somebody asked.
    Request,
}

/// What became of a snapshot.
#[derive(Debug)]
pub struct Written {
    /// The file.
    pub path: PathBuf,
    /// Whether it is there.
    pub result: Result<(), SnapshotError>,
    cause: Cause,
}

/// Where whoever asked is told.
pub type Tell = oneshot::Sender<Result<PathBuf, String>>;

/// What happens by itself.
#[derive(Debug)]
pub enum TakingEvent {
    /// It is time for the next numbered file.
    Due,
    /// A file was written, or could not be.
    Written(Written),
}

/// The snapshots of one session.
#[derive(Debug)]
pub struct Taking {
    pid: u32,
    output: Option<PathBuf>,
    with_symbols: bool,
    numbered: Option<Numbered>,
    timer: Option<Interval>,
    finder: Finder,
    jobs: JoinSet<Written>,
}

impl Taking {
    /// As the command line has it. Needs a tokio runtime.
    #[must_use]
    pub fn new(pid: u32, arguments: &OutputArgs) -> Self {
        let timer = arguments.every.map(|period| {
            let mut timer = interval_at(tokio::time::Instant::now() + period, period);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            timer
        });
        let keep = arguments.keep.and_then(|keep| usize::try_from(keep).ok());
        Self {
            pid,
            numbered: arguments.output.as_ref().map(|output| Numbered::beside(output, keep)),
            output: arguments.output.clone(),
            with_symbols: !arguments.no_symbols,
            timer,
            finder: Finder::default(),
            jobs: JoinSet::new(),
        }
    }

    /// Finds lines for what is not a snapshot.
    #[must_use]
    pub fn finder(&self) -> Finder {
        self.finder.clone()
    }

    /// Waits for what happens by itself. May be dropped at any await.
    pub async fn next(&mut self) -> TakingEvent {
        let Self { timer, jobs, .. } = self;
        let due = async {
            match timer {
                Some(timer) => timer.tick().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = due => TakingEvent::Due,
            Some(Ok(written)) = jobs.join_next() => TakingEvent::Written(written),
        }
    }

    /// Takes the snapshot that is due. While an earlier one is being written, it is left out, and said so.
    pub fn take_due(&mut self, session: &mut Session) {
        let Some(path) = self.numbered.as_mut().map(Numbered::next) else { return };
        if !self.jobs.is_empty() {
            log::warn!("{} is left out: the snapshot before it is still being written", path.display());
            return;
        }
        self.write(session.take_snapshot(), path, Cause::Interval, None);
    }

    /// Takes a snapshot now: into `file`, else into the next numbered one, else into one named by process and time.
    ///
    /// # Errors
    /// When too many are being written.
    pub fn take(&mut self, session: &mut Session, file: Option<PathBuf>, tell: Option<Tell>) -> anyhow::Result<()> {
        if self.jobs.len() >= AT_ONCE {
            let message = format!("{AT_ONCE} snapshots are being written: this one is not taken");
            if let Some(tell) = tell {
                let _gone = tell.send(Err(message.clone()));
            }
            bail!(message);
        }
        let numbered = &mut self.numbered;
        let path = file
            .or_else(|| numbered.as_mut().map(Numbered::next))
            .unwrap_or_else(|| default_name(self.pid, SystemTime::now()));
        self.write(session.take_snapshot(), path, Cause::Request, tell);
        Ok(())
    }

    fn write(&mut self, unfinished: Unfinished, path: PathBuf, cause: Cause, tell: Option<Tell>) {
        let (finder, with_symbols) = (self.finder.clone(), self.with_symbols);
        self.jobs.spawn(async move {
            let progress = watch::Sender::new(Progress::default());
            let snapshot = complete(&finder, unfinished, with_symbols, &progress, pending()).await;
            let result = write(path.clone(), snapshot).await;
            if let Some(tell) = tell {
                let told = result.as_ref().map(|()| path.clone()).map_err(ToString::to_string);
                let _gone = tell.send(told);
            }
            Written { path, result, cause }
        });
    }

    /// What is to be said of a file that was written, or not. Removes the oldest of `--keep`.
    pub fn note(&mut self, written: Written) -> String {
        match written.result {
            Ok(()) => {
                let message = format!("snapshot in {}", written.path.display());
                if let (Cause::Interval, Some(numbered)) = (written.cause, &mut self.numbered) {
                    numbered.written(written.path);
                }
                message
            }
            Err(error) => format!("no snapshot: {error}"),
        }
    }

    /// Waits for what is being written and writes the last snapshot, if one is wanted. When `hurry` resolves, lines are no
    /// longer looked up.
    ///
    /// # Errors
    /// When the last one cannot be written.
    pub async fn finish(mut self, last: Unfinished, hurry: impl Future<Output = ()>) -> anyhow::Result<()> {
        while let Some(written) = self.jobs.join_next().await {
            let Ok(written) = written else { continue };
            let message = self.note(written);
            say(&message);
        }
        let Some(output) = &self.output else { return Ok(()) };
        write_last(&self.finder, last, self.with_symbols, output, hurry).await
    }
}

/// Completes and writes one snapshot, with a line of progress on a terminal.
///
/// # Errors
/// When it cannot be written.
pub async fn write_last(
    finder: &Finder,
    last: Unfinished,
    with_symbols: bool,
    output: &Path,
    hurry: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let progress = watch::Sender::new(Progress::default());
    let snapshot = {
        let completing = complete(finder, last, with_symbols, &progress, hurry);
        tokio::pin!(completing);
        loop {
            tokio::select! {
                snapshot = &mut completing => break snapshot,
                () = tokio::time::sleep(TELL_EVERY) => tell_progress(*progress.borrow()),
            }
        }
    };
    erase_progress();
    let stacks = units::counted(snapshot.samples.len() as u64, "call stack");
    write(output.to_owned(), snapshot).await?;
    if output != Path::new("-") {
        say(&format!("snapshot in {}: {stacks}", output.display()));
    }
    Ok(())
}

async fn complete(
    finder: &Finder,
    unfinished: Unfinished,
    with_symbols: bool,
    progress: &watch::Sender<Progress>,
    hurry: impl Future<Output = ()>,
) -> Snapshot {
    if with_symbols { finder.complete(unfinished, progress, hurry).await } else { unfinished.without_symbols() }
}

async fn write(path: PathBuf, snapshot: Snapshot) -> Result<(), SnapshotError> {
    let work = move || snapshot::write_file(&path, &snapshot);
    // A panic of the writer is none of the reader's making: it goes on.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// The snapshot that is written at the end: with the numbers of the last report, where there is one.
pub fn last_snapshot(session: &mut Session, reported: Option<&Profile>) -> Unfinished {
    match reported {
        Some(profile) => session.snapshot_of(profile),
        None => session.take_snapshot(),
    }
}

/// That the file of `-o` can be: better said before than after an hour of tracing.
///
/// # Errors
/// With what is in the way.
pub fn check(arguments: &OutputArgs) -> anyhow::Result<()> {
    let Some(output) = arguments.output.as_deref().filter(|output| *output != Path::new("-")) else { return Ok(()) };
    let directory = directory_of(output);
    let found = fs::metadata(&directory).with_context(|| format!("no snapshot can be in {}", directory.display()))?;
    if !found.is_dir() {
        bail!("no snapshot can be in {}: it is no directory", directory.display());
    }
    if output.is_dir() {
        bail!("no snapshot can be {}: it is a directory", output.display());
    }
    Ok(())
}

fn tell_progress(progress: Progress) {
    if io::stderr().is_terminal() && progress.all > 0 {
        tell(&format!("\r\x1b[Kmemtrace: looking up lines: {} of {} places", progress.done, progress.all));
    }
}

fn erase_progress() {
    if io::stderr().is_terminal() {
        tell("\r\x1b[K");
    }
}
