//! The GNU C library, 2.17 and later, shared and static.
//!
//! Left out on purpose:
//! - `reallocarray` jumps to `realloc` as its last act, so that probe sees its calls with the product as size. With
//!   return probes on both, the second would find the first one's trampoline as its return address.
//!   (`realloc(NULL, n)` jumps to `malloc` in the same way, and both have to be probed: there the BPF programs have
//!   to tell that the call with the same stack pointer is a part of the pending one.)
//! - `strdup`, `getline` and the like call `malloc` as any program does.

use super::{Allocator, AllocatorFunction, Call};

/// The GNU C library.
pub static GLIBC: Allocator = Allocator {
    name: "glibc",
    // Not `__libc_malloc`: jemalloc, tcmalloc and mimalloc define that one, too. A static executable has the second,
    // which comes from the same object file as malloc itself; the first is there only if the program asks for it.
    marks: &["gnu_get_libc_version", "__libc_mallopt"],
    functions: &[
        AllocatorFunction { name: "malloc", call: Call::AllocateArg0 },
        AllocatorFunction { name: "calloc", call: Call::AllocateProduct },
        AllocatorFunction { name: "realloc", call: Call::Reallocate },
        AllocatorFunction { name: "posix_memalign", call: Call::AllocateThroughArg0 },
        AllocatorFunction { name: "aligned_alloc", call: Call::AllocateArg1 },
        // The same code as aligned_alloc up to 2.37.
        AllocatorFunction { name: "memalign", call: Call::AllocateArg1 },
        AllocatorFunction { name: "valloc", call: Call::AllocateArg0 },
        AllocatorFunction { name: "pvalloc", call: Call::AllocateArg0 },
        AllocatorFunction { name: "free", call: Call::ReleaseArg0 },
        // Another name of free, for programs linked before 2.26 only.
        AllocatorFunction { name: "cfree", call: Call::ReleaseArg0 },
        // C23.
        AllocatorFunction { name: "free_sized", call: Call::ReleaseArg0 },
        AllocatorFunction { name: "free_aligned_sized", call: Call::ReleaseArg0 },
    ],
};
