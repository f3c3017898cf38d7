//! Walks the interpreter's frames. From 3.11 on they lie one behind the other, the older ones below: so a block of them is
//! read at once.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use memtrace_common::python::{WINDOW_BYTES, frame};

use super::{Context, codes, storage::PythonThread};
use crate::{
    maps::FRAME_LIMIT,
    stack::{mix, opaque},
    thread::FRAME_PLACES,
};

/// A frame ends no further than one page after it begins.
const PAGE: u64 = 4096;
/// `FRAME_OWNED_BY_GENERATOR` (`pycore_frame.h`).
const GENERATOR: u64 = 1;
/// Bits of a pointer to a code object that are its address: from 3.14 on, the lowest ones are marks.
const OBJECT_ADDRESS: u64 = !7;

/// Walks from the frame in the thread's state.
///
/// # Safety
/// The context's pointers are to this thread's storage and to a map value.
#[inline(always)]
pub unsafe fn walk(context: &mut Context) {
    // SAFETY: the callback gets this context.
    unsafe { bpf_loop(FRAME_LIMIT.load(), step as *mut c_void, core::ptr::from_mut(context).cast(), 0) };
}

/// One frame. Returns 1 to end.
unsafe extern "C" fn step(_index: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `walk` with its own context.
    unsafe {
        let python = (*context).python;
        let record = (*context).record;
        let at = (*python).frame;
        if at == 0 || !fill(context, at) {
            return 1;
        }
        let code = field(python, at, (*record).offsets.frame_code) & OBJECT_ADDRESS;
        let instruction = field(python, at, (*record).offsets.frame_instruction);
        let owner = byte(python, at, (*record).offsets.frame_owner);
        (*python).frame = field(python, at, (*record).offsets.frame_previous);
        let word = if (*record).offsets.frame_owner != 0 && owner >= (*record).first_mark {
            frame::pack(0, 0, frame::MARK)
        } else {
            let entry = byte(python, at, (*record).offsets.frame_entry) & 1 != 0;
            let flags = if owner == GENERATOR { frame::GENERATOR } else { 0 } | if entry { frame::ENTRY } else { 0 };
            let number = codes::number(context, code);
            let base = if (*record).by_address != 0 { code } else { 0 };
            frame::pack(number, instruction.wrapping_sub(base), flags)
        };
        let place = opaque((*python).count) as usize & (FRAME_PLACES - 1);
        (*python).words[place] = word;
        (*python).hash = mix((*python).hash, word);
        (*python).count += 1;
        0
    }
}

/// Makes the window hold the frame at `at`: from as far below as is wished, but never a further page, so that nothing is
/// touched that the interpreter has not.
#[inline(always)]
unsafe fn fill(context: *mut Context, at: u64) -> bool {
    // SAFETY: the thread's own storage; the length is bounded by the window's.
    unsafe {
        let python = (*context).python;
        let record = (*context).record;
        let end = at.wrapping_add((*record).frame_length);
        let start = (*python).window_start;
        if at.wrapping_sub(start) < (*python).window_length && end.wrapping_sub(start) <= (*python).window_length {
            return true;
        }
        let page = at & !(PAGE - 1);
        let wished = (*record).window;
        let low = if end.wrapping_sub(page) > wished { end.wrapping_sub(wished) } else { page };
        let length = opaque(end.wrapping_sub(low).wrapping_sub(8) & (WINDOW_BYTES as u64 - 8)) + 8;
        (*python).window_start = low;
        (*python).window_length = length;
        let to = (&raw mut (*python).window).cast::<c_void>();
        if bpf_probe_read_user(to, length as u32, low as *const c_void) != 0 {
            (*python).window_length = 0;
            return false;
        }
        true
    }
}

/// A word of the frame at `at`, which the window holds.
#[inline(always)]
unsafe fn field(python: *mut PythonThread, at: u64, offset: u64) -> u64 {
    // SAFETY: the index is masked to the window.
    unsafe {
        let into = at.wrapping_add(offset).wrapping_sub((*python).window_start) >> 3;
        *(&raw const (*python).window).cast::<u64>().add(opaque(into & (WINDOW_BYTES as u64 / 8 - 1)) as usize)
    }
}

/// A byte of the frame; 0 at offset 0, which stands for none.
#[inline(always)]
unsafe fn byte(python: *mut PythonThread, at: u64, offset: u64) -> u64 {
    if offset == 0 {
        return 0;
    }
    // SAFETY: as promised by the caller.
    unsafe { field(python, at, offset & !7) >> ((offset & 7) * 8) & 0xff }
}
