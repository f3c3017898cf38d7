//! Session probes (6.13): one program at the entry and the return of a function, in which the entry decides whether the
//! return is trapped at all.

use core::ffi::c_void;

use memtrace_common::kernel_function;

/// What a program tells the kernel at an entry.
pub mod verdict {
    /// The return is to be trapped.
    pub const AWAIT_RETURN: u32 = 0;
    /// It is not.
    pub const NO_RETURN: u32 = 1;
}

/// Whether this run of the program is at the function's return.
#[inline(always)]
pub fn is_return(context: *mut c_void) -> bool {
    // A call of a function of the kernel's, whose number user space enters before it loads the program: neither aya nor
    // bpf-linker knows such calls. Since 7.0 the function takes the context; before, it looks at no argument.
    // SAFETY: the verifier checks the call that it becomes.
    let function: unsafe extern "C" fn(*mut c_void) -> bool =
        unsafe { core::mem::transmute(kernel_function::SESSION_IS_RETURN as usize) };
    // SAFETY: as above.
    unsafe { function(context) }
}
