//! Loads the BPF programs, places probes, and reads the maps. The only place that uses aya.

#[cfg(feature = "bpf-log")]
mod bpf_log;
mod btf;
mod confined;
mod cost;
mod eras;
mod error;
mod events;
mod features;
mod free_ranges;
mod kernel_functions;
mod kernel_types;
mod links;
mod live_blocks;
mod live_keeper;
mod live_table;
mod mapped;
mod mapping;
mod mapping_lists;
mod object;
mod options;
mod plan;
pub mod probe_point;
mod python;
mod read;
mod setup;
mod slots;
mod stack_copy;
mod syscall;
mod table_memory;
mod ticks;
mod unwind_store;
mod watcher;

use std::{
    collections::HashSet,
    os::fd::AsFd as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aya::{
    Btf, Ebpf,
    maps::{MapData, RingBuf},
};
use memtrace_common::{
    copy::CopyHeader,
    loss,
    process::{NO_SLOT, SLOTS, Target},
    site::{FRAME_WORDS, SITES, end},
    unwind::mode,
};

pub use self::{
    btf::thread_pointer,
    cost::{CostMeasurement, RunStatistics, Runs, TrapCost},
    error::TracerError,
    events::{EventKind, Events, TracerEvent},
    features::{
        BPF, Capability, MultiLinks, PERFMON, SYS_ADMIN, check_requirements, effective_capabilities, has_bpf_loop,
        has_cookies, has_task_storage, kernel_release, multi_links, return_probes_keep_shadow_stacks,
        return_probes_may_kill_confined,
    },
    links::{Probe, ProbedFile, Returns},
    live_blocks::{LiveBlocks, start_of},
    mapping::MappedRange,
    options::{Accelerator, Follow, Recorded, TracerOptions, UnwindMode},
    plan::{PlannedProbe, ProbePlan, Search},
    ticks::Ticks,
    unwind_store::{CodeMapping, FileId, FileTable, UnwindStore},
};
use self::{
    links::ProbeLinks,
    live_table::LiveTable,
    mapping::MappingDomain,
    object::MultiPrograms,
    read::{Maps, Reader},
    setup::{keep_live_table, live_table, mapped, multi_programs, unwind_store},
    slots::Slots,
    stack_copy::{Machine, Pieces},
    watcher::Watcher,
};
use crate::{
    profile::{RawProfile, RawStack},
    readable::Readable,
};

/// Links for this process id are for all processes.
const EVERYONE: u32 = 0;

/// Words of the map `CURSORS`; see memtrace-ebpf/src/maps.rs.
const CURSORS: u32 = 4;
const FRAMES_READ: u32 = 0;
const NEWEST_SEGMENT: u32 = 2;

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
    python_codes: Option<RingBuf<MapData>>,
    /// Interpreters met so far.
    pythons: u32,
    options: TracerOptions,
    live: Arc<Mutex<LiveTable>>,
    slots: Slots,
    ebpf: Ebpf,
    /// Kernel memory of the event ring, which has been handed out.
    ring_bytes: u64,
    started: Instant,
}

impl Tracer {
    /// Loads the programs and makes the maps. Nothing is probed yet.
    ///
    /// # Errors
    /// [`TracerError`] with what is missing or was refused.
    pub fn load(options: &TracerOptions) -> Result<Self, TracerError> {
        check_requirements()?;
        let unwind_mode = options.unwind_mode();
        // Read once: it is large.
        let kernel = Btf::from_sys_fs().inspect_err(|error| log::info!("the kernel's type information: {error}")).ok();
        let mut ebpf = object::load(options, unwind_mode, kernel.as_ref())?;
        let maps = Maps {
            cursors: mapped(&ebpf, "CURSORS", CURSORS)?,
            processes: mapped(&ebpf, "PROCESSES", SLOTS)?,
            sites: mapped(&ebpf, "SITES", SITES)?,
            frames: mapped(&ebpf, "FRAMES", FRAME_WORDS)?,
            losses: mapped(&ebpf, "LOSSES", loss::COUNT)?,
        };
        let live = live_table(&ebpf)?;
        let keeps_tables = options.follow != Follow::Nobody;
        let unwind = if unwind_mode == mode::FRAME_POINTER { None } else { Some(unwind_store(&ebpf, keeps_tables)?) };
        object::attach_tracepoints(&mut ebpf)?;
        let multi =
            if options.allows(Accelerator::Multi) { multi_programs(&ebpf, options, kernel.as_ref())? } else { None };
        let slots = Slots::new(&mut ebpf)?;
        // Before they are taken out of the object.
        let ring_bytes = ["STACK_COPIES", "GROWTH", "MAPPING_EVENTS", "PYTHON_CODE_RING"]
            .iter()
            .filter_map(|name| object::map_memory(&ebpf, name))
            .sum();
        let stack_copies = ebpf.take_map("STACK_COPIES").and_then(|map| RingBuf::try_from(map).ok());
        let python_codes =
            if options.may_loop() && !options.native_only { ebpf.take_map("PYTHON_CODE_RING") } else { None };
        let python_codes = python_codes.and_then(|map| RingBuf::try_from(map).ok());
        #[cfg(feature = "bpf-log")]
        bpf_log::start(&mut ebpf)?;
        let live = Arc::new(Mutex::new(live));
        let live_keeper = keep_live_table(&mut ebpf, &live)?;
        let mappings = options
            .recorded
            .mappings()
            .then(|| MappingDomain::attach(&mut ebpf, options.allows(Accelerator::Trampolines)))
            .transpose()?;
        Ok(Self {
            links: Vec::new(),
            placed: Vec::new(),
            probed: HashSet::new(),
            multi,
            returns: if options.allows(Accelerator::ReturnProbes) { Returns::Probes } else { Returns::Exits },
            reader: Reader::new(maps, options.per_thread, Some(options.sample_bytes).filter(|mean| *mean > 0)),
            _live_keeper: live_keeper,
            mappings,
            unwind,
            stack_copies,
            pieces: Pieces::default(),
            python_codes,
            pythons: 0,
            options: options.clone(),
            live,
            slots,
            ebpf,
            ring_bytes,
            started: Instant::now(),
        })
    }

