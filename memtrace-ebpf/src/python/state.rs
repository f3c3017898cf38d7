//! The running thread's own state in the interpreter, and the innermost of its frames.
//!
//! To Python 3.11 the interpreter names the state of the thread that holds its lock. That is right also with several
//! interpreters in one thread, but it is the running thread's only if the thread's id says so: native code may allocate
//! while another thread has the lock. Otherwise, and from 3.12 on, the state is found as the interpreter itself does,
//! among the thread's values by key (`pthread_getspecific`).

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_get_current_task, bpf_probe_read_kernel, bpf_probe_read_user};
use memtrace_common::python::PythonRecord;

use super::storage::PythonThread;
use crate::stack::opaque;

/// Bytes that are read of a thread state: all that is looked at.
const STATE_BYTES: u32 = 184;
/// Values of a thread that lie in a block.
const BLOCK: u64 = 32;

/// Finds the innermost frame; `false` when the thread runs no Python.
///
/// # Safety
/// `python` is this thread's storage, `record` a map value.
#[inline(always)]
pub unsafe fn find_frame(python: *mut PythonThread, record: *const PythonRecord) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        if !find_thread(python, record) || !(read_current(python, record) || read_own(python, record)) {
            return false;
        }
        let frame = state_word(python, (*record).offsets.state_frame);
        let step = (*record).offsets.step;
        (*python).frame = if step == 0 { frame } else { read(frame.wrapping_add(step - 1)) };
        true
    }
}

/// Finds out who the thread is. Its storage outlives an exec, which has another interpreter.
#[inline(always)]
unsafe fn find_thread(python: *mut PythonThread, record: *const PythonRecord) -> bool {
    // SAFETY: as promised by the caller; the helper checks the kernel's address.
    unsafe {
        if (*python).known == (*python).interpreter {
            return true;
        }
        let mut pointer = 0u64;
        let at = bpf_get_current_task().wrapping_add((*record).thread_pointer);
        if bpf_probe_read_kernel((&raw mut pointer).cast(), 8, at as *const c_void) != 0 {
            return false;
        }
        (*python).known = (*python).interpreter;
        (*python).thread = pointer.wrapping_sub((*record).thread_below);
        (*python).own_state = 0;
        true
    }
}

/// Reads the state of the thread that holds the lock; `false` unless that is this one.
#[inline(always)]
unsafe fn read_current(python: *mut PythonThread, record: *const PythonRecord) -> bool {
    // SAFETY: as promised by the caller.
    unsafe { (*record).current_state != 0 && read_state(python, record, read((*record).current_state)) }
}

/// Reads the thread's own state.
#[inline(always)]
unsafe fn read_own(python: *mut PythonThread, record: *const PythonRecord) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        if (*python).own_state == 0 && !find_own(python, record) {
            return false;
        }
        read_state(python, record, read((*python).own_state))
    }
}

/// Finds where the pointer to the thread's own state is. In glibc the first block of values lies in the thread's descriptor,
/// behind which are pointers to the blocks; in musl a pointer to all values.
#[inline(always)]
unsafe fn find_own(python: *mut PythonThread, record: *const PythonRecord) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        let key = read((*record).key);
        if key as u32 == 0 {
            return false;
        }
        let key = key >> 32;
        let first = (*python).thread.wrapping_add((*record).values);
        if (*record).values_behind != 0 {
            let all = read(first);
            (*python).own_state = if all == 0 { 0 } else { all.wrapping_add(key * 8) };
            return all != 0;
        }
        let block = if key < BLOCK { first } else { read(first.wrapping_add(BLOCK * 16 + (key / BLOCK) * 8)) };
        if block == 0 {
            return false;
        }
        (*python).own_state = block.wrapping_add(key % BLOCK * 16 + 8);
        true
    }
}

/// Reads a state; `false` when it is not there, or another thread's.
#[inline(always)]
unsafe fn read_state(python: *mut PythonThread, record: *const PythonRecord, state: u64) -> bool {
    // SAFETY: as promised by the caller; the window is longer than a state, the helper checks the user address.
    unsafe {
        let to = (&raw mut (*python).scratch).cast::<c_void>();
        state != 0
            && bpf_probe_read_user(to, STATE_BYTES, state as *const c_void) == 0
            && state_word(python, (*record).offsets.state_thread) == (*python).thread
    }
}

/// A word of the state that has been read.
#[inline(always)]
unsafe fn state_word(python: *mut PythonThread, offset: u64) -> u64 {
    // SAFETY: the index is masked below the window's length.
    unsafe { *(&raw const (*python).scratch).cast::<u64>().add(opaque(offset >> 3 & 31) as usize) }
}

/// A word of the process's memory; 0 when it cannot be read.
#[inline(always)]
pub unsafe fn read(address: u64) -> u64 {
    let mut value = 0u64;
    // SAFETY: 8 bytes into a variable of 8 bytes; the helper checks the user address.
    if unsafe { bpf_probe_read_user((&raw mut value).cast(), 8, address as *const c_void) } != 0 {
        return 0;
    }
    value
}
