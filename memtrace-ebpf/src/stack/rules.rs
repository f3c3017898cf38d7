//! From a code address to its unwind rule: a cache, then the process's mappings, then the file's table.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_map_lookup_elem};
use memtrace_common::{
    site::end,
    unwind::{CHUNK_BITS, MAPPINGS as MAPPING_COUNT, NO_TABLE, RULE_CACHE_BITS, index_words, kind, row, rule},
};

use super::{opaque, told};
use crate::{
    maps::{MAPPINGS, RULE_CACHE, UNWIND_TABLES},
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

/// Most steps of a binary search: over all mappings, or over the rows of a chunk.
const STEPS: u32 = 16;

const _: () = assert!(MAPPING_COUNT < 1 << STEPS && CHUNK_BITS < STEPS);

/// The rule for a code address; one of kind `ENDED` when there is none.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(always)]
pub unsafe fn rule_at(thread: *mut Thread, address: u64) -> u64 {
    // SAFETY: the thread's own storage and map values, of which torn pairs are told by the mixed key.
    unsafe {
        let key = (*thread).unwind.cache_key ^ address;
        let place = (key ^ key >> 21).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - RULE_CACHE_BITS);
        let Some(cached) = RULE_CACHE.get_ptr_mut(place as u32) else { return rule::ended(end::NO_RULE) };
        let rule = core::ptr::read_volatile(&raw const (*cached)[1]);
        if core::ptr::read_volatile(&raw const (*cached)[0]) ^ rule == key {
            return rule;
        }
        let found = find(thread, address);
        // What the kernel tells holds at this moment; a list's number names a list.
        if rule::kind(found) != kind::ENDED && core::ptr::read_volatile(&raw const (*thread).unwind.is_told) == 0 {
            core::ptr::write_volatile(&raw mut (*cached)[1], found);
            core::ptr::write_volatile(&raw mut (*cached)[0], key ^ found);
        }
        found
    }
}

/// Looks in mappings and tables.
#[inline(never)]
unsafe fn find(thread: *mut Thread, address: u64) -> u64 {
    // SAFETY: the thread's own storage; map values, which user space publishes whole.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        if address.wrapping_sub((*walk).mapping_start) >= (*walk).mapping_length
            && !find_mapping(thread, address)
            && !told::find_mapping(thread, address)
        {
            return rule::ended(end::NO_MAPPING);
        }
        let segment = ((*walk).table >> 32) as u32;
        if segment == NO_TABLE {
            return kind::CHAIN;
        }
        let table = (&raw const UNWIND_TABLES).cast_mut().cast::<c_void>();
        let segment = bpf_map_lookup_elem(table, (&raw const segment).cast());
        if segment.is_null() {
            return rule::ended(end::NO_RULE);
        }
        let offset = address.wrapping_sub((*walk).base);
        find_in_table(thread, segment, offset).unwrap_or(rule::ended(end::NO_RULE))
    }
}

/// The rule at an offset of the table that the walk is at; see `memtrace_common::unwind`.
#[inline(always)]
unsafe fn find_in_table(thread: *mut Thread, segment: *mut c_void, offset: u64) -> Option<u64> {
    // SAFETY: the thread's own storage; map values.
    unsafe {
        let walk = &raw mut (*thread).unwind;
        let chunk = offset >> CHUNK_BITS;
        if chunk >= (*walk).chunks {
            return None;
        }
        let first_word = (*walk).table & 0xffff_ffff;
        let first = half_word(segment, first_word * 2 + chunk)?;
        let behind = half_word(segment, first_word * 2 + chunk + 1)?;
        let rows = (first_word + index_words((*walk).chunks)) * 2;
        // The row before a chunk's first is in force at its beginning.
        (*walk).low = rows + first - u64::from(first != 0);
        (*walk).high = rows + behind - 1;
        (*walk).wanted = offset & ((1 << CHUNK_BITS) - 1);
        let mut context = Context { thread, segment };
        bpf_loop(STEPS, search_row as *mut c_void, (&raw mut context).cast(), 0);
        let row = half_word(segment, core::ptr::read_volatile(&raw const (*walk).low))?;
        word(segment, first_word + (*walk).rules + row::rule(row))
    }
}

/// A word of a segment.
#[inline(always)]
unsafe fn word(segment: *mut c_void, index: u64) -> Option<u64> {
    let index = index as u32;
    // SAFETY: the helper checks the index.
    unsafe { bpf_map_lookup_elem(segment, (&raw const index).cast()).cast::<u64>().as_ref().copied() }
}

/// One of the 32-bit values of which a word has two.
#[inline(always)]
unsafe fn half_word(segment: *mut c_void, number: u64) -> Option<u64> {
    // SAFETY: as in `word`.
    let word = unsafe { word(segment, number >> 1) }?;
    Some(word >> ((number & 1) << 5) & 0xffff_ffff)
}

unsafe extern "C" fn search_row(_step: u64, context: *mut Context) -> i64 {
    // SAFETY: called by `find_in_table` with its own context.
    unsafe {
        let walk = &raw mut (*(*context).thread).unwind;
        if (*walk).low >= (*walk).high {
            return 1;
        }
        let middle = ((*walk).low + (*walk).high).div_ceil(2);
        let Some(found) = half_word((*context).segment, middle) else { return 1 };
        if row::place(found) <= (*walk).wanted {
            (*walk).low = middle;
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
        (*walk).is_told = 0;
        (*walk).mapping_start = mapping.start;
        (*walk).mapping_length = mapping.end.wrapping_sub(mapping.start);
        (*walk).base = mapping.base;
        (*walk).table = u64::from(mapping.segment) << 32 | u64::from(mapping.first_word);
        (*walk).chunks = u64::from(mapping.chunks);
        (*walk).rules = u64::from(mapping.rules);
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
