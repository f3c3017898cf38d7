//! Mappings that user space has not told of yet: the kernel is asked what is mapped, and the table is found by the file.
//!
//! So the stacks of a program are whole from its first call on if its files have been met before, in whatever process,
//! however late user space learns of it. Where the kernel cannot be asked (`bpf_find_vma`, 5.17), or another thread of
//! the process is changing what is mapped at this instant, the stack is copied instead (`copy`).

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_current_task_btf, bpf_probe_read_kernel, generated::bpf_find_vma};
use memtrace_common::unwind::FileKey;

use crate::{
    maps::{
        CURSORS, FILE_INODE, FILES, INODE_NUMBER, INODE_SUPER, PAGE_BITS, SUPER_DEVICE, TABLES_DROPPED, VMA_END,
        VMA_FILE, VMA_FLAGS, VMA_PAGE_OFFSET, VMA_START,
    },
    thread::Thread,
};

/// `VM_EXEC` of include/linux/mm.h.
const EXECUTABLE: u64 = 4;

/// What the kernel tells of a mapping.
#[repr(C)]
struct Told {
    start: u64,
    end: u64,
    flags: u64,
    /// In the file, in pages.
    offset: u64,
    file: FileKey,
}

/// Finds the mapping of an address and remembers it for the next frame, as `rules::find_mapping` does.
///
/// # Safety
/// `thread` is this thread's storage.
#[inline(never)]
pub unsafe fn find_mapping(thread: *mut Thread, address: u64) -> bool {
    if PAGE_BITS.load() == 0 {
        return false;
    }
    let mut told = Told { start: 0, end: 0, flags: 0, offset: 0, file: FileKey { device: 0, inode: 0 } };
    // SAFETY: the thread's own storage, map values, and a helper that calls `take` with the context given.
    unsafe {
        let dropped = times_dropped();
        let task = bpf_get_current_task_btf();
        if bpf_find_vma(task.cast(), address, take as *mut c_void, (&raw mut told).cast(), 0) != 0
            || told.flags & EXECUTABLE == 0
        {
            return false;
        }
        let Some(file) = FILES.get(told.file) else { return false };
        let walk = &raw mut (*thread).unwind;
        (*walk).is_told = 1;
        if (*walk).dropped == 0 {
            (*walk).dropped = dropped + 1;
        }
        (*walk).mapping_start = told.start;
        (*walk).mapping_length = told.end.wrapping_sub(told.start);
        (*walk).base = told.start.wrapping_sub(told.offset << PAGE_BITS.load()).wrapping_add(file.shift);
        (*walk).table = u64::from(file.segment) << 32 | u64::from(file.first_word);
        (*walk).chunks = u64::from(file.chunks);
        (*walk).rules = u64::from(file.rules);
        true
    }
}

/// Whether a table may have gone that the walk has used, and something else lies in its place.
#[inline(always)]
pub fn is_outdated(thread: &Thread) -> bool {
    // SAFETY: the thread's own storage; volatile, as the walk has changed it behind the compiler's back.
    let dropped = unsafe { core::ptr::read_volatile(&raw const thread.unwind.dropped) };
    dropped != 0 && dropped != times_dropped() + 1
}

#[inline(always)]
fn times_dropped() -> u64 {
    // SAFETY: a map value; volatile, as user space writes it.
    CURSORS.get_ptr(TABLES_DROPPED).map_or(0, |word| unsafe { core::ptr::read_volatile(word) })
}

unsafe extern "C" fn take(_task: *mut c_void, vma: *mut c_void, told: *mut Told) -> i64 {
    let vma = vma as u64;
    let file = field(vma, VMA_FILE.load());
    if file == 0 {
        return 0;
    }
    let inode = field(file, FILE_INODE.load());
    // SAFETY: called by `find_mapping` with its own context.
    unsafe {
        (*told).start = field(vma, VMA_START.load());
        (*told).end = field(vma, VMA_END.load());
        (*told).flags = field(vma, VMA_FLAGS.load());
        (*told).offset = field(vma, VMA_PAGE_OFFSET.load());
        // An unsigned int of 32 bits (`dev_t`).
        (*told).file.device = field(field(inode, INODE_SUPER.load()), SUPER_DEVICE.load()) & 0xffff_ffff;
        (*told).file.inode = field(inode, INODE_NUMBER.load());
    }
    0
}

/// A word of a structure of the kernel's; 0 when it cannot be read.
#[inline(always)]
fn field(structure: u64, offset: u32) -> u64 {
    // SAFETY: reads kernel memory; the helper checks the address.
    unsafe { bpf_probe_read_kernel(structure.wrapping_add(u64::from(offset)) as *const u64) }.unwrap_or(0)
}