    /// Places the probes of a file in one process. They run at once, but nothing is recorded before
    /// [`Self::trace_process`]. Returns `false` when the file is probed already: a second time would count twice.
    ///
    /// # Errors
    /// [`TracerError::Attach`], [`TracerError::ProcessEnded`].
    pub fn place_probes(&mut self, file: &ProbedFile, pid: u32) -> Result<bool, TracerError> {
        let inode = file.inode().map_err(|source| TracerError::Attach { path: file.name.clone(), source })?;
        if self.probed.contains(&inode) {
            return Ok(false);
        }
        // Links that filter by process see nothing of its children: who is traced is decided by the programs then.
        let pid = if self.options.follow == Follow::Nobody { pid } else { EVERYONE };
        let links = match &self.multi {
            Some(programs) => links::attach_multi(programs, links::recording(programs), file, pid, self.returns)?,
            None => links::attach_perf(&mut self.ebpf, file, pid, self.returns)?,
        };
        self.links.push(links);
        self.placed.push(file.clone());
        self.probed.insert(inode);
        Ok(true)
    }

    /// Decides how the ends of calls are seen in files that are probed from now on.
    pub const fn set_returns(&mut self, returns: Returns) {
        self.returns = returns;
    }

    /// Whether processes that are confined by seccomp survive return probes on this kernel, tried out; `None` when that
    /// cannot be.
    #[must_use]
    pub fn return_probes_spare_confined(&self) -> Option<bool> {
        // Kernels without multi links are older than the system call that filters do not know.
        self.multi.as_ref().map_or(Some(true), confined::survives_return_probes)
    }

    /// How the ends of calls are seen.
    #[must_use]
    pub const fn returns(&self) -> Returns {
        self.returns
    }

    /// Places probes that do nothing where [`Self::place_probes`] would place its own, with `entries_only` none at returns.
    ///
    /// # Errors
    /// As [`Self::place_probes`]; [`TracerError::Setup`] without uprobe-multi links.
    pub fn place_floor_probes(&mut self, file: &ProbedFile, pid: u32, entries_only: bool) -> Result<(), TracerError> {
        let missing = || TracerError::setup("empty probes")("this kernel has no uprobe-multi links".into());
        let programs = self.multi.as_ref().ok_or_else(missing)?;
        self.links.push(links::attach_multi(programs, links::empty(programs, entries_only), file, pid, self.returns)?);
        Ok(())
    }

    /// Places all probes anew in an image that has none; see [`EventKind::Exec`].
    ///
    /// # Errors
    /// As [`Self::place_probes`]. What could be placed stays.
    pub fn replace_probes(&mut self, pid: u32) -> Result<(), TracerError> {
        // The old links first: they place no breakpoints any more, but their programs would run at the new ones'.
        self.links.clear();
        self.probed.clear();
        std::mem::take(&mut self.placed).iter().try_for_each(|file| self.place_probes(file, pid).map(drop))
    }

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

