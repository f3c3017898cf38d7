//! The BPF object: maps through aya, programs for uprobe-multi links by a second reading of the same bytes.
//!
//! aya 0.14 loads uprobe programs without an expected attach type, and the kernel takes no such program for a
//! uprobe-multi link. So aya makes the maps (and loads the programs where perf-event links must do), and the programs
//! for multi links are relocated against those maps here with aya-obj.

use std::{
    collections::{HashMap, HashSet},
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    panic::resume_unwind,
    thread,
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::Map,
    programs::{RawTracePoint, UProbe},
};

use memtrace_common::{copy, live::SHORT_LIFE_NANOS, mapping};
use nix::time::{ClockId, clock_getres};

use crate::process::page_size;

use super::{
    Follow, TracerOptions,
    choice::Choice,
    error::TracerError,
    features, kernel_functions,
    kernel_types::{KernelFields, MappingFields},
    syscall::{self, LinkKind},
};

/// The object, for this architecture.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/memtrace.bpf.o"));

/// The uprobe programs, by name in memtrace-ebpf.
pub const BEGIN: &str = "begin";
/// See [`BEGIN`].
pub const FINISH: &str = "finish";
/// See [`BEGIN`]. For session probes.
pub const BEGIN_OR_FINISH: &str = "begin_or_finish";
/// See [`BEGIN`].
pub const LEAVE: &str = "leave";
/// See [`BEGIN`].
pub const RELEASE: &str = "release";
/// See [`BEGIN`].
pub const RELEASE_OTHER: &str = "release_other";
/// See [`BEGIN`].
pub const PYTHON_BEGIN: &str = "python_begin";
/// See [`BEGIN`].
pub const PYTHON_END: &str = "python_end";
/// See [`BEGIN`].
pub const FLOOR_ENTRY: &str = "floor_entry";
/// See [`BEGIN`].
pub const FLOOR_RETURN: &str = "floor_return";
/// See [`BEGIN`]. For session probes.
pub const FLOOR_SESSION: &str = "floor_session";

/// The programs for session probes.
const FOR_SESSIONS: [&str; 2] = [BEGIN_OR_FINISH, FLOOR_SESSION];

/// Loads the object and makes its maps. `kernel` is the kernel's type information, `unwind_mode` a constant of `memtrace_common::unwind::mode`.
///
/// # Errors
/// [`TracerError`] with what the kernel refused.
pub fn load(options: &TracerOptions, unwind_mode: u32, kernel: Option<&Btf>) -> Result<Ebpf, TracerError> {
    let mut loader = EbpfLoader::new();
    loader.btf(kernel);
    loader.allow_unsupported_maps();
    loader.override_global("FRAME_LIMIT", &options.max_frames, true);
    loader.override_global("UNWIND_MODE", &unwind_mode, true);
    let per_thread = u32::from(options.per_thread);
    loader.override_global("PER_THREAD", &per_thread, true);
    let may_loop = u32::from(options.may_loop());
    loader.override_global("MAY_LOOP", &may_loop, true);
    loader.override_global("MIN_SIZE", &options.min_size, true);
    let choice = Choice::of(options);
    let (base, with_steps) = (choice.base(), u32::from(matches!(choice, Choice::Steps { .. })));
    let variance_shift = choice.variance_shift();
    loader.override_global("SAMPLE_BYTES", &base, true);
    loader.override_global("WITH_STEPS", &with_steps, true);
    loader.override_global("VARIANCE_SHIFT", &variance_shift, true);
    if base == 0 {
        loader.map_max_entries("SAMPLED", 1);
    }
    let short_life = short_life_ticks();
    loader.override_global("SHORT_LIFE_TICKS", &short_life, true);
    let follow = options.follow.constant();
    loader.override_global("FOLLOW", &follow, true);
    let own = std::process::id();
    loader.override_global("OWN_TGID", &own, true);
    let (blocks, sites) = match options.follow {
        Follow::Everyone => (options.shares.blocks, options.shares.sites),
        Follow::Nobody | Follow::Children => (0, 0),
    };
    loader.override_global("MOST_BLOCKS", &blocks, true);
    loader.override_global("MOST_SITES", &sites, true);
    if options.follow != Follow::Everyone {
        loader.map_max_entries("SHARES", 1);
    }
    let fields = KernelFields::of_kernel().map_err(|error| TracerError::setup("kernel types")(Box::new(error)))?;
    loader.override_global("TASK_TGID", &fields.task_tgid, true);
    loader.override_global("TASK_SIGNAL", &fields.task_signal, true);
    loader.override_global("SIGNAL_LIVE", &fields.signal_live, true);
    loader.override_global("TASK_RUNTIME", &fields.task_runtime, true);
    let mapping = fields.mapping.filter(|_| options.may_loop() && features::has_find_vma());
    let told = Told::of(mapping);
    for (name, value) in &told.0 {
        loader.override_global(name, value, true);
    }
    let ring_bytes = if options.from_start { copy::START_RING_BYTES } else { copy::RING_BYTES };
    loader.override_global("COPY_RING_BYTES", &ring_bytes, true);
    loader.map_max_entries("STACK_COPIES", ring_bytes);
    let with_mappings = u32::from(options.recorded.mappings());
    loader.override_global("WITH_MAPPINGS", &with_mappings, true);
    if options.recorded.mappings() {
        loader.map_max_entries("MAPPING_EVENTS", mapping::RING_BYTES);
    }
    loader.load(OBJECT).map_err(|error| {
        let release = features::kernel_release();
        if features::below_floor(&release) {
            TracerError::KernelTooOld { release }
        } else {
            TracerError::setup("maps")(Box::new(error))
        }
    })
}

