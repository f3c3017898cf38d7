//! Loads the BPF programs, places probes, and reads the maps. The only place that uses aya.

#[cfg(feature = "bpf-log")]
mod bpf_log;
mod btf;
mod choice;
mod confined;
mod cost;
mod eras;
mod error;
mod events;
mod everyone;
mod features;
pub mod flow;
mod free_ranges;
mod kernel_functions;
mod kernel_types;
mod known_files;
mod links;
mod live_blocks;
mod live_growth;
mod live_keeper;
mod live_table;
mod load;
mod mapped;
mod mapping;
mod mapping_lists;
mod object;
mod options;
mod plan;
pub mod probe_point;
mod probes;
mod python;
mod python_codes;
mod read;
mod reading;
mod setup;
mod slots;
mod stack_copy;
mod statistics;
mod syscall;
mod table_memory;
mod ticks;
mod unwind_store;
mod watcher;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Instant,
};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use memtrace_common::process::{NO_SLOT, Target};

pub use self::{
    btf::thread_pointer,
    choice::Choice,
    cost::{CostMeasurement, ProgramRuns, RunStatistics, Runs, TrapCost},
    error::TracerError,
    events::{EventKind, Events, TracerEvent},
    everyone::{ExecRules, Share, Shares},
    features::{
        BPF, Capability, MultiLinks, PERFMON, SYS_ADMIN, check_requirements, effective_capabilities, has_bpf_loop,
        has_cookies, has_task_storage, kernel_release, multi_links, return_probes_keep_shadow_stacks,
        return_probes_may_kill_confined,
    },
    links::{Probe, ProbedFile, Returns},
    live_blocks::{LiveBlocks, start_of},
    live_growth::Refusal,
    mapping::MappedRange,
    options::{Accelerator, Follow, OverBudget, Recorded, TracerOptions, UnwindMode},
    plan::{PlannedProbe, ProbePlan, Search},
    ticks::Ticks,
    unwind_store::{CodeMapping, FileId, FileTable, UnwindStore},
};
use self::{
    everyone::EveryoneMaps, links::ProbeLinks, live_table::LiveTable, mapping::MappingDomain, object::MultiPrograms,
    python_codes::PythonCodes, read::Reader, slots::Slots, stack_copy::Pieces, watcher::Watcher,
};

/// Words of the map `CURSORS`; see memtrace-ebpf/src/maps.rs.
const CURSORS: u32 = 6;
const FRAMES_READ: u32 = 0;
const NEXT_FRAME_WORD: u32 = 1;
const NEWEST_SEGMENT: u32 = 2;
const TABLES_DROPPED: u32 = 4;
const SAMPLING_STEP: u32 = 5;

/// BPF programs in the kernel, and the probes that run them.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Tracer {
    // Dropped in this order: probes before what their programs use.
    links: Vec<ProbeLinks>,
    multi: Option<MultiPrograms>,
    returns: Returns,
    /// Device and inode of the files that are probed.
    placed: Vec<ProbedFile>,
    probed: HashSet<(u64, u64)>,
    reader: Reader,
    _live_keeper: Watcher,
    /// With the domain of mappings.
    mappings: Option<MappingDomain>,
    unwind: Option<UnwindStore>,
    stack_copies: Option<RingBuf<MapData>>,
    pieces: Pieces,
    /// Copies of code objects; `None` where Python frames are not walked.
    python_codes: Option<PythonCodes>,
    /// Interpreters met so far.
    pythons: u32,
    /// Device and inode of interpreters whose end is probed.
    python_ends: HashSet<(u64, u64)>,
    options: TracerOptions,
    live: Arc<Mutex<LiveTable>>,
    slots: Slots,
    /// With all processes of the machine.
    everyone: Option<EveryoneMaps>,
    ebpf: Ebpf,
    /// Kernel memory of the event ring, which has been handed out.
    ring_bytes: u64,
    started: Instant,
}

impl Tracer {
    /// Begins to record a process, named by its id in the initial pid namespace, in a slot of its own.
    ///
    /// # Errors
    /// [`TracerError::Setup`].
    pub fn trace_process(&mut self, host_tgid: u32, slot: u32) -> Result<(), TracerError> {
        self.started = Instant::now();
        self.slots.set_target(host_tgid, Target { slot, from_exec: 0 })
    }

    /// Follows what a process maps, where that is recorded, after [`Self::trace_process`] or [`Self::trace_from_exec`] (then
    /// without a slot). `pid` is its id as memtrace counts.
    ///
    /// # Errors
    /// [`TracerError::ProcessEnded`].
    pub fn follow_mappings(&self, host_tgid: u32, pid: u32, slot: Option<u32>) -> Result<(), TracerError> {
        let Some(mappings) = &self.mappings else { return Ok(()) };
        let begun = mappings.ledger().begin(host_tgid, pid, slot);
        begun.map_err(|_| TracerError::ProcessEnded { pid })
    }

    /// Whether following what processes map slows down every system call on the machine.
    #[must_use]
    pub fn slows_all_calls(&self) -> bool {
        self.mappings.as_ref().is_some_and(MappingDomain::slows_all_calls)
    }

    /// Where unwind tables go; `None` when stacks are followed by frame pointers alone.
    pub const fn unwind_store(&mut self) -> Option<&mut UnwindStore> {
        self.unwind.as_mut()
    }

    /// Records a process from its next `exec` on; the slot comes with [`EventKind::Exec`].
    ///
    /// # Errors
    /// [`TracerError::Setup`].
    pub fn trace_from_exec(&mut self, host_tgid: u32) -> Result<(), TracerError> {
        self.started = Instant::now();
        self.slots.set_target(host_tgid, Target { slot: NO_SLOT, from_exec: 1 })
    }

    /// The events of the BPF programs; can be taken once.
    ///
    /// # Errors
    /// [`TracerError::Setup`].
    pub fn take_events(&mut self) -> Result<Events, TracerError> {
        let setup = TracerError::setup("events");
        self.ring_bytes += object::map_memory(&self.ebpf, "EVENTS").unwrap_or(0);
        let map = self.ebpf.take_map("EVENTS").ok_or_else(|| setup("the events are taken".into()))?;
        let ring = RingBuf::try_from(map).map_err(|error| setup(Box::new(error)))?;
        Events::new(ring).map_err(|error| setup(Box::new(error)))
    }

    /// How it traces.
    #[must_use]
    pub const fn options(&self) -> &TracerOptions {
        &self.options
    }

    /// Whether entry and return of a function share a probe, so that the entry can spare the return's trap.
    #[must_use]
    pub fn uses_session_probes(&self) -> bool {
        self.multi.as_ref().is_some_and(|programs| programs.contains_key(object::BEGIN_OR_FINISH))
    }

    /// Whether probes are placed by uprobe-multi links.
    #[must_use]
    pub const fn uses_multi_links(&self) -> bool {
        self.multi.is_some()
    }
}
