//! What is remembered of a thread between the probes.

use core::{ffi::c_void, ptr::null_mut};

use aya_ebpf::{
    bindings::BPF_LOCAL_STORAGE_GET_F_CREATE,
    helpers::{bpf_get_current_task_btf, generated::bpf_task_storage_get},
};
use memtrace_common::{
    copy::{CopyHeader, STACK_BYTES},
    live::LiveEntry,
    loss,
    site::MAX_FRAMES,
};

use crate::{
    atomic,
    loss::count,
    maps::{CURSORS, THREADS, THREADS_MET},
};

/// Bytes of the stack that are copied at once.
pub const WINDOW: usize = STACK_BYTES as usize;

/// Places for frames: a power of two, so that an index can be masked.
pub const FRAME_PLACES: usize = 128;

const _: () = assert!(MAX_FRAMES < FRAME_PLACES as u32);

/// An allocator call between its entry and its return. Only the outermost one of a thread is kept.
#[repr(C)]
pub struct Pending {
    /// Stack pointer at entry; 0 when no call is under way.
    pub stack_pointer: u64,
    /// What it does: see `memtrace_common::call`.
    pub call: u64,
    /// Bytes asked for.
    pub size: u64,
    /// Bytes that are welcome beyond them.
    pub extra: u64,
    /// The block that is taken.
    pub block: u64,
    /// Where the result goes that is not returned.
    pub result_at: u64,
    /// Where calls were counted at entry: a `memtrace_common::process::Era`.
    pub era: u64,
    /// Where it returns to, of a call whose end is seen at its exits.
    pub return_address: u64,
    /// Where its probe at the entry is, of such a call.
    pub probed_at: u64,
    /// realloc: the block's record, taken out at entry; its key is 0 when there was none.
    pub moved: LiveEntry,
    /// Calls that the outermost one jumped into: they return through the same stack pointer, before it.
    pub chained: u64,
    /// Not 0: the block counts. Where blocks are sampled, it was chosen at this step plus 1: see `memtrace_common::steps`.
    pub counts: u64,
}

/// A call that may be left by an exception, while a call within it is pending.
#[repr(C)]
pub struct Suspended {
    /// Stack pointer at entry; 0 when there is none.
    pub stack_pointer: u64,
    /// As in [`Pending`].
    pub call: u64,
    /// As in [`Pending`].
    pub size: u64,
    /// As in [`Pending`].
    pub return_address: u64,
    /// As in [`Pending`].
    pub counts: u64,
    /// Result of the last call within: if the outer one returns it, too, the block is recorded already.
    pub inner_result: u64,
}

/// State of a walk by unwind tables. In map memory, not on the BPF stack: the verifier knows nothing of values that it
/// reads back from a map, so its states of the loop converge at once.
#[repr(C)]
pub struct Unwind {
    /// Instruction pointer of the frame looked at: a return address, except in a frame interrupted by a signal.
    pub instruction: u64,
    /// Its stack pointer.
    pub stack: u64,
    /// Its frame pointer register.
    pub frame: u64,
    /// 1 when `instruction` is a return address, and so lies behind its call.
    pub behind_call: u64,
    /// Running hash over the frames.
    pub hash: u64,
    /// Why the walk ended.
    pub end: u64,
    /// First address of the copy of the stack, and its bytes.
    pub window_start: u64,
    /// See `window_start`.
    pub window_length: u64,
    /// Part of the rule cache's key that names the process and its mapping list.
    pub cache_key: u64,
    /// The mapping list, see `memtrace_common::unwind::mapping_list`.
    pub mappings: u64,
    /// The mapping found last: its first address, bytes, table base, segment and first word, index words.
    pub mapping_start: u64,
    /// See `mapping_start`.
    pub mapping_length: u64,
    /// See `mapping_start`.
    pub base: u64,
    /// See `mapping_start`: segment in the upper half.
    pub table: u64,
    /// See `mapping_start`.
    pub chunks: u64,
    /// See `mapping_start`: word of the table at which its rules begin.
    pub rules: u64,
    /// Not 0: that mapping is in no list, the kernel has told it.
    pub is_told: u64,
    /// `TABLES_DROPPED` when the kernel told the first mapping of the walk, plus 1; 0 before.
    pub dropped: u64,
    /// Bounds and key of a binary search.
    pub low: u64,
    /// See `low`.
    pub high: u64,
    /// See `low`.
    pub wanted: u64,
    /// aarch64: x30 of a frame that a signal had interrupted, 0 for any other frame.
    pub link: u64,
}

/// State of one thread.
#[repr(C)]
pub struct Thread {
    /// The call under way.
    pub pending: Pending,
    /// The call around it.
    pub suspended: Suspended,
    /// The block freed last: a function that frees may hand it on to another that is probed, too.
    pub released: u64,
    /// Process slot in `TARGETS`, 0 until looked up.
    pub slot: u64,
    /// A number that no other thread has, 0 until needed.
    pub number: u64,
    /// Bytes up to the next point, where blocks are sampled; 0 until drawn.
    pub to_next_point: u64,
    /// The step at which that was drawn.
    pub point_step: u64,
    /// Highest address that a stack walk of this thread has read: a copy of the stack need not reach further.
    pub stack_top: u64,
    /// Number of `frames` of the walk under way.
    pub frame_count: u64,
    /// Number of Python frames of the walk under way, in storage of their own.
    pub python_frames: u64,
    /// See `stack::forget`.
    pub forgotten: u64,
    /// A walk by unwind tables.
    pub unwind: Unwind,
    /// Return addresses of the walk under way, innermost first.
    pub frames: [u64; FRAME_PLACES],
    /// Sent together with the window that follows it.
    pub copy: CopyHeader,
    /// Copy of a part of the stack.
    pub window: [u64; WINDOW / 8],
}

/// Kernels since 7.0 take task storage from the slab caches, of which the largest has two pages (`kmalloc_nolock` in
/// mm/slub.c); in larger storage every allocation fails. The kernel's own part takes up to 192 bytes.
const _: () = assert!(size_of::<Thread>() <= 8192 - 192);

/// The running thread's state, made when it has none; `None`, and counted, when the kernel cannot give it.
#[inline(always)]
pub fn current<'a>() -> Option<&'a mut Thread> {
    let thread = storage(u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE));
    if thread.is_none() {
        count(loss::NO_THREAD_STATE);
    }
    thread
}

/// A number for a thread that no other has, though the kernel may use its id again.
#[inline(always)]
pub fn number(thread: &mut Thread) -> u64 {
    if thread.number == 0
        && let Some(met) = CURSORS.get_ptr_mut(THREADS_MET)
    {
        thread.number = atomic::fetch_add(met, 1) + 1;
    }
    thread.number
}

/// The running thread's state if it has one.
#[inline(always)]
pub fn existing<'a>() -> Option<&'a mut Thread> {
    storage(0)
}

#[inline(always)]
fn storage<'a>(flags: u64) -> Option<&'a mut Thread> {
    // SAFETY: the helper returns null or this task's own storage, zeroed when new and alive while the task runs. No
    // other program touches it meanwhile: programs that use it do not nest in one thread.
    unsafe {
        let task = bpf_get_current_task_btf();
        let map = (&raw const THREADS).cast_mut().cast::<c_void>();
        bpf_task_storage_get(map, task.cast(), null_mut(), flags).cast::<Thread>().as_mut()
    }
}
