//! What a session waits for, each as a future that never resolves while there is nothing to wait for.

use tokio::task::JoinHandle;

use super::Exit;
use crate::{process::MappingEvents, readable::Readable, tracer::FileTable};

/// Mapping events, and their descriptor to wait on.
pub(super) struct MappingSource {
    pub(super) events: MappingEvents,
    readable: Readable,
}

impl MappingSource {
    pub(super) fn new(events: MappingEvents) -> std::io::Result<Self> {
        Ok(Self { readable: Readable::of(&events)?, events })
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

/// Resolves when tables are built; never without any in the making.
pub(super) async fn built(building: Option<&mut JoinHandle<Vec<FileTable>>>) -> Vec<FileTable> {
    match building {
        Some(task) => task.await.unwrap_or_default(),
        None => std::future::pending().await,
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
