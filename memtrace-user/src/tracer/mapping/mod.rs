//! The mmap domain: memory that processes map by themselves.
//!
//! BPF programs on the few system calls concerned tell each change (`memtrace_common::mapping`), and the ranges are kept
//! here, as BPF cannot: a mapping may be split, moved, covered and given back in parts. Such calls are rare, so there is
//! an event for each; one that is lost is counted, and the ranges are then set right by `/proc/PID/maps`.

mod ledger;
mod programs;
mod space;
mod tracepoints;

use std::{
    os::fd::AsFd as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aya::{Ebpf, maps::RingBuf};
use memtrace_common::loss;

use self::{ledger::Ledger, programs::Programs};
pub use self::{ledger::MappedStats, space::MappedRange};
use super::{error::TracerError, object, setup::mapped, watcher::Watcher};

/// Between two times that events are taken out while there are many.
const REST: Duration = Duration::from_millis(50);

/// The programs, their events, and what is made of them.
pub struct MappingDomain {
    ledger: Arc<Mutex<Ledger>>,
    _watcher: Watcher,
}

impl MappingDomain {
    /// Attaches the programs. Takes a map out of the object: after programs are loaded.
    ///
    /// # Errors
    /// [`TracerError`] with what is missing or was refused.
    pub fn attach(ebpf: &mut Ebpf, may_use_trampolines: bool) -> Result<Self, TracerError> {
        let setup = TracerError::setup("mmap domain");
        let programs = Programs::attach(ebpf, may_use_trampolines)?;
        let losses = mapped::<u64>(ebpf, "LOSSES", loss::COUNT)?;
        let map = ebpf.take_map("MAPPING_EVENTS").ok_or_else(|| setup("no map `MAPPING_EVENTS`".into()))?;
        let ring = RingBuf::try_from(map).map_err(|error| setup(Box::new(error)))?;
        let descriptor = ring.as_fd().try_clone_to_owned().map_err(|error| setup(Box::new(error)))?;
        let ledger = Arc::new(Mutex::new(Ledger::new(ring, losses, programs, object::short_life_ticks())));
        let kept = Arc::clone(&ledger);
        let work = move || kept.lock().unwrap_or_else(PoisonError::into_inner).update();
        let watcher = Watcher::start("mappings", descriptor, REST, work).map_err(|error| setup(Box::new(error)))?;
        Ok(Self { ledger, _watcher: watcher })
    }

    /// Whether every system call of every process is slowed down.
    pub fn slows_all_calls(&self) -> bool {
        self.ledger().slows_all_calls()
    }

    /// The ranges and counters. Events wait meanwhile.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
