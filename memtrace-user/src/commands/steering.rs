//! What reaches a session from outside while it traces: requests on its control socket, and what is due.

use std::{future::pending, path::PathBuf};

use tokio::sync::{oneshot, watch};

use super::stream::say;
use super::taking::{Taking, TakingEvent};
use crate::{
    cli::OutputArgs,
    control::{Answer, Block, Command, Reply, Request, Server, Status},
    report::{escape::escape, frames::location_lines},
    session::{Finder, FoundBlock, OrderError, Progress, Session, Unfinished},
};

/// Control socket and snapshots of one session.
#[derive(Debug)]
pub struct Steering {
    server: Option<Server>,
    taking: Taking,
}

/// Something that reaches the session.
#[derive(Debug)]
pub enum Steer {
    /// A client asks.
    Request(Request),
    /// A snapshot is due, or written.
    Taking(TakingEvent),
}

/// What the loop around the session has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing.
    Nothing,
    /// To tell the user.
    Say(String),
    /// To end.
    Stop,
}

impl Outcome {
    /// Says what there is to say on standard error. Whether the loop goes on.
    #[must_use]
    pub fn goes_on(self) -> bool {
        if let Self::Say(message) = &self {
            say(message);
        }
        self != Self::Stop
    }
}

impl Steering {
    /// Opens the control socket; without one, tracing goes on all the same. Needs a tokio runtime.
    #[must_use]
    pub fn new(pid: u32, arguments: &OutputArgs) -> Self {
        let server = Server::open(pid)
            .inspect_err(|error| log::warn!("`memtrace ctl` and `memtrace where` will not find this memtrace: {error}"))
            .inspect(|server| log::info!("control socket {}", server.path().display()))
            .ok();
        Self { server, taking: Taking::new(pid, arguments) }
    }

    /// Waits for what reaches the session next. May be dropped at any await.
    pub async fn next(&mut self) -> Steer {
        let Self { server, taking } = self;
        let request = async {
            match server {
                Some(server) => server.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            request = request => Steer::Request(request),
            event = taking.next() => Steer::Taking(event),
        }
    }

    /// Does it.
    pub fn handle(&mut self, steer: Steer, session: &mut Session) -> Outcome {
        match steer {
            Steer::Taking(TakingEvent::Due) => {
                self.taking.take_due(session);
                Outcome::Nothing
            }
            Steer::Taking(TakingEvent::Written(written)) => Outcome::Say(self.taking.note(written)),
            Steer::Request(Request { command, reply }) => self.obey(command, reply, session),
        }
    }

    /// Takes a snapshot because the user asks: a key, or SIGUSR1.
    pub fn take(&mut self, session: &mut Session) -> Outcome {
        match self.taking.take(session, None, None) {
            Ok(()) => Outcome::Nothing,
            Err(error) => Outcome::Say(error.to_string()),
        }
    }

    fn obey(&mut self, command: Command, reply: oneshot::Sender<Reply>, session: &mut Session) -> Outcome {
        match command {
            Command::Snapshot { file } => self.snapshot(file, reply, session),
            Command::Clear => answer(reply, ordered(session.clear(), Answer::Cleared)),
            Command::ResetPeak => answer(reply, ordered(session.reset_peak(), Answer::PeakReset)),
            Command::Where { address } => {
                answer(reply, find(session.find_block(address), self.taking.finder()));
            }
            Command::Status => {
                let _gone = reply.send(Reply::Done(Answer::Status(status(session))));
            }
            Command::Stop => {
                let _gone = reply.send(Reply::Done(Answer::Stopping));
                return Outcome::Stop;
            }
        }
        Outcome::Nothing
    }

    fn snapshot(&mut self, file: PathBuf, reply: oneshot::Sender<Reply>, session: &mut Session) {
        if !file.is_absolute() {
            let _gone = reply.send(failed(format!("{} is no absolute path", file.display())));
            return;
        }
        let (tell, told) = oneshot::channel();
        // The reply says it, too.
        let _refused = self.taking.take(session, Some(file), Some(tell));
        answer(reply, async {
            match told.await {
                Ok(Ok(file)) => Reply::Done(Answer::Snapshot { file }),
                Ok(Err(message)) => failed(message),
                Err(_) => Reply::ended(),
            }
        });
    }

    /// Ends: waits for what is being written, and writes the last snapshot where one is wanted. When `hurry` resolves, its
    /// lines are no longer looked up.
    ///
    /// # Errors
    /// When the last snapshot cannot be written.
    pub async fn finish(self, last: Unfinished, hurry: impl Future<Output = ()>) -> anyhow::Result<()> {
        let result = self.taking.finish(last, hurry).await;
        if let Some(server) = self.server {
            server.close().await;
        }
        result
    }
}

/// Answers beside the loop.
fn answer(reply: oneshot::Sender<Reply>, work: impl Future<Output = Reply> + Send + 'static) {
    drop(tokio::spawn(async move {
        let _gone = reply.send(work.await);
    }));
}

fn failed(message: String) -> Reply {
    Reply::Failed { message, hint: None }
}

async fn ordered(done: oneshot::Receiver<Result<(), OrderError>>, answer: Answer) -> Reply {
    match done.await {
        Ok(Ok(())) => Reply::Done(answer),
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => Reply::ended(),
    }
}

async fn find(found: oneshot::Receiver<Result<Option<FoundBlock>, OrderError>>, finder: Finder) -> Reply {
    match found.await {
        Ok(Ok(Some(block))) => Reply::Done(Answer::Block(Some(describe(block, &finder).await))),
        Ok(Ok(None)) => Reply::Done(Answer::Block(None)),
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => Reply::ended(),
    }
}

/// A block as it is shown, the lines of its stack looked up.
pub async fn describe(block: FoundBlock, finder: &Finder) -> Block {
    let progress = watch::Sender::new(Progress::default());
    let snapshot = finder.complete(block.stack, &progress, pending()).await;
    let sample = snapshot.samples.first();
    let stack = sample.into_iter().flat_map(|sample| sample.stack.iter());
    let thread = sample.and_then(|sample| sample.thread).and_then(|index| snapshot.threads.get(index.0 as usize));
    Block {
        address: block.address,
        size: block.size,
        age_seconds: block.age.map(|age| age.as_secs_f64()),
        thread: thread.map(|thread| format!("{} ({})", escape(&thread.name), thread.tid)),
        stack: stack.flat_map(|at| location_lines(*at, &snapshot.symbols, &snapshot.modules)).collect(),
    }
}

fn status(session: &mut Session) -> Status {
    let profile = session.peek();
    Status {
        pid: profile.process.pid,
        command: escape(&profile.process.command).into_owned(),
        ended: profile.process.exited,
        tracer: std::process::id(),
        elapsed_seconds: profile.elapsed.as_secs_f64(),
        live_bytes: profile.totals.current_bytes,
        live_blocks: profile.totals.stats.live_blocks(),
        peak_bytes: profile.totals.peak_bytes,
        allocated_bytes: profile.totals.stats.allocated_bytes,
        allocated_blocks: profile.totals.stats.allocated_blocks,
        stacks: profile.samples.len(),
        losses: profile.losses.total(),
    }
}
