//! Every map and every constant that user space sets before loading.

use core::ptr::null;

use aya_ebpf::{
    Global,
    bindings::BPF_F_MMAPABLE,
    btf_maps,
    macros::{btf_map, map},
    maps::{Array, HashMap, Queue, RingBuf},
};
use memtrace_common::{
    copy,
    event::Event,
    live::{Bucket, SEGMENTS, SegmentRecord},
    loss,
    process::{CommandRecord, HIT_PARTS, HitsRecord, ProcessRecord, SLOTS, Target, follow},
    python::{
        Bucket as CodeBucket, CODE_BUCKET_BITS, Generations, LATE_CODES, LateCode, PythonRecord,
        RING_BYTES as PYTHON_RING_BYTES, numbers,
    },
    sampling::{PLACES_A_WORD, SAMPLED_PLACES},
    selection::{MOST_GROUPS, MOST_VALUES, NAME_BYTES},
    share::ShareRecord,
    site::{FRAME_WORDS, MAX_FRAMES, SITES as SITE_COUNT, SiteRecord},
    unwind::{
        FILES as FILE_COUNT, FileKey, FileRecord, MAPPINGS as MAPPING_COUNT, MappingRecord, RULE_CACHE_BITS,
        SEGMENTS as TABLE_SEGMENTS, mode,
    },
};

use crate::{python::PythonThread, thread::Thread};

/// Most frames of a stack.
#[unsafe(no_mangle)]
pub static FRAME_LIMIT: Global<u32> = Global::new(MAX_FRAMES);

/// Blocks below this many bytes are not recorded.
#[unsafe(no_mangle)]
pub static MIN_SIZE: Global<u64> = Global::new(0);

/// Not 0: blocks are sampled, by points at this mean distance. See `memtrace_common::sampling`.
#[unsafe(no_mangle)]
pub static SAMPLE_BYTES: Global<u64> = Global::new(0);

/// Not 0: how blocks are chosen changes with the word `SAMPLING_STEP`, and `SAMPLE_BYTES` is its base. See
/// `memtrace_common::steps`.
#[unsafe(no_mangle)]
pub static WITH_STEPS: Global<u32> = Global::new(0);

/// log2 of the unit in which variances are counted.
#[unsafe(no_mangle)]
pub static VARIANCE_SHIFT: Global<u32> = Global::new(0);

/// Most ticks of the coarse clock between allocation and free of a short-lived block.
#[unsafe(no_mangle)]
pub static SHORT_LIFE_TICKS: Global<u32> = Global::new(0);

/// Not 0: threads are told apart.
#[unsafe(no_mangle)]
pub static PER_THREAD: Global<u32> = Global::new(0);

/// How stacks are followed: a constant of `memtrace_common::unwind::mode`.
#[unsafe(no_mangle)]
pub static UNWIND_MODE: Global<u32> = Global::new(mode::FRAME_POINTER);

/// Which processes are traced besides those in `TARGETS`: a constant of `memtrace_common::process::follow`.
#[unsafe(no_mangle)]
pub static FOLLOW: Global<u32> = Global::new(follow::NONE);

/// memtrace's own process, which is never traced.
#[unsafe(no_mangle)]
pub static OWN_TGID: Global<u32> = Global::new(0);

/// Where this kernel keeps the thread group id in `task_struct`.
#[unsafe(no_mangle)]
pub static TASK_TGID: Global<u32> = Global::new(0);

/// Where it keeps the pointer to `signal_struct`.
#[unsafe(no_mangle)]
pub static TASK_SIGNAL: Global<u32> = Global::new(0);

/// Where it keeps its CPU time, in nanoseconds.
#[unsafe(no_mangle)]
pub static TASK_RUNTIME: Global<u32> = Global::new(0);

/// Where `signal_struct` counts the threads that have not begun to exit.
#[unsafe(no_mangle)]
pub static SIGNAL_LIVE: Global<u32> = Global::new(0);

/// Where this kernel keeps what is mapped at an address; all 0 where it cannot be asked (`bpf_find_vma`, 5.17).
#[unsafe(no_mangle)]
pub static VMA_START: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static VMA_END: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static VMA_FLAGS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static VMA_PAGE_OFFSET: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static VMA_FILE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static FILE_INODE: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static INODE_NUMBER: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static INODE_SUPER: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static SUPER_DEVICE: Global<u32> = Global::new(0);

/// log2 of the bytes of a page; 0 where the kernel cannot be asked what is mapped.
#[unsafe(no_mangle)]
pub static PAGE_BITS: Global<u32> = Global::new(0);

