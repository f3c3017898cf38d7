//! The side of the memtrace that is tracing. Whatever a client does, or fails to do, only its own connection waits.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::unistd::geteuid;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    ControlError, directory,
    protocol::{Command, LONGEST_REQUEST, Reply},
};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: u32 = 32;

/// How long a client may take to say its line, and to take the reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long replies under way are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Something that a client asks for.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub command: Command,
    /// Where the answer goes; nobody may want it any more.
    pub reply: oneshot::Sender<Reply>,
}

/// An open control socket. Dropping it removes the socket.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    requests: mpsc::Receiver<Request>,
    connections: Arc<Semaphore>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Opens a socket for a traced process. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ControlError`] when there is no place for it.
    pub fn open(target: u32) -> Result<Self, ControlError> {
        let directory = directory::to_write()?;
        directory::sweep(&directory);
        let path = directory::own_socket(&directory, target);
        let listener = listen(&path).map_err(|source| ControlError::Socket { path: path.clone(), source })?;
        let (sender, requests) = mpsc::channel(1);
        let connections = Arc::new(Semaphore::new(CONNECTIONS as usize));
        let accepting = tokio::spawn(accept(listener, sender, Arc::clone(&connections)));
        Ok(Self { path, requests, connections, accepting })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next request. May be dropped at any await.
    pub async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            // The task that accepts never ends by itself.
            None => std::future::pending().await,
        }
    }

    /// Takes no more requests, and waits for a moment until replies have been written.
    pub async fn close(mut self) {
        self.requests.close();
        // It holds a place for the connection that it waits for.
        self.accepting.abort();
        while self.requests.try_recv().is_ok() {}
        let _late = timeout(FAREWELL, self.connections.acquire_many(CONNECTIONS)).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        let _gone = fs::remove_file(&self.path);
    }
}

/// The directory keeps others out already; the socket's own mode says it once more.
fn listen(path: &Path) -> io::Result<UnixListener> {
    // Of a memtrace that had this one's id.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept(listener: UnixListener, requests: mpsc::Sender<Request>, connections: Arc<Semaphore>) {
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let requests = requests.clone();
                drop(tokio::spawn(async move {
                    if let Err(error) = serve(stream, requests).await {
                        log::info!("control socket: {error}");
                    }
                    drop(permit);
                }));
            }
            Err(error) => {
                // Out of descriptors, most likely: they may come back.
                log::info!("control socket: {error}");
                tokio::time::sleep(FAREWELL).await;
            }
        }
    }
}

async fn serve(mut stream: UnixStream, requests: mpsc::Sender<Request>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != geteuid().as_raw() {
        return Err(io::Error::other(format!("user {peer} is not let in")));
    }
    let reply = match timeout(PATIENCE, read_request(&mut stream)).await.map_err(io::Error::from)?? {
        Ok(command) => perform(command, &requests).await,
        Err(message) => Reply::Failed { message, hint: Some("see docs/control-socket.md".to_owned()) },
    };
    let mut line = serde_json::to_vec(&reply).map_err(io::Error::other)?;
    line.push(b'\n');
    timeout(PATIENCE, stream.write_all(&line)).await.map_err(io::Error::from)?
}

/// One line; the inner error is what to tell the client.
async fn read_request(stream: &mut UnixStream) -> io::Result<Result<Command, String>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(LONGEST_REQUEST)).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        return Ok(Err(format!("a request is one line of at most {LONGEST_REQUEST} bytes")));
    }
    Ok(serde_json::from_slice(&line).map_err(|error| format!("no request: {error}")))
}

async fn perform(command: Command, requests: &mpsc::Sender<Request>) -> Reply {
    let (reply, answer) = oneshot::channel();
    if requests.send(Request { command, reply }).await.is_err() {
        return Reply::ended();
    }
    answer.await.unwrap_or_else(|_| Reply::ended())
}

impl Reply {
    /// Tracing has ended before it was done.
    #[must_use]
    pub fn ended() -> Self {
        Self::Failed { message: "tracing has ended".to_owned(), hint: None }
    }
}
