//! What is remembered of a thread that runs Python, apart from [`crate::thread::Thread`], which has no room for it.

use core::{ffi::c_void, ptr::null_mut};

use aya_ebpf::{
    bindings::BPF_LOCAL_STORAGE_GET_F_CREATE,
    helpers::{bpf_get_current_task_btf, generated::bpf_task_storage_get},
};
use memtrace_common::{
    loss,
    python::{CodeRecord, FRAME_BYTES, WINDOW_BYTES},
};

use crate::{loss::count, maps::PYTHON_THREADS, stack::opaque, thread::FRAME_PLACES};

/// State of one thread, and of its walk under way.
#[repr(C)]
pub struct PythonThread {
    /// The interpreter that the next two are of.
    pub known: u64,
    /// The thread's id as the C library has it.
    pub thread: u64,
    /// Address of the pointer to the thread's own state; 0 until it is known.
    pub own_state: u64,
    /// The process's interpreter: see `memtrace_common::python::interpreter`.
    pub interpreter: u64,
    /// What keys of its code objects are mixed with.
    pub seed: u64,
    /// The frame that is looked at.
    pub frame: u64,
    /// Frames met.
    pub count: u64,
    /// Running hash over them.
    pub hash: u64,
    /// First address of the copy of frames, or [`NO_WINDOW`].
    pub window_start: u64,
    /// The last frame in the copy begins so many bytes behind its first address.
    pub window_room: u64,
    /// Frames whose words are as user space gets them: the innermost ones.
    pub numbered: u64,
    /// Of each frame the address of its code object, 0 of what is no frame, and its word: until it is numbered, the
    /// instruction and what kind of frame it is.
    pub frames: [[u64; 2]; FRAME_PLACES],
    /// Where a line table lies whose pieces are being sent, and its bytes.
    pub table: u64,
    /// See `table`.
    pub table_bytes: u64,
    /// What is being copied.
    pub scratch: Scratch,
}

/// While frames are walked, and when they are numbered afterwards.
#[repr(C, align(64))]
pub union Scratch {
    /// Copy of a part of the frames, or of the thread's state, and room for a frame that is looked for at its end.
    pub window: [u64; (WINDOW_BYTES + FRAME_BYTES) / 8],
    /// A code object on its way to user space.
    pub record: CodeRecord,
}

/// There is no copy of frames: before every address, that of no frame included, by more than the room of 0.
pub const NO_WINDOW: u64 = u64::MAX;

/// As for `Thread`.
const _: () = assert!(size_of::<PythonThread>() <= 8192 - 192);

/// The running thread's state, made when it has none; `None`, and counted, when the kernel cannot give it.
#[inline(always)]
pub fn current<'a>() -> Option<&'a mut PythonThread> {
    let python = get(u64::from(BPF_LOCAL_STORAGE_GET_F_CREATE));
    if python.is_none() {
        count(loss::NO_THREAD_STATE);
    }
    python
}

/// The running thread's state if it has one.
#[inline(always)]
pub fn existing<'a>() -> Option<&'a mut PythonThread> {
    get(0)
}

/// The word of a frame of the last walk, which must be numbered.
#[inline(always)]
pub fn word(index: u64) -> u64 {
    let Some(python) = existing() else { return 0 };
    python.frames[opaque(index) as usize & (FRAME_PLACES - 1)][1]
}

#[inline(always)]
fn get<'a>(flags: u64) -> Option<&'a mut PythonThread> {
    // SAFETY: as for `thread::storage`.
    unsafe {
        let task = bpf_get_current_task_btf();
        let map = (&raw const PYTHON_THREADS).cast_mut().cast::<c_void>();
        bpf_task_storage_get(map, task.cast(), null_mut(), flags).cast::<PythonThread>().as_mut()
    }
}
