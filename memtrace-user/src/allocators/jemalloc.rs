//! jemalloc 3 to 5, shared, static, and with the prefixes that programs give it so that it does not replace malloc.
//!
//! `je_` is the documented prefix, `_rjem_` and its relatives are those of the Rust crates (jemallocator,
//! tikv-jemallocator). `nallocx` and `sallocx` tell sizes and allocate nothing. What `experimental` functions and
//! destroyed arenas (`mallctl("arena.<i>.destroy")`) do is not seen.

use super::{Allocator, Call, Table, c_api, cpp};

const PREFIXES: &[&str] = &["", "je_", "_rjem_", "__rjem_", "_rjem_je_"];

/// The functions of its own, with flags as their last argument.
const OWN: &[(&str, Call)] = &[
    ("mallocx", Call::allocate(0)),
    ("rallocx", Call::reallocate(0, 1)),
    // Stays in place and returns the size that the block has then: at least the old one.
    ("xallocx", Call::resize(0, 1, 2)),
    ("dallocx", Call::release(0)),
    ("sdallocx", Call::release(0)),
];

/// jemalloc.
pub static JEMALLOC: Allocator = Allocator {
    name: "jemalloc",
    marks: &[
        "mallctl",
        "malloc_stats_print",
        "je_mallctl",
        "je_malloc_conf",
        "je_mallocx",
        "_rjem_mallctl",
        "_rjem_mallocx",
        "_rjem_malloc",
        "__rjem_mallctl",
        "__rjem_malloc",
        "_rjem_je_mallctl",
    ],
    is_c_library: false,
    // The only pointers in its functions are those of what fills blocks with junk.
    calls_itself_by_pointers: false,
    tables: &[
        Table { prefixes: PREFIXES, functions: c_api::FUNCTIONS },
        Table { prefixes: PREFIXES, functions: OWN },
        Table { prefixes: &[""], functions: c_api::REALLOCARRAY },
        Table { prefixes: &[""], functions: cpp::OPERATORS },
    ],
};
