//! Entry points of the mmap domain: programs on system calls, each in two forms.
//!
//! BPF trampolines on the kernel's functions cost nobody but those who make these calls. Where there are none, the
//! tracepoints of the system calls do the same (names with `tp_`); with them, every system call of every process takes the
//! kernel's slow path.
//!
//! None needs [`crate::own_stack`]: the kernel does not let a program of these kinds run twice at a time on a CPU, and
//! counts what it left out.

use aya_ebpf::{
    EbpfContext as _,
    macros::{fentry, fexit, tracepoint},
    programs::{FEntryContext, FExitContext, TracePointContext},
};
use memtrace_common::mapping::kind;

use crate::{mapping, registers::word_at};

/// Index of the result behind the one argument of a kernel function for a system call: its registers.
const RESULT: usize = 1;

/// The result of the system call, in `struct syscall_trace_exit` (kernel/trace/trace.h).
#[inline(always)]
fn result(context: &TracePointContext) -> u64 {
    const OFFSET: usize = 16;
    // SAFETY: within the context of such a program, which the verifier checks too.
    unsafe { word_at::<OFFSET>(context.as_ptr()) }
}

/// Programs at the entry of a system call: the trampoline's, the tracepoint's, and what both do.
macro_rules! at_entry {
    ($($(#[$doc:meta])* $trampoline:ident, $tracepoint:ident => $call:expr;)*) => {$(
        $(#[$doc])*
        #[fentry]
        pub fn $trampoline(_context: FEntryContext) -> i32 {
            $call;
            0
        }

        $(#[$doc])*
        #[tracepoint]
        pub fn $tracepoint(_context: TracePointContext) -> u32 {
            $call;
            0
        }
    )*};
}

/// The same at its return; `$call` takes the result.
macro_rules! at_return {
    ($($(#[$doc:meta])* $trampoline:ident, $tracepoint:ident => $call:path;)*) => {$(
        $(#[$doc])*
        #[fexit]
        pub fn $trampoline(context: FExitContext) -> i32 {
            $call(context.arg(RESULT));
            0
        }

        $(#[$doc])*
        #[tracepoint]
        pub fn $tracepoint(context: TracePointContext) -> u32 {
            $call(result(&context));
            0
        }
    )*};
}

at_entry! {
    /// munmap(2) is called.
    unmaps, tp_unmaps => mapping::takes_away(kind::UNMAP);
    /// mremap(2) is called.
    remaps, tp_remaps => mapping::takes_away(kind::REMAP);
}

at_return! {
    /// munmap(2) has returned.
    unmapped, tp_unmapped => mapping::unmapped;
    /// mremap(2) has returned.
    remapped, tp_remapped => mapping::remapped;
    /// mmap(2) has returned.
    mapped, tp_mapped => mapping::mapped;
    /// brk(2) has returned.
    broke, tp_broke => mapping::broke;
    /// mprotect(2) has returned.
    protected, tp_protected => mapping::protected;
    /// `pkey_mprotect(2)` has returned.
    key_protected, tp_key_protected => mapping::protected;
}