/// Most live blocks that are recorded of one process; 0: no limit, and none are counted.
#[unsafe(no_mangle)]
pub static MOST_BLOCKS: Global<u64> = Global::new(0);

/// Most call stacks that are kept of one process; 0: no limit, and none are counted.
#[unsafe(no_mangle)]
pub static MOST_SITES: Global<u64> = Global::new(0);

/// Size of `STACK_COPIES` in bytes.
#[unsafe(no_mangle)]
pub static COPY_RING_BYTES: Global<u32> = Global::new(copy::RING_BYTES);

/// Not 0: the kernel has `bpf_loop`.
#[unsafe(no_mangle)]
pub static MAY_LOOP: Global<u32> = Global::new(0);

/// Traced processes by thread group id in the initial pid namespace. Children that share their parent's memory have an
/// entry and no slot of their own, so there may be more than slots.
#[map]
pub static TARGETS: HashMap<u32, Target> = HashMap::with_max_entries(2 * SLOTS, 0);

/// Slots that nobody uses. User space puts them in.
#[map]
pub static FREE_SLOTS: Queue<u32> = Queue::with_max_entries(SLOTS, 0);

/// Command lines by process slot.
#[map]
pub static COMMANDS: Array<CommandRecord> = Array::with_max_entries(SLOTS, BPF_F_MMAPABLE);

/// What processes have taken of the shared tables, by process slot; one entry where there is no limit.
#[map]
pub static SHARES: Array<ShareRecord> = Array::with_max_entries(SLOTS, BPF_F_MMAPABLE);

/// By what processes are selected: bits of `memtrace_common::selection::by`.
#[map]
pub static SELECTION: Array<u32> = Array::with_max_entries(1, 0);

/// Names that are selected.
#[map]
pub static SELECTED_NAMES: HashMap<[u8; NAME_BYTES], u32> = HashMap::with_max_entries(MOST_VALUES, 0);

/// Users that are selected.
#[map]
pub static SELECTED_USERS: HashMap<u32, u32> = HashMap::with_max_entries(MOST_VALUES, 0);

/// What is known of control groups: constants of `memtrace_common::selection::verdict` by the group's id.
#[map]
pub static GROUP_VERDICTS: HashMap<u64, u32> = HashMap::with_max_entries(MOST_GROUPS, 0);

/// Counters by process slot.
#[map]
pub static PROCESSES: Array<ProcessRecord> = Array::with_max_entries(SLOTS, BPF_F_MMAPABLE);

/// Probe hits by process slot, `HIT_PARTS` records each.
#[map]
pub static HITS: Array<HitsRecord> = Array::with_max_entries(SLOTS * HIT_PARTS, BPF_F_MMAPABLE);

/// Word 0: words of `FRAMES` that user space has read. Word 1: words of `FRAMES` handed out. Word 2: newest segment of
/// `LIVE`. Word 3: threads met, where they are told apart. Word 4: how often user space has taken tables out of `FILES`.
/// Word 5: how blocks are chosen, see `memtrace_common::steps`; written by user space.
#[map]
pub static CURSORS: Array<u64> = Array::with_max_entries(6, BPF_F_MMAPABLE);
pub const FRAMES_READ: u32 = 0;
pub const NEXT_FRAME_WORD: u32 = 1;
pub const NEWEST_SEGMENT: u32 = 2;
pub const THREADS_MET: u32 = 3;
pub const TABLES_DROPPED: u32 = 4;
pub const SAMPLING_STEP: u32 = 5;

/// Call stacks and their counters; see `memtrace_common::site`.
#[map]
pub static SITES: Array<SiteRecord> = Array::with_max_entries(SITE_COUNT, BPF_F_MMAPABLE);

/// Frames of the call stacks, appended; see `memtrace_common::site`.
#[map]
pub static FRAMES: Array<u64> = Array::with_max_entries(FRAME_WORDS, BPF_F_MMAPABLE);

/// `BPF_F_MMAPABLE | BPF_F_INNER_MAP`: segments may differ in size (5.10).
const SEGMENT_FLAGS: usize = 0x1400;

/// Live blocks: values are of type `memtrace_common::live::Bucket`. User space puts the segments in.
///
/// Described as an array, not as the structure that it is: up to 6.1 the kernel takes no segment without a description
/// in the place of one described as a structure (`timer_off` differs, `bpf_map_meta_equal` in `kernel/bpf/map_in_map.c`).
#[btf_map]
pub static LIVE: btf_maps::ArrayOfMaps<btf_maps::Array<BucketWords, 1, SEGMENT_FLAGS>, { SEGMENTS as usize }> =
    btf_maps::ArrayOfMaps::new();
