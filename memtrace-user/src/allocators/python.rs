//! How CPython allocates: by tables of four functions, whose first argument is a context (`PyMemAllocatorEx`, `Objects/obmalloc.c`).

use super::Call;

/// The functions in the order of a table, by what their names end with.
pub const PYTHON_FUNCTIONS: [(&str, Call); 4] = [
    ("Malloc", Call::allocate(1)),
    ("Calloc", Call::allocate(2).times(1)),
    ("Realloc", Call::reallocate(1, 2)),
    ("Free", Call::release(1)),
];
