//! Enlarges the table of live blocks in time, on a thread of its own: whatever else memtrace is busy with, a program
//! that allocates fast leaves it some hundred milliseconds.

use std::{
    io,
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aya::maps::{MapData, RingBuf};

use super::{live_table::LiveTable, watcher::Watcher};

/// Starts the thread on the ring in which BPF programs tell that a segment fills.
///
/// # Errors
/// When descriptors or threads are short.
pub fn keep(mut ring: RingBuf<MapData>, table: Arc<Mutex<LiveTable>>) -> io::Result<Watcher> {
    let descriptor = ring.as_fd().try_clone_to_owned()?;
    Watcher::start("live table", descriptor, Duration::ZERO, move || {
        while ring.next().is_some() {}
        make_room(&table);
    })
}

fn make_room(table: &Mutex<LiveTable>) {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = table.make_room() {
        log::warn!("cannot enlarge the table of live blocks beyond {}: {error}", table.capacity());
    }
}
