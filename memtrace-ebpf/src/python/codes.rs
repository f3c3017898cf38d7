//! Numbers of code objects: given when an object is first seen, forgotten when it is freed. With a number goes a copy of the
//! object to user space: at this moment the thread runs it, later it may be gone.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user, bpf_ringbuf_output};
use memtrace_common::{
    loss,
    python::{
        BUCKET_CODES, BYTES_HEAD, BYTES_LENGTH, Bucket, CODE_BUCKET_BITS, CODE_BYTES, CodeRecord, GENERATION_BITS,
        Generations, LATE_CODES, PIECE_BYTES, PIECE_HEAD, PIECES, SHORT_TEXT_BYTES, TABLE_BYTES, TEXT_BYTES, frame,
        interpreter, mark,
        numbers::{LAST_CODE, LATE_BEGUN, LATE_WRITTEN},
    },
};

use super::{Context, state::read, storage::PythonThread};
use crate::{
    atomic,
    loss::count,
    maps::{PYTHON_CODE_RING, PYTHON_CODES, PYTHON_GENERATIONS, PYTHON_LATE, PYTHON_NUMBERS, PYTHONS},
    stack::opaque,
    thread::FRAME_PLACES,
};

/// Mask of the places for late ones.
const PLACES: u64 = LATE_CODES as u64 - 1;

/// A generation is added above the bits in which instructions of one code object differ.
const GENERATION_SHIFT: u32 = 40;

