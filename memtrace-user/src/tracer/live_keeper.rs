//! Enlarges the table of live blocks in time, on a thread of its own: whatever else memtrace is busy with, a program
//! that allocates fast leaves it some hundred milliseconds.

use std::{
    io,
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use aya::maps::{MapData, RingBuf};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::live_table::LiveTable;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub struct LiveKeeper {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl LiveKeeper {
    /// Starts the thread on the ring in which BPF programs tell that a segment fills.
    ///
    /// # Errors
    /// When descriptors or threads are short.
    pub fn start(mut ring: RingBuf<MapData>, table: Arc<Mutex<LiveTable>>) -> io::Result<Self> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let stopped = Arc::clone(&stop);
        let keep = move || {
            while wait(&ring, &stopped) {
                while ring.next().is_some() {}
                make_room(&table);
            }
        };
        let thread = thread::Builder::new().name("live table".into()).spawn(keep)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for LiveKeeper {
    fn drop(&mut self) {
        let told = self.stop.write(1).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| told) {
            let _panicked = thread.join();
        }
    }
}

/// Waits until there is something in the ring; `false` when it is time to end.
fn wait(ring: &RingBuf<MapData>, stop: &EventFd) -> bool {
    loop {
        let mut files = [PollFd::new(stop.as_fd(), PollFlags::POLLIN), PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
        match poll(&mut files, PollTimeout::NONE) {
            Ok(_) if files[0].any() == Some(true) => return false,
            Ok(_) => return true,
            Err(Errno::EINTR) => {}
            Err(error) => {
                log::error!("the table of live blocks will not grow any more: {error}");
                return false;
            }
        }
    }
}

fn make_room(table: &Mutex<LiveTable>) {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = table.make_room() {
        log::warn!("cannot enlarge the table of live blocks beyond {}: {error}", table.capacity());
    }
}
