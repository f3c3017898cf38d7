//! Mappings of a command as they happen, from perf events (`perf_event_open(2)`, record types MMAP2, COMM, EXIT).
//!
//! A command that lives for two milliseconds is gone before `/proc/PID/maps` could be read. The kernel writes each of
//! its executable mappings into a ring buffer, which is read when there is time. One event and one buffer for each
//! CPU: an event that threads and children inherit cannot have a buffer otherwise.

#![expect(unsafe_code, reason = "borrowing the descriptor of a perf ring")]

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
        unix::ffi::OsStringExt,
    },
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use perf_event::{Builder, Clock, SampleFlag, Sampler, data::Record, events::Software};
use thiserror::Error;

/// Bytes of each CPU's ring: some 3,000 mappings, of some 200 processes that begin.
const RING_BYTES: usize = 512 << 10;

/// `PERF_RECORD_MISC_COMM_EXEC` in `include/uapi/linux/perf_event.h`: the new name comes from an exec.
const MISC_COMM_EXEC: u16 = 1 << 13;

/// Code was mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapEvent {
    /// The process.
    pub pid: u32,
    /// First address.
    pub address: u64,
    /// Bytes.
    pub length: u64,
    /// Offset in the file of the first address, in bytes.
    pub file_offset: u64,
    /// Device of the file.
    pub device: u64,
    /// Inode number; 0 when no file is mapped.
    pub inode: u64,
    /// Path as the process sees it, or a pseudo name as `[vdso]` or `//anon`.
    pub name: OsString,
}

/// Something that changes what is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MappingEvent {
    /// Code was mapped.
    Map(MapEvent),
    /// The process replaced its program: all its mappings are gone.
    Exec {
        /// The process.
        pid: u32,
    },
    /// A thread exited.
    Exit {
        /// The process.
        pid: u32,
        /// The thread.
        tid: u32,
    },
}

/// The kernel does not give us the events.
#[derive(Debug, Error)]
#[error("cannot watch the mappings of {}: {source}", whom(*.pid))]
pub struct MappingEventsError {
    /// The process; `None` for all.
    pub pid: Option<u32>,
    /// What the kernel said.
    pub source: io::Error,
}

impl MappingEventsError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self.source.raw_os_error() {
            Some(libc::EACCES | libc::EPERM) => {
                "run memtrace as root, or give it CAP_PERFMON (CAP_SYS_ADMIN where kernel.perf_event_paranoid is above 2)"
            }
            Some(libc::EMFILE | libc::ENFILE) => "raise the limit of open files: ulimit -n 65536",
            Some(libc::ENOSYS | libc::ENOENT | libc::EOPNOTSUPP) => "the kernel needs CONFIG_PERF_EVENTS",
            _ => "try again; if it stays so, report it with the kernel's version",
        }
    }
}

/// Events of a process, its threads and its children from now on.
///
/// Its [`AsFd`] becomes readable when there are events, for tokio's `AsyncFd`.
pub struct MappingEvents {
    rings: Vec<Sampler>,
    ready: Epoll,
    lost: u64,
}

