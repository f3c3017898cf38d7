//! The side of whoever asks.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    time::timeout,
};

use super::{
    ControlError,
    directory::{self, Entry},
    protocol::{Answer, Command, LONGEST_REPLY, Reply},
};

/// How long a memtrace may take to accept. (What was asked for may take as long as it takes.)
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the memtrace that traces a process; `tracer` names one where several do. Needs a tokio runtime.
///
/// # Errors
/// [`ControlError::NotTraced`], [`ControlError::Several`], [`ControlError::Refused`] with its words.
pub async fn ask(target: u32, tracer: Option<u32>, command: &Command) -> Result<Answer, ControlError> {
    let (entry, stream) = connect(target, tracer).await?;
    let failed = |source| ControlError::Socket { path: entry.path.clone(), source };
    let mut line = serde_json::to_vec(command).map_err(|error| failed(io::Error::other(error)))?;
    line.push(b'\n');
    let reply = exchange(stream, &line).await.map_err(failed)?;
    let nonsense =
        |error: serde_json::Error| ControlError::NoAnswer { tracer: entry.tracer, reason: error.to_string() };
    match serde_json::from_slice(&reply).map_err(nonsense)? {
        Reply::Done(answer) => Ok(answer),
        Reply::Failed { message, hint } => Err(ControlError::Refused { message, hint }),
    }
}

/// Sockets that nobody listens on are those of memtraces that were killed.
async fn connect(target: u32, tracer: Option<u32>) -> Result<(Entry, UnixStream), ControlError> {
    let wanted = |entry: &Entry| entry.target == target && tracer.is_none_or(|tracer| tracer == entry.tracer);
    let mut open = Vec::new();
    for entry in directory::entries().into_iter().filter(wanted) {
        match timeout(PATIENCE, UnixStream::connect(&entry.path)).await.unwrap_or_else(|late| Err(late.into())) {
            Ok(stream) => open.push((entry, stream)),
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
            Err(source) => return Err(ControlError::Socket { path: entry.path, source }),
        }
    }
    match open.pop() {
        None => Err(ControlError::NotTraced(target)),
        Some(only) if open.is_empty() => Ok(only),
        Some(last) => {
            let tracers = open.iter().chain([&last]).map(|(entry, _)| entry.tracer).collect();
            Err(ControlError::Several { pid: target, tracers })
        }
    }
}

async fn exchange(mut stream: UnixStream, line: &[u8]) -> io::Result<Vec<u8>> {
    timeout(PATIENCE, stream.write_all(line)).await.map_err(io::Error::from)??;
    let mut reply = Vec::new();
    BufReader::new(stream.take(LONGEST_REPLY)).read_until(b'\n', &mut reply).await?;
    Ok(reply)
}
