//! Waiting with tokio until a descriptor can be read.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use tokio::io::{Interest, unix::AsyncFd};

/// A second descriptor of an open file, to wait on while the file itself is used elsewhere.
#[derive(Debug)]
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Needs a running tokio runtime.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated or waited for.
    #[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
    pub fn of(file: &impl AsFd) -> io::Result<Self> {
        let descriptor = file.as_fd().try_clone_to_owned()?;
        // SAFETY: an `OwnedFd` always names the same open descriptor, and closes it only when dropped.
        unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map(Self).map_err(Into::into)
    }

    /// Resolves when there is, or was since the last call, something to read. Read until nothing is left before the
    /// next call. May be dropped at any time without losing anything.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub async fn wait(&self) -> io::Result<()> {
        // Before the file is read: what comes from here on makes it readable anew.
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}