/// What tells the programs how to ask the kernel what is mapped: constants of theirs, all 0 where they cannot.
struct Told([(&'static str, u32); 10]);

impl Told {
    fn of(fields: Option<MappingFields>) -> Self {
        let bits = if fields.is_some() { page_size().trailing_zeros() } else { 0 };
        let fields = fields.unwrap_or_default();
        Self([
            ("VMA_START", fields.start),
            ("VMA_END", fields.end),
            ("VMA_FLAGS", fields.flags),
            ("VMA_PAGE_OFFSET", fields.page_offset),
            ("VMA_FILE", fields.file),
            ("FILE_INODE", fields.file_inode),
            ("INODE_NUMBER", fields.inode_number),
            ("INODE_SUPER", fields.inode_super),
            ("SUPER_DEVICE", fields.super_device),
            ("PAGE_BITS", bits),
        ])
    }
}

/// [`SHORT_LIFE_NANOS`] in ticks of the clock that the programs read. The coarse clocks advance at each tick, so their
/// resolution is its length.
pub fn short_life_ticks() -> u32 {
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).ok();
    let length = resolution.and_then(|time| u64::try_from(time.tv_nsec()).ok()).filter(|length| *length > 0);
    // Without an answer, the longest tick that a kernel can have.
    u32::try_from(SHORT_LIFE_NANOS / length.unwrap_or(SHORT_LIFE_NANOS)).unwrap_or(u32::MAX)
}

/// The descriptor of a map.
///
/// # Errors
/// When the object has no such map: it and this program do not belong together.
pub fn map_descriptor<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<BorrowedFd<'a>, TracerError> {
    ebpf.map(name)
        .and_then(descriptor)
        .ok_or_else(|| TracerError::setup("maps")(format!("no map `{name}` in the BPF object").into()))
}

fn descriptor(map: &Map) -> Option<BorrowedFd<'_>> {
    match map {
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::HashMap(data)
        | Map::Queue(data)
        | Map::RingBuf(data)
        | Map::PerCpuArray(data)
        | Map::ProgramArray(data)
        | Map::Unsupported(data) => Some(data.fd().as_fd()),
        _ => None,
    }
}

/// The programs, loaded for uprobe-multi links, by name.
pub type MultiPrograms = HashMap<&'static str, OwnedFd>;

