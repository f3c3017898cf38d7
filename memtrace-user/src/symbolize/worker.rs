//! The thread that owns the symbolizer, and its replacement when it is stuck.

use std::{
    collections::HashMap,
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{Answer, Detail, FileId, Query, Shared, engine::Engine, lock};
use crate::profile::Location;

/// Debug information is let go after so long without a request for lines.
const IDLE: Duration = Duration::from_secs(20);

/// Stack of the thread in bytes, only used as far as needed: debug information is a tree that is walked recursively.
const STACK_BYTES: usize = 64 << 20;

/// A request.
#[derive(Debug)]
pub struct Job {
    /// What to name.
    pub queries: Vec<Query>,
    /// How thoroughly.
    pub detail: Detail,
    /// Where the answers go.
    pub reply: oneshot::Sender<Vec<Answer>>,
}

/// The owner's side of the thread.
#[derive(Debug)]
pub struct Worker {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
    generation: u64,
}

impl Worker {
    /// Starts the thread.
    pub fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (jobs, received) = channel();
        let of_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("symbols".into())
            .stack_size(STACK_BYTES)
            .spawn(move || serve(&received, &of_thread))?;
        Ok(Self { jobs, shared, generation: 0 })
    }

    /// Hands over a request and returns the [`Self::generation`] that has got it. When the thread has ended, the
    /// request is dropped, which its asker sees.
    pub fn send(&self, job: Job) -> u64 {
        let _ = self.jobs.send(job);
        self.generation
    }

    /// How often the thread has been replaced.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Leaves the thread to itself and starts another one, which will not touch the file that the old one is at. The
    /// old one ends when it gets out of that file.
    pub fn replace(&mut self) -> io::Result<()> {
        let mut given_up = lock(&self.shared.given_up).clone();
        given_up.extend(*lock(&self.shared.current));
        let debug_dirs = self.shared.debug_dirs.clone();
        let next = Self::start(Arc::new(Shared { given_up: given_up.into(), debug_dirs, ..Shared::default() }))?;
        *self = Self { generation: self.generation + 1, ..next };
        Ok(())
    }
}

fn serve(jobs: &Receiver<Job>, shared: &Shared) {
    let mut engine = Engine::new(shared.debug_dirs.clone());
    loop {
        match jobs.recv_timeout(IDLE) {
            // Nobody waits any more for the answer of a request that has timed out.
            Ok(job) if job.reply.is_closed() => {}
            Ok(job) => {
                let answers = answer(&mut engine, shared, &job.queries, job.detail);
                let _ = job.reply.send(answers);
            }
            Err(RecvTimeoutError::Timeout) => engine.forget_lines(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Answers file by file, so that each file's tables are looked at once.
fn answer(engine: &mut Engine, shared: &Shared, queries: &[Query], detail: Detail) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(queries.len());
    let mut by_file: HashMap<FileId, (&File, Vec<Location>)> = HashMap::new();
    for Query { location, file } in queries {
        match file.as_deref().and_then(|file| Some((FileId::of(file).ok()?, file))) {
            Some((id, file)) => by_file.entry(id).or_insert_with(|| (file, Vec::new())).1.push(*location),
            None => answers.push((*location, Arc::default())),
        }
    }
    for (id, (file, locations)) in by_file {
        answers.extend(answer_file(engine, shared, id, file, &locations, detail));
    }
    answers
}

fn answer_file(
    engine: &mut Engine,
    shared: &Shared,
    id: FileId,
    file: &File,
    locations: &[Location],
    detail: Detail,
) -> Vec<Answer> {
    match guarded(shared, id, || engine.symbolize(id, file, locations, detail)) {
        Outcome::Done(frames) => return locations.iter().copied().zip(frames).collect(),
        // A symbolizer that panicked half-way is in no known state.
        Outcome::Failed => *engine = Engine::new(shared.debug_dirs.clone()),
        Outcome::GivenUp => {}
    }
    locations.iter().map(|location| (*location, Arc::default())).collect()
}

/// What came of work on a file.
#[derive(Debug, PartialEq, Eq)]
enum Outcome<T> {
    /// It went well.
    Done(T),
    /// It panicked, and the file is given up from now on.
    Failed,
    /// The file had been given up before.
    GivenUp,
}

/// Does work on an untrusted file, once at most if it fails badly.
fn guarded<T>(shared: &Shared, id: FileId, work: impl FnOnce() -> T) -> Outcome<T> {
    if lock(&shared.given_up).contains(&id) {
        return Outcome::GivenUp;
    }
    *lock(&shared.current) = Some(id);
    let result = catch_unwind(AssertUnwindSafe(work));
    *lock(&shared.current) = None;
    result.map_or_else(
        |_| {
            log::warn!(
                "reading the symbols of a file failed badly (device {}, inode {}); no names from it",
                id.0,
                id.1
            );
            lock(&shared.given_up).insert(id);
            Outcome::Failed
        },
        Outcome::Done,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A panic over one file costs that file's names and nothing else.
    #[test]
    fn panic_gives_up_one_file() {
        let shared = Shared::default();
        let (bad, good) = (FileId(1, 2), FileId(1, 3));
        assert_eq!(guarded(&shared, bad, || -> u8 { panic!("hostile file") }), Outcome::Failed);
        assert_eq!(guarded(&shared, bad, || 1), Outcome::GivenUp);
        assert_eq!(guarded(&shared, good, || 1), Outcome::Done(1));
        assert_eq!(*lock(&shared.current), None);
    }
}