/// What the keys of one process are mixed with, by the word that names its interpreter.
#[inline(always)]
pub fn seed_of(interpreter: u64) -> u64 {
    interpreter.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Different for all addresses of one process, and spread over all 64 bits: those of two are as good as never equal.
#[inline(always)]
fn key_of(seed: u64, address: u64) -> u64 {
    seed ^ address.wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// The index of a bucket: the highest bits, on which all of the address bears.
#[inline(always)]
fn place_of(key: u64) -> u32 {
    (key >> (64 - CODE_BUCKET_BITS)) as u32
}

/// The counters, for [`identity`].
#[inline(always)]
pub fn generations() -> Option<*const Generations> {
    PYTHON_GENERATIONS.get_ptr(0)
}

/// What stands for the code object at an address as long as it is known. A stack is told by its addresses, so that the table is
/// looked at for new ones alone; when an object is known no more, its address may become another's.
///
/// # Safety
/// The pointer is to the map value.
#[inline(always)]
pub unsafe fn identity(generations: *const Generations, seed: u64, address: u64) -> u64 {
    let key = key_of(seed, address);
    // SAFETY: as promised by the caller; volatile, as other CPUs write it.
    let generation = unsafe { core::ptr::read_volatile(generations.cast::<u64>().add(generation_of(key))) };
    key.wrapping_add(generation << GENERATION_SHIFT)
}

/// The index of a counter, in the same way.
#[inline(always)]
fn generation_of(key: u64) -> usize {
    (key >> (64 - GENERATION_BITS)) as usize
}

/// The object with this key is known no more: stacks with it that are met from now on are others.
#[inline(always)]
fn end_generation(key: u64) {
    if let Some(generations) = PYTHON_GENERATIONS.get_ptr_mut(0) {
        let place = opaque(generation_of(key) as u64) as usize & ((1 << GENERATION_BITS) - 1);
        // SAFETY: a map value, of which a place is computed that is within its bounds.
        atomic::add(unsafe { generations.cast::<u64>().add(place) }, 1);
    }
}

/// Numbers the innermost `count` frames of the walk, or as many as there are.
#[inline(always)]
pub fn number_frames(python: *mut PythonThread, count: u64) {
    // SAFETY: this thread's storage; the callback gets this context.
    unsafe {
        let Some(record) = PYTHONS.get_ptr(interpreter::slot((*python).interpreter)) else { return };
        let Some(generations) = generations() else { return };
        let mut context = Context { python, record, generations };
        bpf_loop(count as u32, next_number as *mut c_void, (&raw mut context).cast(), 0);
    }
}

/// One frame. Returns 1 to end.
unsafe extern "C" fn next_number(index: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `number_frames` with its own context.
    unsafe {
        let python = (*context).python;
        if index < (*python).numbered {
            return 0;
        }
        if index >= (*python).count {
            return 1;
        }
        let place = opaque(index) as usize & (FRAME_PLACES - 1);
        let [code, word] = (*python).frames[place];
        let flags = word & !(frame::ANY_FLAG - 1);
        (*python).numbered = index + 1;
        (*python).frames[place][1] = if code == 0 {
            frame::pack(0, 0, flags)
        } else {
            let base = if (*(*context).record).instructions != 0 { code } else { 0 };
            frame::pack(number(context, code, index == 0), word.wrapping_sub(base), flags)
        };
        0
    }
}

/// The number of a code object; 0 when it cannot be told.
#[inline(always)]
unsafe fn number(context: *mut Context, address: u64, is_innermost: bool) -> u64 {
    // SAFETY: as promised by the caller; map values, of which torn pairs are told by the mixed key.
    unsafe {
        let key = key_of((*(*context).python).seed, address);
        let Some(bucket) = PYTHON_CODES.get_ptr_mut(place_of(key)) else { return 0 };
        for way in 0..BUCKET_CODES {
            let value = core::ptr::read_volatile(&raw const (*bucket)[way][1]);
            if value == 0 || core::ptr::read_volatile(&raw const (*bucket)[way][0]) ^ value != key {
                continue;
            }
            if !is_innermost || (*(*context).record).check_innermost == 0 || value >> 24 == mark_of(context, address) {
                return value & (frame::CODES - 1);
            }
            // Another object, whose free was not seen.
            core::ptr::write_volatile(&raw mut (*bucket)[way][1], 0);
            end_generation(key);
        }
        let value = learn(context, address);
        if value == 0 {
            // Its stacks are to be met anew, when it may be known.
            end_generation(key);
        } else {
            know(key, value);
        }
        value & (frame::CODES - 1)
    }
}

/// What the hash of a stack gets besides, where frees of code objects are not seen: of the innermost frame, as each read costs as
/// much as two frames.
#[inline(always)]
pub unsafe fn innermost_mark(context: *mut Context) -> u64 {
    // SAFETY: as promised by the caller.
    unsafe {
        let code = (*(*context).python).frames[0][0];
        if (*(*context).record).check_innermost == 0 || code == 0 { 0 } else { mark_of(context, code) }
    }
}

/// What is compared of a code object besides its address.
#[inline(always)]
unsafe fn mark_of(context: *mut Context, address: u64) -> u64 {
    // SAFETY: as promised by the caller.
    unsafe {
        let record = (*context).record;
        let line = read(address.wrapping_add((*record).offsets.code_line));
        mark(line, read(address.wrapping_add((*record).offsets.code_table)))
    }
}

/// Gives a code object a number, and hands a copy of it to user space. Returns what the table holds of it, 0 for nothing.
#[inline(never)]
unsafe fn learn(context: *mut Context, address: u64) -> u64 {
    // SAFETY: as promised by the caller.
    unsafe {
        let python = (*context).python;
        let Some(next) = PYTHON_NUMBERS.get_ptr_mut(LAST_CODE) else { return 0 };
        let to = (&raw mut (*python).scratch.record.object).cast::<c_void>();
        let length = opaque((*(*context).record).code_length & 0xf8);
        if length > CODE_BYTES as u64 {
            return 0;
        }
        // One that is in no memory at the moment (swapped out) is sent as zeros, which the helper leaves: user space reads it.
        // Without a number, each call from it would be a stack of its own.
        let _is_read = bpf_probe_read_user(to, length as u32, address as *const c_void) == 0;
        // When all have been given, from the beginning: user space has made what had them unknown long before.
        let number = (atomic::fetch_add(next, 1) + 1) & (frame::CODES - 1);
        if number == 0 {
            return 0;
        }
        let mark = mark_of(context, address);
        (*python).scratch.record.code = number as u32;
        (*python).scratch.record.slot = interpreter::slot((*python).interpreter);
        (*python).scratch.record.address = address;
        // It has its number even so: without one, each call from it would be a stack of its own.
        if !send(context) {
            leave(address, mark, u64::from(interpreter::slot((*python).interpreter)) << 32 | number);
        }
        number | mark << 24
    }
}

/// Enters an object in the table. When that fails, which it cannot, the object is met anew.
#[inline(never)]
fn know(key: u64, value: u64) {
    let Some(bucket) = PYTHON_CODES.get_ptr_mut(place_of(key)) else { return };
    // SAFETY: a map value; volatile, as other CPUs write it.
    unsafe {
        let way = opaque(room_in(bucket, value)) as usize & (BUCKET_CODES - 1);
        core::ptr::write_volatile(&raw mut (*bucket)[way][1], 0);
        core::ptr::write_volatile(&raw mut (*bucket)[way][0], key ^ value);
        core::ptr::write_volatile(&raw mut (*bucket)[way][1], value);
    }
}

/// Lets user space read a code object from the process. A function of its own as the calls to this depth have the least room of
/// stack (512 bytes in all, each function's rounded up to 32).
#[inline(never)]
fn leave(address: u64, mark: u64, code_and_slot: u64) {
    let begun = PYTHON_NUMBERS.get_ptr_mut(LATE_BEGUN);
    let place = begun.and_then(|begun| PYTHON_LATE.get_ptr_mut((atomic::fetch_add(begun, 1) & PLACES) as u32));
    let (Some(place), Some(written)) = (place, PYTHON_NUMBERS.get_ptr_mut(LATE_WRITTEN)) else { return };
    // SAFETY: a map value of this program alone, until its last word is written.
    unsafe {
        if core::ptr::read_volatile(&raw const (*place).code_and_slot) != 0 {
            return count(loss::PYTHON_CODE);
        }
        core::ptr::write_volatile(&raw mut (*place).address, address);
        core::ptr::write_volatile(&raw mut (*place).mark, mark);
        atomic::publish(&raw mut (*place).code_and_slot, code_and_slot);
    }
    atomic::add(written, 1);
}

/// A place in a bucket that is free, or becomes so: of a crowded one any, by the new object's number.
#[inline(always)]
unsafe fn room_in(bucket: *mut Bucket, value: u64) -> u64 {
    // SAFETY: a map value; volatile, as other CPUs write it.
    unsafe {
        for way in 0..BUCKET_CODES {
            if core::ptr::read_volatile(&raw const (*bucket)[way][1]) == 0 {
                return way as u64;
            }
        }
        let way = opaque(value) as usize & (BUCKET_CODES - 1);
        let [mixed, value] = core::ptr::read_volatile(&raw const (*bucket)[way]);
        end_generation(mixed ^ value);
        way as u64
    }
}

/// Copies the texts and the line table, and sends the record. What cannot be read here, as it is in no memory at the moment,
/// user space reads.
#[inline(always)]
unsafe fn send(context: *mut Context) -> bool {
    // SAFETY: the thread's own storage, lengths within its fields; the helper checks user addresses.
    unsafe {
        let python = (*context).python;
        let described = (*context).record;
        let record = &raw mut (*python).scratch.record;
        read_text((&raw mut (*record).file).cast(), object_word(python, (*described).offsets.code_file));
        read_text((&raw mut (*record).name).cast(), object_word(python, (*described).offsets.code_name));
        let table = object_word(python, (*described).offsets.code_table);
        let length = read(table.wrapping_add(BYTES_LENGTH));
        (*record).table_length = length;
        let copied = opaque(if length > TABLE_BYTES as u64 { TABLE_BYTES as u64 } else { length });
        if copied > TABLE_BYTES as u64 {
            return false;
        }
        let to = (&raw mut (*record).table).cast::<c_void>();
        let mut sent = copied;
        if copied != 0 && bpf_probe_read_user(to, copied as u32, table.wrapping_add(BYTES_HEAD) as *const c_void) != 0 {
            sent = 0;
        }
        let sent = opaque(sent);
        if sent > TABLE_BYTES as u64 {
            return false;
        }
        let bytes = (size_of::<CodeRecord>() - TABLE_BYTES) as u64 + sent;
        let ring = (&raw const PYTHON_CODE_RING).cast_mut().cast::<c_void>();
        if bpf_ringbuf_output(ring, record.cast(), bytes, 0) != 0 {
            return false;
        }
        if sent == TABLE_BYTES as u64 && length > sent {
            (*record).address = 0;
            (*record).table_length = sent;
            (*python).table = table.wrapping_add(BYTES_HEAD);
            (*python).table_bytes = length;
            // What is not sent user space reads, if it is still there: a module's code goes with its first run.
            bpf_loop(PIECES, next_piece as *mut c_void, context.cast(), 0);
        }
        true
    }
}

/// A piece of the line table. Returns 1 to end.
unsafe extern "C" fn next_piece(_index: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `send` with its own context; the length is at most that of the place.
    unsafe {
        let python = (*context).python;
        let record = &raw mut (*python).scratch.record;
        let offset = (*record).table_length;
        let left = (*python).table_bytes.wrapping_sub(offset);
        let length = opaque(if left > PIECE_BYTES as u64 { PIECE_BYTES as u64 } else { left });
        if length == 0 || length > PIECE_BYTES as u64 {
            return 1;
        }
        let from = (*python).table.wrapping_add(offset) as *const c_void;
        let ring = (&raw const PYTHON_CODE_RING).cast_mut().cast::<c_void>();
        if bpf_probe_read_user((&raw mut (*record).object).cast(), length as u32, from) != 0
            || bpf_ringbuf_output(ring, record.cast(), PIECE_HEAD as u64 + length, 0) != 0
        {
            return 1;
        }
        (*record).table_length = offset + length;
        0
    }
}

/// Copies a text; its first word is 0 when that cannot be.
#[inline(always)]
unsafe fn read_text(to: *mut u64, text: u64) {
    // SAFETY: a field of `TEXT_BYTES`; the helper checks the user address.
    unsafe {
        if bpf_probe_read_user(to.cast(), TEXT_BYTES as u32, text as *const c_void) != 0
            && bpf_probe_read_user(to.cast(), SHORT_TEXT_BYTES as u32, text as *const c_void) != 0
        {
            *to = 0;
        }
    }
}

/// A word of the code object that has been copied.
#[inline(always)]
unsafe fn object_word(python: *mut PythonThread, offset: u64) -> u64 {
    // SAFETY: the index is masked below the record's length.
    unsafe { *(&raw const (*python).scratch.record.object).cast::<u64>().add(opaque(offset >> 3 & 31) as usize) }
}

/// The code object at an address is no more, if there was one.
#[inline(always)]
pub fn forget(interpreter: u64, address: u64) {
    let key = key_of(seed_of(interpreter), address);
    let Some(bucket) = PYTHON_CODES.get_ptr_mut(place_of(key)) else { return };
    for way in 0..BUCKET_CODES {
        // SAFETY: map values, of which torn pairs are told by the mixed key.
        unsafe {
            let value = core::ptr::read_volatile(&raw const (*bucket)[way][1]);
            if value != 0 && core::ptr::read_volatile(&raw const (*bucket)[way][0]) ^ value == key {
                core::ptr::write_volatile(&raw mut (*bucket)[way][1], 0);
                end_generation(key);
            }
        }
    }
}
