//! A thread that looks after a ring buffer.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the thread, which does its work whenever there is something in the ring, and then not for some time.
    ///
    /// # Errors
    /// When descriptors or threads are short.
    pub fn start(
        name: &'static str,
        ring: OwnedFd,
        rest: Duration,
        mut work: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let stopped = Arc::clone(&stop);
        let keep = move || {
            while wait(name, Some(&ring), &stopped, PollTimeout::NONE) {
                work();
                let time = PollTimeout::try_from(rest).unwrap_or(PollTimeout::ZERO);
                if !rest.is_zero() && !wait(name, None, &stopped, time) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name(name.into()).spawn(keep)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let told = self.stop.write(1).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| told) {
            let _panicked = thread.join();
        }
    }
}

/// Waits until there is something in the ring, or the time is over; `false` when it is time to end.
fn wait(name: &str, ring: Option<&OwnedFd>, stop: &EventFd, time: PollTimeout) -> bool {
    loop {
        let stop = PollFd::new(stop.as_fd(), PollFlags::POLLIN);
        let mut files = vec![stop];
        files.extend(ring.map(|ring| PollFd::new(ring.as_fd(), PollFlags::POLLIN)));
        match poll(&mut files, time) {
            Ok(_) if files[0].any() == Some(true) => return false,
            Ok(_) => return true,
            Err(Errno::EINTR) => {}
            Err(error) => {
                log::error!("the thread `{name}` ends: {error}");
                return false;
            }
        }
    }
}
