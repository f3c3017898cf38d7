//! musl, with its newer allocator (mallocng, since 1.2.1) and the older one, shared and static.
//!
//! Most of its functions are one jump to the code that does the work, which keeps programs from seeing the library
//! call a malloc that they have replaced. `reallocarray` jumps to `realloc`. Some of the library's own allocations go
//! to `__libc_malloc` past every probe: those of the dynamic loader, of `atexit` and of locales, which are never freed.

use super::{Allocator, Table, c_api};

/// musl.
pub static MUSL: Allocator = Allocator {
    name: "musl",
    // The loader's third stage, in the shared library, which is the loader, too; the allocator's own in a static one.
    marks: &["__dls3", "__libc_malloc_impl", "__malloc_donate", "__bin_chunk"],
    is_c_library: true,
    calls_itself_by_pointers: true,
    tables: &[Table { prefixes: &[""], functions: c_api::FUNCTIONS }],
};
