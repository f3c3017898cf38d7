//! Loading: the programs come into the kernel, and the maps are made.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Instant,
};

use aya::{Btf, maps::RingBuf};
use memtrace_common::{
    loss,
    process::{HIT_PARTS, SLOTS},
    site::{FRAME_WORDS, SITES},
    unwind::mode,
};

#[cfg(feature = "bpf-log")]
use super::bpf_log;
use super::{
    Accelerator, CURSORS, Choice, Follow, Returns, Tracer, TracerError, TracerOptions, check_requirements,
    everyone::EveryoneMaps,
    mapping::MappingDomain,
    object,
    python_codes::PythonCodes,
    read::{Maps, Reader},
    setup::{keep_live_table, live_table, mapped, multi_programs, unwind_store},
    slots::Slots,
    stack_copy::Pieces,
};

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
            hits: mapped(&ebpf, "HITS", SLOTS * HIT_PARTS)?,
            sites: mapped(&ebpf, "SITES", SITES)?,
            frames: mapped(&ebpf, "FRAMES", FRAME_WORDS)?,
            losses: mapped(&ebpf, "LOSSES", loss::COUNT)?,
        };
        let mut live = live_table(&ebpf, Choice::of(options).base() != 0)?;
        if options.follow == Follow::Everyone {
            live.limit(options.shares.segments);
        }
        let keeps_tables = options.follow != Follow::Nobody;
        let unwind = if unwind_mode == mode::FRAME_POINTER { None } else { Some(unwind_store(&ebpf, keeps_tables)?) };
        object::attach_tracepoints(&mut ebpf)?;
        let multi =
            if options.allows(Accelerator::Multi) { multi_programs(&ebpf, options, kernel.as_ref())? } else { None };
        if options.max_overhead.is_some() && multi.is_none() {
            return Err(TracerError::NoBudget);
        }
        let slots = Slots::new(&mut ebpf)?;
        let is_for_all = options.follow == Follow::Everyone;
        let everyone = is_for_all.then(|| EveryoneMaps::new(&mut ebpf)).transpose()?;
        // Before they are taken out of the object.
        let ring_bytes = ["STACK_COPIES", "GROWTH", "MAPPING_EVENTS", "PYTHON_CODE_RING"]
            .iter()
            .filter_map(|name| object::map_memory(&ebpf, name))
            .sum();
        let stack_copies = ebpf.take_map("STACK_COPIES").and_then(|map| RingBuf::try_from(map).ok());
        let with_python = options.may_loop() && !options.native_only;
        let python_codes = with_python.then(|| PythonCodes::new(&mut ebpf)).transpose()?;
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
            reader: Reader::new(maps, options.per_thread, Choice::of(options)),
            _live_keeper: live_keeper,
            mappings,
            unwind,
            stack_copies,
            pieces: Pieces::default(),
            python_codes,
            pythons: 0,
            python_ends: HashSet::new(),
            options: options.clone(),
            live,
            slots,
            everyone,
            ebpf,
            ring_bytes,
            started: Instant::now(),
        })
    }
}
