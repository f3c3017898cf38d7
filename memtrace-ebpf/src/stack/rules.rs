//! From a code address to its unwind rule: a cache, then the process's mappings, then the file's table.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_map_lookup_elem};
use memtrace_common::{
    site::end,
    unwind::{CHUNK_BITS, MAPPINGS as MAPPING_COUNT, NO_TABLE, kind},
};

use super::opaque;
use crate::{
    maps::{MAPPINGS, RULE_CACHE, RULE_CACHE_BITS, UNWIND_TABLES},
    thread::Thread,
};

/// What a walk's loops get: pointers, which cannot live in a map.
#[repr(C)]
pub struct Context {
    /// The thread's state.
    pub thread: *mut Thread,
    /// Segment that is searched.
    segment: *mut c_void,
}

impl Context {
    /// For a thread.
    pub const fn new(thread: *mut Thread) -> Self {
        Self { thread, segment: core::ptr::null_mut() }
    }
}

/// Results above this are no rules but reasons to end: `FAILED + end::…`.
const FAILED: u64 = 1 << 32;

/// Code outside every table, to be followed by frame pointer: no rule is packed like this.
pub const BY_FRAME_POINTER: u32 = kind::NONE | 1 << 19;

/// Most steps of a binary search: over all mappings, or over the rows of a chunk.
const STEPS: u32 = 16;

const _: () = assert!(MAPPING_COUNT < 1 << STEPS && CHUNK_BITS < STEPS);

/// The rule for a code address, or why there is none.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn rule_at(thread: *mut Thread, address: u64) -> Result<u32, u64> {
    // SAFETY: the thread's own storage and map values, of which torn pairs are told by the mixed key.
    let result = unsafe {
        let key = (*thread).unwind.cache_key ^ address;
        let place = (key ^ key >> 21).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - RULE_CACHE_BITS);
        let Some(cached) = RULE_CACHE.get_ptr_mut(place as u32) else { return Err(end::NO_RULE) };
        let rule = core::ptr::read_volatile(&raw const (*cached)[1]);
        if core::ptr::read_volatile(&raw const (*cached)[0]) ^ rule == key {
            rule
        } else {
            let found = find(thread, address);
            if found < FAILED {
                core::ptr::write_volatile(&raw mut (*cached)[1], found);
                core::ptr::write_volatile(&raw mut (*cached)[0], key ^ found);
            }
            found
        }
    };
    if result < FAILED { Ok(result as u32) } else { Err(result - FAILED) }
}

/// Looks in mappings and tables.
#[inline(never)]
unsafe fn find(thread: *mut Thread, address: u64) -> u64 {
    // SAFETY: the thread's own storage; map values, which user space publishes whole.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        if address.wrapping_sub((*walk).mapping_start) >= (*walk).mapping_length && !find_mapping(thread, address) {
            return FAILED + end::NO_MAPPING;
        }
        let segment = ((*walk).table >> 32) as u32;
        if segment == NO_TABLE {
            return u64::from(BY_FRAME_POINTER);
        }
        let offset = address.wrapping_sub((*walk).base);
        let chunk = offset >> CHUNK_BITS;
        if chunk >= (*walk).chunks {
            return FAILED + end::NO_RULE;
        }
        let table = (&raw const UNWIND_TABLES).cast_mut().cast::<c_void>();
        let segment = bpf_map_lookup_elem(table, (&raw const segment).cast());
        if segment.is_null() {
            return FAILED + end::NO_RULE;
        }
        let first_word = (*walk).table & 0xffff_ffff;
        let Some(index) = segment_word(segment, first_word + chunk) else { return FAILED + end::NO_RULE };
        let first_row = first_word + (*walk).chunks + (index & 0xffff_ffff);
        (*walk).low = first_row;
        (*walk).high = first_row + (index >> 32);
        (*walk).wanted = offset << 32 | 0xffff_ffff;
        let Some(row) = segment_word(segment, first_row) else { return FAILED + end::NO_RULE };
        (*walk).found = row;
        let mut context = Context { thread, segment };
        bpf_loop(STEPS, search_row as *mut c_void, (&raw mut context).cast(), 0);
        core::ptr::read_volatile(&raw const (*walk).found) & 0xffff_ffff
    }
}

/// A word of a segment.
#[inline(always)]
unsafe fn segment_word(segment: *mut c_void, index: u64) -> Option<u64> {
    let index = index as u32;
    // SAFETY: the helper checks the index.
    unsafe { bpf_map_lookup_elem(segment, (&raw const index).cast()).cast::<u64>().as_ref().copied() }
}

unsafe extern "C" fn search_row(_step: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `find` with its own context.
    unsafe {
        let walk = &raw mut (*(*context).thread).unwind;
        if (*walk).low >= (*walk).high {
            return 1;
        }
        let middle = ((*walk).low + (*walk).high).div_ceil(2);
        let Some(row) = segment_word((*context).segment, middle) else { return 1 };
        if row <= (*walk).wanted {
            (*walk).low = middle;
            (*walk).found = row;
        } else {
            (*walk).high = middle - 1;
        }
        0
    }
}

/// Finds the mapping of an address and remembers it for the next frame.
#[inline(always)]
unsafe fn find_mapping(thread: *mut Thread, address: u64) -> bool {
    // SAFETY: the thread's own storage; map values, which user space publishes whole.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let (first, count) = ((*walk).mappings & 0xffff_ffff, (*walk).mappings >> 32);
        if count == 0 {
            return false;
        }
        (*walk).low = first;
        (*walk).high = first + count - 1;
        (*walk).wanted = address;
        let mut context = Context::new(thread);
        bpf_loop(STEPS, search_mapping as *mut c_void, (&raw mut context).cast(), 0);
        let low = core::ptr::read_volatile(&raw const (*walk).low);
        let Some(mapping) = MAPPINGS.get(low as u32) else { return false };
        if address < mapping.start || address >= mapping.end {
            return false;
        }
        (*walk).mapping_start = mapping.start;
        (*walk).mapping_length = mapping.end.wrapping_sub(mapping.start);
        (*walk).base = mapping.base;
        (*walk).table = u64::from(mapping.segment) << 32 | u64::from(mapping.first_word);
        (*walk).chunks = u64::from(mapping.chunks);
        true
    }
}

unsafe extern "C" fn search_mapping(_step: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `find_mapping` with its own context.
    unsafe {
        let walk = &raw mut (*(*context).thread).unwind;
        if (*walk).low >= (*walk).high {
            return 1;
        }
        let middle = opaque(((*walk).low + (*walk).high).div_ceil(2));
        let Some(mapping) = MAPPINGS.get(middle as u32) else { return 1 };
        if mapping.start <= (*walk).wanted {
            (*walk).low = middle;
        } else {
            (*walk).high = middle - 1;
        }
        0
    }
}