type BucketWords = [u64; size_of::<Bucket>() / 8];

/// Blocks in `LIVE`, counted by a hash of their address, where blocks are sampled: see `sampling`.
#[map]
pub static SAMPLED: Array<u64> = Array::with_max_entries(SAMPLED_PLACES / PLACES_A_WORD, BPF_F_MMAPABLE);

/// The segments of `LIVE`.
#[map]
pub static LIVE_SEGMENTS: Array<SegmentRecord> = Array::with_max_entries(SEGMENTS, BPF_F_MMAPABLE);

/// Unwind tables; see `memtrace_common::unwind`. User space puts the segments in.
#[btf_map]
pub static UNWIND_TABLES: btf_maps::ArrayOfMaps<btf_maps::Array<u64, 1, SEGMENT_FLAGS>, { TABLE_SEGMENTS as usize }> =
    btf_maps::ArrayOfMaps::new();

/// Executable mappings of the traced processes.
#[map]
pub static MAPPINGS: Array<MappingRecord> = Array::with_max_entries(MAPPING_COUNT, BPF_F_MMAPABLE);

/// Tables by file, for mappings that no list has yet.
#[map]
pub static FILES: HashMap<FileKey, FileRecord> = HashMap::with_max_entries(FILE_COUNT, 0);

/// Rules found of late, by code address: the key mixed with the rule, and the rule, so that a torn pair never matches.
#[map]
pub static RULE_CACHE: Array<[u64; 2]> = Array::with_max_entries(1 << RULE_CACHE_BITS, BPF_F_MMAPABLE);

/// Segments of `LIVE` that fill. Apart from `EVENTS`, so that nothing else keeps user space from seeing to it.
#[map]
pub static GROWTH: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);

/// What was not recorded, by reason.
#[map]
pub static LOSSES: Array<u64> = Array::with_max_entries(loss::COUNT, BPF_F_MMAPABLE);

/// Stacks to be followed by user space; see `memtrace_common::copy`.
#[map]
pub static STACK_COPIES: RingBuf = RingBuf::with_byte_size(copy::RING_BYTES, 0);

/// Not 0: the programs of the mmap domain are there.
#[unsafe(no_mangle)]
pub static WITH_MAPPINGS: Global<u32> = Global::new(0);

/// What processes map and unmap; see `memtrace_common::mapping`. User space makes it larger if it wants the mmap domain.
#[map]
pub static MAPPING_EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Python interpreters, by the slot in which their process has begun; see `memtrace_common::python`.
#[map]
pub static PYTHONS: Array<PythonRecord> = Array::with_max_entries(SLOTS, BPF_F_MMAPABLE);

/// Code objects that have been seen.
#[map]
pub static PYTHON_CODES: Array<CodeBucket> = Array::with_max_entries(1 << CODE_BUCKET_BITS, BPF_F_MMAPABLE);

/// How often code objects have become unknown. One value, so that a walk looks it up once.
#[map]
pub static PYTHON_GENERATIONS: Array<Generations> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Counters; see `memtrace_common::python::numbers`.
#[map]
pub static PYTHON_NUMBERS: Array<u64> = Array::with_max_entries(numbers::COUNT, BPF_F_MMAPABLE);

/// Code objects for which their ring had no room.
#[map]
pub static PYTHON_LATE: Array<LateCode> = Array::with_max_entries(LATE_CODES, BPF_F_MMAPABLE);

/// Copies of code objects: `memtrace_common::python::CodeRecord`.
#[map]
pub static PYTHON_CODE_RING: RingBuf = RingBuf::with_byte_size(PYTHON_RING_BYTES, 0);

/// Events for user space: room for some 8,000.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

const _: () = assert!(size_of::<Event>() == 24);

/// `BPF_MAP_TYPE_TASK_STORAGE`, which aya-ebpf has no type for: the fields are the BTF form that loaders parse.
#[repr(C)]
pub struct TaskStorage<V> {
    r#type: *const [i32; 29],
    key: *const i32,
    value: *const V,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; 1],
}

// SAFETY: only its address is used, by BPF helpers; the fields are never read.
unsafe impl<V> Sync for TaskStorage<V> {}

/// State of each thread; freed by the kernel with the thread.
#[btf_map]
pub static THREADS: TaskStorage<Thread> =
    TaskStorage { r#type: null(), key: null(), value: null(), max_entries: null(), map_flags: null() };

/// State of each thread that runs Python.
#[btf_map]
pub static PYTHON_THREADS: TaskStorage<PythonThread> =
    TaskStorage { r#type: null(), key: null(), value: null(), max_entries: null(), map_flags: null() };
