//! Walks the interpreter's frames. From 3.11 on they lie one behind the other, the older ones below: so a block of them is
//! read at once.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use memtrace_common::python::{FIRST_TRACEABLE, FRAME_BYTES, PythonRecord, WINDOW_BYTES, frame};

use super::{
    Context, codes,
    state::read,
    storage::{NO_WINDOW, PythonThread},
};
use crate::{
    maps::FRAME_LIMIT,
    stack::{mix, opaque},
    thread::FRAME_PLACES,
};

/// A frame ends no further than one page after it begins.
const PAGE: u64 = 4096;
/// Bits of an address within a cache line.
const LINE_MASK: u64 = 63;
/// `FRAME_OWNED_BY_GENERATOR` (`pycore_frame.h`).
const GENERATOR: u64 = 1;
/// Bits of a pointer to a code object that are its address: from 3.14 on, the lowest ones are marks.
const OBJECT_ADDRESS: u64 = !7;
/// Bits of an instruction: an address in user space, or a number. Above them is what kind of frame it is.
const INSTRUCTION: u64 = frame::ANY_FLAG - 1;

/// Bytes of an instruction, and instructions that set a frame up at most: one for each variable that inner functions share, and a
/// few more. A frame that is further on is not asked.
const INSTRUCTION_BYTES: u64 = 2;
const MOST_SETTING_UP: u64 = 64;

/// Frames that are walked at a time: what goes from one to the next stays in registers.
const AT_ONCE: u32 = 16;

/// Bytes that are read first: few frames are most often all.
const FIRST_WINDOW: u64 = 512;

/// Walks from the frame in the thread's state.
///
/// # Safety
/// The context's pointers are to this thread's storage and to map values.
#[inline(always)]
pub unsafe fn walk(context: &mut Context) {
    let times = FRAME_LIMIT.load().div_ceil(AT_ONCE);
    // SAFETY: the callback gets this context.
    unsafe { bpf_loop(times, step as *mut c_void, core::ptr::from_mut(context).cast(), 0) };
}

/// Some frames. Returns 1 to end.
unsafe extern "C" fn step(_index: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `walk` with its own context.
    unsafe {
        let Context { python, record, generations } = *context;
        let (mut at, mut count, mut hash) = ((*python).frame, (*python).count, (*python).hash);
        let left = u64::from(FRAME_LIMIT.load()).wrapping_sub(count);
        let mut ended = 0;
        for index in 0..AT_ONCE {
            let into = at.wrapping_sub((*python).window_start);
            if (into > (*python).window_room && !fill(python, record, at)) || u64::from(index) >= left {
                ended = 1;
                break;
            }
            let frame = in_window(python, at);
            let (code, word) = look_at(frame, record);
            at = field(frame, (*record).offsets.frame_previous);
            let place = opaque(count) as usize & (FRAME_PLACES - 1);
            (*python).frames[place] = [code, word];
            hash = mix(hash, codes::identity(generations, (*python).seed, code) ^ word);
            count += 1;
        }
        ((*python).frame, (*python).count, (*python).hash) = (at, count, hash);
        ended
    }
}

/// The code object of a frame in the window, and its word until it is numbered.
#[inline(always)]
unsafe fn look_at(frame: *const u64, record: *const PythonRecord) -> (u64, u64) {
    // SAFETY: as promised by the caller.
    unsafe {
        let code = field(frame, (*record).offsets.frame_code) & OBJECT_ADDRESS;
        let instruction = field(frame, (*record).offsets.frame_instruction) & INSTRUCTION;
        if field(frame, (*record).frame_state) & (*record).state_bits == 0 {
            return (code, instruction);
        }
        let owner = byte(frame, (*record).offsets.frame_owner);
        if owner >= (*record).first_mark {
            return (0, frame::MARK);
        }
        let entry = byte(frame, (*record).offsets.frame_entry) & 1 != 0;
        let flags = if owner == GENERATOR { frame::GENERATOR } else { 0 } | if entry { frame::ENTRY } else { 0 };
        (code, instruction | flags)
    }
}

/// Whether the frame, which must be numbered, counts: its word is no mark, and it is not being set up. Only its first
/// instructions are worth a look at how many of them do that.
///
/// # Safety
/// As for [`walk`].
#[inline(always)]
pub unsafe fn has_line(python: *const PythonThread, record: *const PythonRecord, index: u64) -> bool {
    // SAFETY: as promised by the caller; the place is masked.
    unsafe {
        let [code, word] = (*python).frames[opaque(index) as usize & (FRAME_PLACES - 1)];
        if word & frame::MARK != 0 {
            return false;
        }
        let instructions = (*record).instructions;
        // A frame that has done nothing is one instruction before the first.
        let done =
            (u64::from(frame::instruction(word)) + INSTRUCTION_BYTES).wrapping_sub(instructions) / INSTRUCTION_BYTES;
        if instructions == 0 || done > MOST_SETTING_UP {
            return true;
        }
        done > read(code.wrapping_add(instructions).wrapping_sub(FIRST_TRACEABLE)) & 0xffff_ffff
    }
}

/// Makes the window hold the frame at `at`: from as far below as is wished, but never a further page, so that nothing is
/// touched that the interpreter has not. In line: to 6.1, the stacks of programs that call each other may hold 512 bytes in all.
#[inline(always)]
unsafe fn fill(python: *mut PythonThread, record: *const PythonRecord, at: u64) -> bool {
    // SAFETY: the thread's own storage; the length is bounded by the window's.
    unsafe {
        if at == 0 {
            return false;
        }
        let end = at.wrapping_add((*record).frame_length);
        let page = at & !(PAGE - 1);
        let most = (*record).window;
        let wished = if (*python).window_start == NO_WINDOW && most > FIRST_WINDOW { FIRST_WINDOW } else { most };
        // From the start of a cache line on, copying is faster.
        let from_end = (end.wrapping_sub(wished) + LINE_MASK) & !LINE_MASK;
        let low = if end.wrapping_sub(page) <= wished { page } else { from_end.min(at) };
        let length = opaque(end.wrapping_sub(low).wrapping_sub(8) & (WINDOW_BYTES as u64 - 8)) + 8;
        (*python).window_start = low;
        (*python).window_room = at.wrapping_sub(low);
        let to = (&raw mut (*python).scratch).cast::<c_void>();
        bpf_probe_read_user(to, length as u32, low as *const c_void) == 0
    }
}

/// Where the window holds the frame at `at`.
#[inline(always)]
unsafe fn in_window(python: *mut PythonThread, at: u64) -> *const u64 {
    // SAFETY: the place is masked to the window.
    unsafe {
        let into = opaque(at.wrapping_sub((*python).window_start)) as usize & (WINDOW_BYTES - 8);
        (&raw const (*python).scratch.window).cast::<u64>().byte_add(into)
    }
}

/// A word of a frame in the window.
#[inline(always)]
unsafe fn field(frame: *const u64, offset: u64) -> u64 {
    // SAFETY: no further behind the window's end than it has room for.
    unsafe { frame.byte_add(opaque(offset) as usize & (FRAME_BYTES - 8)).read() }
}

/// A byte of the frame; 0 at offset 0, which stands for none.
#[inline(always)]
unsafe fn byte(frame: *const u64, offset: u64) -> u64 {
    if offset == 0 {
        return 0;
    }
    // SAFETY: as promised by the caller.
    unsafe { u64::from(frame.cast::<u8>().add(opaque(offset) as usize & (FRAME_BYTES - 1)).read()) }
}
