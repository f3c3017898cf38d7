//! What a session waits for, each as a future that never resolves while there is nothing to wait for.

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, sleep_until},
};

use super::{Exit, attach::AttachError};
use crate::{process::MappingEvents, readable::Readable};

/// Time between two looks at how full the store of new stacks is.
const STACK_PERIOD: Duration = Duration::from_millis(50);

/// When to look.
pub(super) fn stack_ticks() -> Interval {
    let mut ticks = tokio::time::interval(STACK_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Mapping events, and their descriptor to wait on.
pub(super) struct MappingSource {
    pub(super) events: MappingEvents,
    readable: Readable,
}

impl MappingSource {
    /// Of a command that has not begun yet, and of what it starts: those that end soon cannot be asked.
    pub(super) fn of_command(pid: u32) -> Result<Self, AttachError> {
        Self::new(MappingEvents::open(pid)?)
    }

    /// Of all processes.
    pub(super) fn of_all() -> Result<Self, AttachError> {
        Self::new(MappingEvents::open_all()?)
    }

    fn new(events: MappingEvents) -> Result<Self, AttachError> {
        Ok(Self { readable: Readable::of(&events)?, events })
    }
}

/// Stacks that met code which the walker does not know yet, and when it is worth while to look again what is mapped.
pub(super) struct CopySource {
    readable: Readable,
    pause: Duration,
    not_before: Instant,
}

impl CopySource {
    /// Between two looks; doubled up to [`Self::LONGEST`] while they find nothing, as with a compiler at run time.
    const SHORTEST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_millis(200);

    pub(super) fn new(readable: Readable) -> Self {
        Self { readable, pause: Self::SHORTEST, not_before: Instant::now() }
    }

    /// The mappings have been looked at.
    pub(super) fn looked(&mut self, found_new: bool) {
        self.pause = if found_new { Self::SHORTEST } else { (self.pause * 2).min(Self::LONGEST) };
        self.not_before = Instant::now() + self.pause;
    }
}

/// Resolves when stacks met unknown code, and it is time to look again; never without a source.
pub(super) async fn unknown_code(source: Option<&CopySource>) {
    let Some(source) = source else { return std::future::pending().await };
    sleep_until(source.not_before).await;
    if let Err(error) = source.readable.wait().await {
        log::warn!("copies of stacks: {error}");
        std::future::pending::<()>().await;
    }
}

/// Resolves when mapping events are there; never without a source of them.
pub(super) async fn mappings_ready(source: Option<&MappingSource>) {
    let Some(source) = source else { return std::future::pending().await };
    if let Err(error) = source.readable.wait().await {
        log::warn!("mapping events: {error}");
        std::future::pending::<()>().await;
    }
}

/// Resolves when there is something to read; never without a source.
pub(super) async fn readable(source: Option<&Readable>) {
    let Some(source) = source else { return std::future::pending().await };
    if let Err(error) = source.wait().await {
        log::warn!("code of Python: {error}");
        std::future::pending::<()>().await;
    }
}

/// Resolves when a sweep is done; never without one.
pub(super) async fn swept(sweeping: Option<&mut JoinHandle<()>>) {
    match sweeping {
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

/// Resolves when the process has ended; never once that is known.
pub(super) async fn ended(exit: Option<&mut Exit>) {
    match exit {
        Some(exit) => exit.await,
        None => std::future::pending().await,
    }
}
