//! The functions of C, POSIX and their common relatives that every allocator may define.
//!
//! Left out on purpose: `malloc_usable_size` and `malloc_good_size`, which allocate nothing; `strdup`, `getline` and the
//! like, which call `malloc` as any program does.

use super::Call;

/// The functions, by the names that C gives them.
pub(super) const FUNCTIONS: &[(&str, Call)] = &[
    ("malloc", Call::allocate(0)),
    ("calloc", Call::allocate(1).times(0)),
    ("realloc", Call::reallocate(0, 1)),
    ("posix_memalign", Call::allocate(2).stored_at(0).zero_is_success()),
    ("aligned_alloc", Call::allocate(1)),
    ("memalign", Call::allocate(1)),
    ("valloc", Call::allocate(0)),
    ("pvalloc", Call::allocate(0)),
    ("free", Call::release(0)),
    ("cfree", Call::release(0)),
    // C23.
    ("free_sized", Call::release(0)),
    ("free_aligned_sized", Call::release(0)),
];

/// `reallocarray`, where it does the work itself. Where it calls or jumps to `realloc`, that sees its calls.
pub(super) const REALLOCARRAY: &[(&str, Call)] = &[("reallocarray", Call::reallocate(0, 2).times(1))];

/// Functions of BSD.
pub(super) const BSD: &[(&str, Call)] =
    &[("reallocf", Call::reallocate(0, 1).frees_on_failure()), ("vfree", Call::release(0))];