    /// The anonymous memory of a process as it is known, by address. Empty where that is not recorded.
    #[must_use]
    pub fn mapped_ranges(&self, host_tgid: u32) -> Vec<MappedRange> {
        let Some(mappings) = &self.mappings else { return Vec::new() };
        let mut ledger = mappings.ledger();
        ledger.update();
        ledger.ranges(host_tgid)
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

    /// Reads the counters of a process slot.
    #[must_use]
    pub fn read(&mut self, slot: u32) -> RawProfile {
        self.follow_copies();
        let mut profile = self.reader.read(slot, self.started.elapsed());
        if let Some(mappings) = &self.mappings {
            let mut ledger = mappings.ledger();
            ledger.update();
            self.reader.add_mapped(slot, ledger.stats(slot), &mut profile);
            ledger.add_losses(&mut profile.losses);
        }
        profile
    }

    /// Time since tracing began, or since it was begun anew.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What becomes readable when a stack meets code that the walker does not know; `None` without unwind tables. Needs a
    /// tokio runtime.
    #[must_use]
    pub fn unknown_code(&self) -> Option<Readable> {
        self.unwind.as_ref()?;
        Readable::of(self.stack_copies.as_ref()?).ok()
    }

    /// Takes copies of stacks out of the ring buffer, to be followed at the next reading.
    pub fn take_copies(&mut self) {
        let Some(copies) = &mut self.stack_copies else { return };
        while let Some(record) = copies.next() {
            self.pieces.add(&record);
        }
    }

    /// Follows the stacks that the BPF programs could not, by the mappings that are known now.
    pub fn follow_copies(&mut self) {
        self.take_copies();
        let Some(store) = &self.unwind else { return };
        let (limit, reader) = (self.options.max_frames as usize, &mut self.reader);
        self.pieces.follow(|copy| {
            let CopyHeader { slot, site, .. } = copy.header;
            let (addresses, end) = copy.follow(Machine::HERE, limit, |address| store.rule_at(slot, address));
            log::trace!("site {site}: {} frames followed here, end {end}", addresses.len());
            reader.replace_stack(site, (addresses, end));
            end == end::NO_MAPPING
        });
    }

    /// Takes the breakpoints out of the children of the traced processes, which inherit them at fork. Blocks for some ten
    /// milliseconds: run it off the event loop. `None` where there is nothing to do.
    ///
    /// With uprobe-multi links the kernel leaves them there, as it asks every consumer at a hit and none of ours says
    /// that it may go (`handler_chain`, seen on 6.18). When a consumer is taken away, though, it looks through all
    /// processes for breakpoints that nobody wants; so one is added for memtrace itself and taken away at once.
    #[must_use]
    pub fn sweep_work(&self) -> Option<impl FnOnce() + Send + use<>> {
        let program = self.multi.as_ref()?.get(object::FLOOR_ENTRY)?.try_clone().ok()?;
        let files = self.placed.clone();
        Some(move || {
            for file in files {
                if let Err(error) = links::sweep(&program, &file) {
                    log::info!("children keep breakpoints in {}: {error}", file.name);
                }
            }
        })
    }

    /// The stack of a site that a slot has counted under, without its counters.
    pub fn stack_of(&mut self, slot: u32, site: u32) -> RawStack {
        self.follow_copies();
        self.reader.stack_of(slot, site)
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

    /// What measures the cost of a trap; `None` where uprobe-multi links are not to be had.
    #[must_use]
    pub fn cost_measurement(&self) -> Option<CostMeasurement> {
        self.multi.as_ref().and_then(CostMeasurement::new)
    }

    /// Begins to keep run statistics of the programs; `None` where that cannot be.
    #[must_use]
    pub fn begin_run_statistics(&self) -> Option<RunStatistics> {
        self.multi.as_ref().and_then(RunStatistics::begin)
    }

    /// The runs of the programs since the beginning.
    #[must_use]
    pub fn end_run_statistics(&self, statistics: RunStatistics) -> Runs {
        self.multi.as_ref().map(|programs| statistics.end(programs)).unwrap_or_default()
    }

    /// Runs of the program that walks stacks, and their time, as far as the machine keeps statistics of all its programs
    /// (`kernel.bpf_stats_enabled`).
    #[must_use]
    pub fn walker_runs(&self) -> Option<Runs> {
        let programs = self.multi.as_ref()?;
        let program = programs.get(object::FINISH).or_else(|| programs.get(object::BEGIN_OR_FINISH))?;
        let (count, nanoseconds) = syscall::run_statistics(program.as_fd()).ok()?;
        Some(Runs { count, time: Duration::from_nanos(nanoseconds) })
    }

    /// Bytes of kernel memory in BPF maps, for `threads` traced threads.
    #[must_use]
    pub fn bpf_memory(&self, threads: u64) -> u64 {
        let maps = self.ebpf.maps().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        let fixed: u64 = maps.iter().filter_map(|name| object::map_memory(&self.ebpf, name)).sum();
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).segment_bytes();
        let unwind = self.unwind.as_ref().map_or(0, UnwindStore::bytes);
        fixed + self.ring_bytes + live + unwind + threads * THREAD_STATE_BYTES
    }

    /// Bytes of BPF maps that this process sees as memory: the kernel counts them as resident in it, too.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner).mapped_bytes();
        let unwind = self.unwind.as_ref().map_or(0, UnwindStore::mapped_bytes);
        live + unwind + self.reader.mapped_bytes() + self.slots.mapped_bytes()
    }
}

/// Bytes that the kernel holds for a traced thread: `Thread` of memtrace-ebpf and its headers.
const THREAD_STATE_BYTES: u64 = 8192;
