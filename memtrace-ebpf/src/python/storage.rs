//! What is remembered of a thread that runs Python, apart from [`crate::thread::Thread`], which has no room for it.

use core::{ffi::c_void, ptr::null_mut};

use aya_ebpf::{
    bindings::BPF_LOCAL_STORAGE_GET_F_CREATE,
    helpers::{bpf_get_current_task_btf, generated::bpf_task_storage_get},
};
use memtrace_common::{
    loss,
    python::{CodeRecord, WINDOW_BYTES},
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
    /// Running hash over their words.
    pub hash: u64,
    /// First address of the copy of frames, and its bytes.
    pub window_start: u64,
    /// See `window_start`.
    pub window_length: u64,
    /// Words of the frames.
    pub words: [u64; FRAME_PLACES],
    /// Copy of a part of the frames, or of the thread's state.
    pub window: [u64; WINDOW_BYTES / 8],
    /// Where a line table lies whose pieces are being sent, and its bytes.
    pub table: u64,
    /// See `table`.
    pub table_bytes: u64,
    /// A code object on its way to user space.
    pub record: CodeRecord,
}

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

/// The word of a frame of the last walk.
#[inline(always)]
pub fn word(index: u64) -> u64 {
    let Some(python) = existing() else { return 0 };
    python.words[opaque(index) as usize & (FRAME_PLACES - 1)]
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
