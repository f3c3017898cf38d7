//! The running thread's Python frames, behind its native ones; see `memtrace_common::python`.
//!
//! A process that runs no Python pays for one word that is looked at. Needs `bpf_loop` (5.17).

mod begin;
mod codes;
mod end;
mod frames;
mod inherit;
mod state;
mod storage;

use memtrace_common::{
    process::ProcessRecord,
    python::{Generations, PythonRecord, interpreter},
    site::SHORT_PYTHON,
};

pub use self::{
    begin::begin,
    end::end,
    inherit::inherit,
    storage::{PythonThread, word},
};
use crate::{
    maps::{MAY_LOOP, PYTHONS},
    stack::{Walked, mix},
    thread::{self, Thread},
};

/// What the walk's loop gets: pointers, which cannot live in a map.
#[repr(C)]
pub struct Context {
    python: *mut PythonThread,
    record: *const PythonRecord,
    generations: *const Generations,
}

/// The interpreter of a process, and what is known of it; `None` without.
#[inline(always)]
fn record_of(process: &ProcessRecord) -> Option<(u64, *const PythonRecord)> {
    // Constant in the loaded program: where there is no `bpf_loop`, the verifier drops all that follows.
    if MAY_LOOP.load() == 0 {
        return None;
    }
    // SAFETY: a map value; volatile, as user space writes it.
    let interpreter = unsafe { core::ptr::read_volatile(&raw const process.python) };
    if interpreter == 0 {
        return None;
    }
    Some((interpreter, PYTHONS.get_ptr(interpreter::slot(interpreter))?))
}

/// Adds the thread's Python frames to the walk.
#[inline(always)]
pub fn walk(thread: &mut Thread, process: &ProcessRecord, walked: &mut Walked) {
    thread.python_frames = 0;
    let Some((interpreter, record)) = record_of(process) else { return };
    let count = walk_interpreter(interpreter, record);
    if count == 0 {
        return;
    }
    thread.python_frames = u64::from(count);
    if let Some(python) = storage::existing() {
        walked.hash = mix(walked.hash, python.hash);
    }
}

/// The number of frames found; a function of its own, so that the verifier walks it once.
#[inline(never)]
fn walk_interpreter(interpreter: u64, record: *const PythonRecord) -> u32 {
    let Some(generations) = codes::generations() else { return 0 };
    let Some(python) = storage::current() else { return 0 };
    python.count = 0;
    python.hash = 0;
    python.numbered = 0;
    python.window_start = storage::NO_WINDOW;
    python.window_room = 0;
    python.interpreter = interpreter;
    python.seed = codes::seed_of(interpreter);
    let python: *mut PythonThread = python;
    // SAFETY: this thread's storage, and a map value that user space has written before it named it.
    unsafe {
        if !state::find_frame(python, record) {
            return 0;
        }
        let mut context = Context { python, record, generations };
        frames::walk(&mut context);
        (*python).hash ^= codes::innermost_mark(&raw mut context);
        core::ptr::read_volatile(&raw const (*python).count) as u32
    }
}

/// Gives the innermost `count` frames of the walk the words that user space gets, or as many as there are. The thread runs their
/// code, so it is there.
#[inline(always)]
pub fn name_frames(count: u64) {
    if MAY_LOOP.load() != 0 {
        memtrace_name_frames(count);
    }
}

/// A global function of a plain word, so that the verifier takes it apart once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn memtrace_name_frames(count: u64) -> u64 {
    if MAY_LOOP.load() != 0
        // What the thread has kept of an earlier walk is not looked at.
        && thread::existing().is_some_and(|thread| thread.python_frames != 0)
        && let Some(python) = storage::existing()
    {
        codes::number_frames(python, count);
    }
    count
}

/// How many of the innermost frames of the walk, of which there are `count`, hold one that has a line: marks are no frames, and
/// those that are being set up do not count. The first [`SHORT_PYTHON`] are looked at, and must be numbered.
#[inline(always)]
pub fn words_to_line(count: u64) -> u64 {
    let Some(python) = storage::existing() else { return 0 };
    let Some(record) = PYTHONS.get_ptr(interpreter::slot(python.interpreter)) else { return 0 };
    for index in 0..SHORT_PYTHON {
        if index >= count {
            return index;
        }
        // SAFETY: a map value that user space wrote before it named it, and this thread's storage.
        if unsafe { frames::has_line(python, record, index) } {
            return index + 1;
        }
    }
    SHORT_PYTHON
}

/// A block is freed: if it is a code object, another one may get its address.
#[inline(always)]
pub fn freed(process: &ProcessRecord, address: u64) {
    if let Some((interpreter, _)) = record_of(process) {
        codes::forget(interpreter, address);
    }
}
