//! tcmalloc: that of gperftools, and that of Google's own repository.
//!
//! gperftools gives each function a second name with `tc_`, Google's `TCMallocInternal`; both are the same code. Sampled
//! and debugging variants do the same through the same functions.

use super::{Allocator, Call, Table, c_api, cpp};

const NEW: Call = Call::allocate(0).throws();
const NEW_NOTHROW: Call = Call::allocate(0);
const DELETE: Call = Call::release(0);

/// gperftools: operators under names for C.
const OPERATORS: &[(&str, Call)] = &[
    ("malloc_skip_new_handler", Call::allocate(0)),
    ("new", NEW),
    ("newarray", NEW),
    ("new_aligned", NEW),
    ("newarray_aligned", NEW),
    ("new_nothrow", NEW_NOTHROW),
    ("newarray_nothrow", NEW_NOTHROW),
    ("new_aligned_nothrow", NEW_NOTHROW),
    ("newarray_aligned_nothrow", NEW_NOTHROW),
    ("delete", DELETE),
    ("deletearray", DELETE),
    ("delete_sized", DELETE),
    ("deletearray_sized", DELETE),
    ("delete_nothrow", DELETE),
    ("deletearray_nothrow", DELETE),
    ("delete_aligned", DELETE),
    ("deletearray_aligned", DELETE),
    ("delete_sized_aligned", DELETE),
    ("deletearray_sized_aligned", DELETE),
    ("delete_aligned_nothrow", DELETE),
    ("deletearray_aligned_nothrow", DELETE),
];

/// Google: `{ptr, size}` in two registers, of which the first is the block.
const SIZE_RETURNING: &[(&str, Call)] = &[
    ("__size_returning_new", NEW),
    ("__size_returning_new_aligned", NEW),
    ("__size_returning_new_hot_cold", NEW),
    ("__size_returning_new_aligned_hot_cold", NEW),
    ("tcmalloc_size_returning_operator_new", NEW),
    ("tcmalloc_size_returning_operator_new_aligned", NEW),
    ("tcmalloc_size_returning_operator_new_hot_cold", NEW),
    ("tcmalloc_size_returning_operator_new_aligned_hot_cold", NEW),
    ("tcmalloc_size_returning_operator_new_nothrow", NEW_NOTHROW),
    ("tcmalloc_size_returning_operator_new_aligned_nothrow", NEW_NOTHROW),
    ("tcmalloc_size_returning_operator_new_hot_cold_nothrow", NEW_NOTHROW),
    ("tcmalloc_size_returning_operator_new_aligned_hot_cold_nothrow", NEW_NOTHROW),
    ("sdallocx", DELETE),
];

/// tcmalloc.
pub static TCMALLOC: Allocator = Allocator {
    name: "tcmalloc",
    marks: &[
        "tc_malloc",
        "TCMallocInternalMalloc",
        "MallocExtension_Internal_GetNumericProperty",
        "tcmalloc_size_returning_operator_new",
    ],
    is_c_library: false,
    // Where memory has run out, what is to be done then; and hooks, which are the program's own.
    calls_itself_by_pointers: false,
    tables: &[
        Table { prefixes: &["", "tc_"], functions: c_api::FUNCTIONS },
        Table { prefixes: &[""], functions: c_api::REALLOCARRAY },
        Table { prefixes: &["tc_"], functions: OPERATORS },
        Table { prefixes: &[""], functions: SIZE_RETURNING },
        Table { prefixes: &[""], functions: cpp::OPERATORS },
        Table { prefixes: &[""], functions: cpp::HOT_COLD },
    ],
};