impl MappingEvents {
    /// Watches a process that has one thread and no children yet; those that exist already are not seen.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open(pid: u32) -> Result<Self, MappingEventsError> {
        Self::open_for(Some(pid))
    }

    /// Watches all processes of the machine.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn open_all() -> Result<Self, MappingEventsError> {
        Self::open_for(None)
    }

    fn open_for(pid: Option<u32>) -> Result<Self, MappingEventsError> {
        let error = |source| MappingEventsError { pid, source };
        let ready = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|errno| error(errno.into()))?;
        let mut rings = Vec::new();
        for cpu in online_cpus().map_err(error)? {
            let ring = open_ring(pid, cpu).map_err(error)?;
            // SAFETY: the descriptor belongs to the ring, which lives at least as long as this borrow.
            let descriptor = unsafe { BorrowedFd::borrow_raw(ring.as_raw_fd()) };
            ready.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(|errno| error(errno.into()))?;
            rings.push(ring);
        }
        Ok(Self { rings, ready, lost: 0 })
    }

    /// Takes the events that have arrived, in the order they happened.
    pub fn drain(&mut self) -> Vec<MappingEvent> {
        self.drain_timed().into_iter().map(|(_, event)| event).collect()
    }

    /// The same, each with the time at which it happened, in nanoseconds of `CLOCK_MONOTONIC`.
    pub fn drain_timed(&mut self) -> Vec<(u64, MappingEvent)> {
        let mut timed = Vec::new();
        for ring in &mut self.rings {
            while let Some(record) = ring.next_record() {
                let time = time_of(&record.to_contiguous());
                let exec = record.misc() & MISC_COMM_EXEC != 0;
                match record.parse_record() {
                    Ok(Record::Lost(lost)) => self.lost += lost.lost,
                    Ok(parsed) => timed.extend(event_of(parsed, exec).map(|event| (time, event))),
                    Err(_) => self.lost += 1,
                }
            }
        }
        timed.sort_by_key(|(time, _)| *time);
        timed
    }

    /// Events that found no room in a ring, or could not be read, since the last call.
    pub const fn take_lost(&mut self) -> u64 {
        std::mem::replace(&mut self.lost, 0)
    }
}

impl AsFd for MappingEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.0.as_fd()
    }
}

impl AsRawFd for MappingEvents {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl std::fmt::Debug for MappingEvents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("MappingEvents")
            .field("rings", &self.rings.len())
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}

fn whom(pid: Option<u32>) -> String {
    pid.map_or_else(|| "all processes".into(), |pid| format!("process {pid}"))
}

fn open_ring(pid: Option<u32>, cpu: usize) -> io::Result<Sampler> {
    let mut builder = Builder::new(Software::DUMMY);
    match pid {
        Some(pid) => builder.observe_pid(libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::InvalidInput)?),
        None => builder.any_pid(),
    };
    let mut ring = builder
        .one_cpu(cpu)
        .inherit(pid.is_some())
        .mmap(true)
        .mmap2(true)
        .comm(true)
        .comm_exec(true)
        .task(true)
        // The only field of the trailer of every record: see `time_of`.
        .sample_id_all(true)
        .sample(SampleFlag::TIME)
        // The clock of the BPF programs' events.
        .clockid(Clock::MONOTONIC)
        .wakeup_watermark(1)
        .build()?
        .sampled(RING_BYTES)?;
    ring.enable()?;
    Ok(ring)
}

/// With `sample_id_all` and only `SampleFlag::TIME`, each record ends with the time.
fn time_of(record: &[u8]) -> u64 {
    record.last_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

fn event_of(record: Record<'_>, exec: bool) -> Option<MappingEvent> {
    Some(match record {
        Record::Mmap2(map) => MappingEvent::Map(MapEvent {
            pid: map.pid,
            address: map.addr,
            length: map.len,
            file_offset: map.pgoff,
            device: libc::makedev(map.maj()?, map.min()?),
            inode: map.ino()?,
            name: {
                // Names are padded with zeros to a multiple of eight bytes.
                let length = map.filename.iter().position(|byte| *byte == 0).unwrap_or(map.filename.len());
                OsString::from_vec(map.filename[..length].to_vec())
            },
        }),
        Record::Comm(comm) if exec => MappingEvent::Exec { pid: comm.pid },
        Record::Exit(exit) => MappingEvent::Exit { pid: exit.pid, tid: exit.tid },
        _ => return None,
    })
}

fn online_cpus() -> io::Result<Vec<usize>> {
    let list = fs::read_to_string("/sys/devices/system/cpu/online")?;
    parse_cpu_list(list.trim()).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unexpected list of CPUs"))
}

/// A list as `0-3,8` (Documentation/admin-guide/cputopology.rst).
fn parse_cpu_list(list: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cpus.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cpus)
}

#[cfg(test)]
#[path = "mapping_events_tests.rs"]
mod tests;
