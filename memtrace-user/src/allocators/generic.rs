//! Any other object that exports malloc and free: an allocator that memtrace does not know by name, or a wrapper of one.

use super::{Allocator, Table, c_api, cpp};

/// Takes every object that [`super::detect`] has found to be an allocator.
pub static GENERIC: Allocator = Allocator {
    name: "unknown allocator",
    marks: &[],
    is_c_library: false,
    calls_itself_by_pointers: true,
    tables: &[
        Table { prefixes: &[""], functions: c_api::FUNCTIONS },
        Table { prefixes: &[""], functions: c_api::REALLOCARRAY },
        Table { prefixes: &[""], functions: c_api::BSD },
        Table { prefixes: &[""], functions: cpp::OPERATORS },
    ],
};
