//! Names of code locations: functions, source lines, inlined calls. The only place that uses blazesym.
//!
//! Reading debug information takes from microseconds to seconds, and blazesym's symbolizer cannot leave its thread, so
//! a worker thread owns it and answers requests. Files are untrusted: a file that makes the worker panic, or keeps it
//! busy for too long, stays without names from then on, and everything else goes on.

mod debuginfod;
mod demangle;
mod engine;
mod fill;
mod interner;
mod local_files;
mod worker;

use std::{
    collections::HashSet,
    fs::File,
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

pub(crate) use self::demangle::demangle;
pub use self::{
    debuginfod::{Debuginfod, DebuginfodError},
    fill::{Filled, fill},
    local_files::{LocalFiles, NotFound, debug_file},
};
use crate::profile::{Frame, Location};

/// How long one request may take before its file is given up. The largest programs' debug information (gigabytes)
/// takes some ten seconds from a slow disk.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// How often a request is repeated, each time without the file that the last attempt was stuck at.
const MAX_ATTEMPTS: usize = 3;

/// How much to find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The name of the function: quick, and needs little memory.
    Names,
    /// Source lines and inlined functions too: reads debug information, so ask only for what is shown.
    Lines,
}

/// A location to be named.
#[derive(Debug, Clone)]
pub struct Query {
    /// Where; its offset is that of a return address, so the byte before it is looked up.
    pub location: Location,
    /// The location's file; without one there is no name.
    pub file: Option<Arc<File>>,
}

/// The frames of a location, innermost inlined function first and the physical function last; empty without a symbol.
pub type Answer = (Location, Arc<[Frame]>);

/// A running worker. Dropping it ends the worker after what it is doing.
#[derive(Debug)]
pub struct Symbolizer {
    worker: Mutex<worker::Worker>,
    timeout: Duration,
}

/// A file, whatever its name: device and inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct FileId(u64, u64);

impl FileId {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self(metadata.dev(), metadata.ino()))
    }
}

/// What the worker and its owner both see.
#[derive(Debug, Default)]
struct Shared {
    /// The file in work.
    current: Mutex<Option<FileId>>,
    /// Files that made a worker panic or hang.
    given_up: Mutex<HashSet<FileId>>,
    /// Where separate debug files are looked for; none for blazesym's own list.
    debug_dirs: Vec<PathBuf>,
}

impl Symbolizer {
    /// Starts the worker.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start() -> io::Result<Self> {
        Self::with_timeout(REQUEST_TIMEOUT, Vec::new())
    }

    /// The same, with the directories that separate debug files are looked for in.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn with_debug_dirs(debug_dirs: Vec<PathBuf>) -> io::Result<Self> {
        Self::with_timeout(REQUEST_TIMEOUT, debug_dirs)
    }

    fn with_timeout(timeout: Duration, debug_dirs: Vec<PathBuf>) -> io::Result<Self> {
        let worker = worker::Worker::start(Arc::new(Shared { debug_dirs, ..Shared::default() }))?;
        Ok(Self { worker: Mutex::new(worker), timeout })
    }

    /// Names locations; an answer for each query, in no order. Needs a tokio runtime with time.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn resolve(&self, queries: Vec<Query>, detail: Detail) -> Vec<Answer> {
        for _ in 0..MAX_ATTEMPTS {
            let (reply, answer) = oneshot::channel();
            let job = worker::Job { queries: queries.clone(), detail, reply };
            let asked = lock(&self.worker).send(job);
            match tokio::time::timeout(self.timeout, answer).await {
                Ok(Ok(answers)) => return answers,
                // The thread has ended, which only a failure outside its guarded part can cause.
                Ok(Err(_)) => log::warn!("the symbol thread has ended"),
                Err(_) => log::warn!("finding symbols took more than {:?}; the file is given up", self.timeout),
            }
            // Another request may have found out before this one and replaced it.
            let mut worker = lock(&self.worker);
            if worker.generation() == asked
                && let Err(error) = worker.replace()
            {
                log::error!("cannot start another symbol thread: {error}");
                break;
            }
        }
        queries.into_iter().map(|query| (query.location, Arc::default())).collect()
    }
}

/// Locks, also when another thread panicked while it held the lock: what is kept here is valid at every instant.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
