//! C++'s operators new and delete, for allocators that implement them: they inline their own malloc into them.
//!
//! Names are those of the Itanium ABI with a `size_t` of 64 bits. The operators of libstdc++ and libc++ are no
//! allocator's: they call malloc and free.

use super::Call;

const NEW: Call = Call::allocate(0).throws();
const NEW_NOTHROW: Call = Call::allocate(0);
const DELETE: Call = Call::release(0);

/// The operators.
pub(super) const OPERATORS: &[(&str, Call)] = &[
    ("_Znwm", NEW),
    ("_Znam", NEW),
    ("_ZnwmSt11align_val_t", NEW),
    ("_ZnamSt11align_val_t", NEW),
    ("_ZnwmRKSt9nothrow_t", NEW_NOTHROW),
    ("_ZnamRKSt9nothrow_t", NEW_NOTHROW),
    ("_ZnwmSt11align_val_tRKSt9nothrow_t", NEW_NOTHROW),
    ("_ZnamSt11align_val_tRKSt9nothrow_t", NEW_NOTHROW),
    ("_ZdlPv", DELETE),
    ("_ZdaPv", DELETE),
    ("_ZdlPvm", DELETE),
    ("_ZdaPvm", DELETE),
    ("_ZdlPvSt11align_val_t", DELETE),
    ("_ZdaPvSt11align_val_t", DELETE),
    ("_ZdlPvmSt11align_val_t", DELETE),
    ("_ZdaPvmSt11align_val_t", DELETE),
    ("_ZdlPvRKSt9nothrow_t", DELETE),
    ("_ZdaPvRKSt9nothrow_t", DELETE),
    ("_ZdlPvSt11align_val_tRKSt9nothrow_t", DELETE),
    ("_ZdaPvSt11align_val_tRKSt9nothrow_t", DELETE),
];

/// Google's operators that are told how often a block will be used.
pub(super) const HOT_COLD: &[(&str, Call)] = &[
    ("_Znwm12__hot_cold_t", NEW),
    ("_Znam12__hot_cold_t", NEW),
    ("_ZnwmSt11align_val_t12__hot_cold_t", NEW),
    ("_ZnamSt11align_val_t12__hot_cold_t", NEW),
    ("_ZnwmRKSt9nothrow_t12__hot_cold_t", NEW_NOTHROW),
    ("_ZnamRKSt9nothrow_t12__hot_cold_t", NEW_NOTHROW),
    ("_ZnwmSt11align_val_tRKSt9nothrow_t12__hot_cold_t", NEW_NOTHROW),
    ("_ZnamSt11align_val_tRKSt9nothrow_t12__hot_cold_t", NEW_NOTHROW),
];
