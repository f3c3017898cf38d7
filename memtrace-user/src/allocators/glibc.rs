//! The GNU C library, 2.17 and later, shared and static.
//!
//! Left out on purpose:
//! - `reallocarray` jumps to `realloc` as its last act, so that probe sees its calls with the product as size.
//!   (`realloc(NULL, n)` jumps to `malloc` in the same way, and both have to be probed: there the BPF programs have
//!   to tell that the call with the same stack pointer is a part of the pending one.)
//! - operators new and delete, which a static executable has from libstdc++: they call malloc and free.

use super::{Allocator, Table, c_api};

/// The GNU C library. `cfree` is another name of free, for programs linked before 2.26 only.
pub static GLIBC: Allocator = Allocator {
    name: "glibc",
    // Not `__libc_malloc`: jemalloc, tcmalloc and mimalloc define that one, too. A static executable has the second,
    // which comes from the same object file as malloc itself; the first is there only if the program asks for it.
    marks: &["gnu_get_libc_version", "__libc_mallopt"],
    is_c_library: true,
    calls_itself_by_pointers: true,
    tables: &[Table { prefixes: &[""], functions: c_api::FUNCTIONS }],
};
