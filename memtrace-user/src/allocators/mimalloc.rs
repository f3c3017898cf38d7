//! mimalloc 1.7 to 3: under the names of C and C++, and under its own.
//!
//! What is not seen: `mi_heap_destroy`, which frees a heap's blocks without a word of each (they stay live in the
//! numbers until their addresses are handed out again), and `mi_reallocarr`, whose block and result are in one place.
//! `mi_strdup` and its relatives are seen where they call `mi_malloc`, and not where the compiler has inlined it.
//!
//! CPython has it inside from 3.13 on, in line with functions of its own by which it allocates: always in builds without the global
//! lock, in others with `PYTHONMALLOC=mimalloc`.

use super::{Allocator, Call, Table, c_api, cpp, python::PYTHON_FUNCTIONS};

/// Its own functions on the thread's default heap.
const OWN: &[(&str, Call)] = &[
    ("malloc_small", Call::allocate(0)),
    ("zalloc", Call::allocate(0)),
    ("zalloc_small", Call::allocate(0)),
    ("mallocn", Call::allocate(1).times(0)),
    ("reallocn", Call::reallocate(0, 2).times(1)),
    ("reallocf", Call::reallocate(0, 1).frees_on_failure()),
    ("rezalloc", Call::reallocate(0, 1)),
    ("recalloc", Call::reallocate(0, 2).times(1)),
    ("reallocarray", Call::reallocate(0, 2).times(1)),
    ("malloc_aligned", Call::allocate(0)),
    ("malloc_aligned_at", Call::allocate(0)),
    ("zalloc_aligned", Call::allocate(0)),
    ("zalloc_aligned_at", Call::allocate(0)),
    ("calloc_aligned", Call::allocate(1).times(0)),
    ("calloc_aligned_at", Call::allocate(1).times(0)),
    ("realloc_aligned", Call::reallocate(0, 1)),
    ("realloc_aligned_at", Call::reallocate(0, 1)),
    ("rezalloc_aligned", Call::reallocate(0, 1)),
    ("rezalloc_aligned_at", Call::reallocate(0, 1)),
    ("recalloc_aligned", Call::reallocate(0, 2).times(1)),
    ("recalloc_aligned_at", Call::reallocate(0, 2).times(1)),
    ("aligned_recalloc", Call::reallocate(0, 2).times(1)),
    ("aligned_offset_recalloc", Call::reallocate(0, 2).times(1)),
    ("new", Call::allocate(0).throws()),
    ("new_n", Call::allocate(1).times(0).throws()),
    ("new_aligned", Call::allocate(0).throws()),
    ("new_nothrow", Call::allocate(0)),
    ("new_aligned_nothrow", Call::allocate(0)),
    ("new_realloc", Call::reallocate(0, 1).throws()),
    ("new_reallocn", Call::reallocate(0, 2).times(1).throws()),
    ("free_size", Call::release(0)),
    ("free_size_aligned", Call::release(0)),
    ("free_aligned", Call::release(0)),
];

/// The same on a heap of the program's choice.
const ON_HEAP: &[(&str, Call)] = &[
    ("malloc", Call::allocate(1)),
    ("malloc_small", Call::allocate(1)),
    ("zalloc", Call::allocate(1)),
    ("calloc", Call::allocate(2).times(1)),
    ("mallocn", Call::allocate(2).times(1)),
    ("realloc", Call::reallocate(1, 2)),
    ("reallocn", Call::reallocate(1, 3).times(2)),
    ("reallocf", Call::reallocate(1, 2).frees_on_failure()),
    ("rezalloc", Call::reallocate(1, 2)),
    ("recalloc", Call::reallocate(1, 3).times(2)),
    ("malloc_aligned", Call::allocate(1)),
    ("malloc_aligned_at", Call::allocate(1)),
    ("zalloc_aligned", Call::allocate(1)),
    ("zalloc_aligned_at", Call::allocate(1)),
    ("calloc_aligned", Call::allocate(2).times(1)),
    ("calloc_aligned_at", Call::allocate(2).times(1)),
    ("realloc_aligned", Call::reallocate(1, 2)),
    ("realloc_aligned_at", Call::reallocate(1, 2)),
    ("rezalloc_aligned", Call::reallocate(1, 2)),
    ("rezalloc_aligned_at", Call::reallocate(1, 2)),
    ("recalloc_aligned", Call::reallocate(1, 3).times(2)),
    ("recalloc_aligned_at", Call::reallocate(1, 3).times(2)),
    ("alloc_new", Call::allocate(1).throws()),
    ("alloc_new_n", Call::allocate(2).times(1).throws()),
];

/// mimalloc.
pub static MIMALLOC: Allocator = Allocator {
    name: "mimalloc",
    marks: &["mi_malloc", "mi_version"],
    is_c_library: false,
    calls_itself_by_pointers: true,
    tables: &[
        Table { prefixes: &["", "mi_"], functions: c_api::FUNCTIONS },
        Table { prefixes: &[""], functions: c_api::REALLOCARRAY },
        Table { prefixes: &[""], functions: c_api::BSD },
        Table { prefixes: &["mi_"], functions: OWN },
        Table { prefixes: &["mi_heap_"], functions: ON_HEAP },
        Table { prefixes: &["_PyMem_Mi", "_PyObject_Mi"], functions: &PYTHON_FUNCTIONS },
        Table { prefixes: &[""], functions: cpp::OPERATORS },
    ],
};