/// Loads programs for uprobe-multi links.
///
/// # Errors
/// [`TracerError::Refused`] where the kernel does not take them: below 6.6, it knows no such programs.
pub fn load_multi_programs(
    ebpf: &Ebpf,
    names: &[&'static str],
    kernel: Option<&Btf>,
) -> Result<MultiPrograms, TracerError> {
    let setup = TracerError::setup("programs");
    let mut object = aya_obj::Object::parse(OBJECT).map_err(|error| setup(Box::new(error)))?;
    let btf = load_btf(&mut object)?;
    let text: HashSet<usize> = object.functions.keys().map(|key| key.0).collect();
    let definitions = object.maps.clone();
    let maps: Vec<_> = ebpf
        .maps()
        .filter_map(|(name, map)| Some((name, descriptor(map)?.as_raw_fd(), definitions.get(name)?)))
        .collect();
    object.relocate_maps(maps.iter().copied(), &text).map_err(|error| setup(Box::new(error)))?;
    object.relocate_calls(&text).map_err(|error| setup(Box::new(error)))?;
    object.sanitize_functions(aya::features());
    if let Some(kernel) = kernel {
        kernel_functions::enter(&mut object, kernel);
    }
    load_side_by_side(&object, names, btf.as_fd())
}

/// Loads each program on a thread of its own: the kernel takes a quarter of a second to verify one that walks stacks.
fn load_side_by_side(
    object: &aya_obj::Object,
    names: &[&'static str],
    btf: BorrowedFd<'_>,
) -> Result<MultiPrograms, TracerError> {
    thread::scope(|scope| {
        let load = |name: &&'static str| {
            let name = *name;
            scope.spawn(move || Ok((name, load_multi_program(object, name, btf)?)))
        };
        let loads: Vec<_> = names.iter().map(load).collect();
        loads.into_iter().map(|load| load.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn load_btf(object: &mut aya_obj::Object) -> Result<OwnedFd, TracerError> {
    let setup = TracerError::setup("type information");
    let features = aya::features().btf().ok_or_else(|| setup("the kernel takes none".into()))?;
    let btf = object.fixup_and_sanitize_btf(features).map_err(|error| setup(Box::new(error)))?;
    let btf = btf.ok_or_else(|| setup("the object has none".into()))?.to_bytes();
    syscall::load_btf(&btf).map_err(|error| setup(Box::new(error)))
}

fn load_multi_program(object: &aya_obj::Object, name: &str, btf: BorrowedFd<'_>) -> Result<OwnedFd, TracerError> {
    let missing = || TracerError::setup("programs")(format!("no program `{name}` in the BPF object").into());
    let program = object.programs.get(name).ok_or_else(missing)?;
    let function = object.functions.get(&program.function_key()).ok_or_else(missing)?;
    let image = syscall::ProgramImage {
        kind: if FOR_SESSIONS.contains(&name) { LinkKind::Session } else { LinkKind::Entry },
        instructions: &function.instructions,
        license: &object.license,
        btf,
        functions: (&function.func_info.func_info_bytes(), function.func_info_rec_size),
        lines: (&function.line_info.line_info_bytes(), function.line_info_rec_size),
    };
    syscall::load_multi_program(&image).map_err(|(error, log)| features::explain_refusal(name, error, &log))
}

/// A uprobe program of aya's, loaded for perf-event links.
///
/// # Errors
/// [`TracerError::Refused`] with the verifier's words.
pub fn perf_program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut UProbe, TracerError> {
    let program: &mut UProbe = ebpf
        .program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| TracerError::setup("programs")(format!("no program `{name}` in the BPF object").into()))?;
    if program.fd().is_err() {
        program.load().map_err(|error| refused(name, error))?;
    }
    Ok(program)
}

/// The programs that follow processes, and their tracepoints.
const TRACEPOINTS: [(&str, &str); 3] =
    [("process_exec", "sched_process_exec"), ("thread_exit", "sched_process_exit"), ("new_task", "task_newtask")];

/// Loads and attaches the programs that follow processes.
///
/// # Errors
/// [`TracerError::Refused`] with the kernel's words.
pub fn attach_tracepoints(ebpf: &mut Ebpf) -> Result<(), TracerError> {
    for (name, tracepoint) in TRACEPOINTS {
        let program: &mut RawTracePoint = ebpf
            .program_mut(name)
            .and_then(|program| program.try_into().ok())
            .ok_or_else(|| TracerError::setup("programs")(format!("no program `{name}` in the BPF object").into()))?;
        program.load().map_err(|error| refused(name, error))?;
        program.attach(tracepoint).map_err(|error| refused(name, error))?;
    }
    Ok(())
}

fn refused(name: &str, error: aya::programs::ProgramError) -> TracerError {
    use aya::programs::ProgramError;
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            features::explain_refusal(name, io_error, &verifier_log.to_string())
        }
        other => features::explain_refusal(name, std::io::Error::other(other), ""),
    }
}

/// Bytes of kernel memory that a map takes, as the kernel counts them.
#[must_use]
pub fn map_memory(ebpf: &Ebpf, name: &str) -> Option<u64> {
    let descriptor = descriptor(ebpf.map(name)?)?;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("memlock:")).and_then(|value| value.trim().parse().ok())
}
