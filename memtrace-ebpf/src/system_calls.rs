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

use crate::mapping;

/// Index of the result behind the one argument of a kernel function for a system call: its registers.
const RESULT: usize = 1;

/// The result of the system call, in `struct syscall_trace_exit` (kernel/trace/trace.h).
#[inline(always)]
fn result(context: &TracePointContext) -> u64 {
    const OFFSET: usize = 16;
    let value: u64;
    // SAFETY: within the context of such a program, which the verifier checks too. At a constant offset: see `registers`.
    unsafe {
        core::arch::asm!("{0} = *(u64 *)({1} + {2})", out(reg) value, in(reg) context.as_ptr(), const OFFSET,
            options(nostack, readonly));
    }
    value
}

/// munmap(2) is called.
#[fentry]
pub fn unmaps(_context: FEntryContext) -> i32 {
    mapping::takes_away(kind::UNMAP);
    0
}

/// munmap(2) is called.
#[tracepoint]
pub fn tp_unmaps(_context: TracePointContext) -> u32 {
    mapping::takes_away(kind::UNMAP);
    0
}

/// mremap(2) is called.
#[fentry]
pub fn remaps(_context: FEntryContext) -> i32 {
    mapping::takes_away(kind::REMAP);
    0
}

/// mremap(2) is called.
#[tracepoint]
pub fn tp_remaps(_context: TracePointContext) -> u32 {
    mapping::takes_away(kind::REMAP);
    0
}

/// munmap(2) has returned.
#[fexit]
pub fn unmapped(context: FExitContext) -> i32 {
    mapping::unmapped(context.arg(RESULT));
    0
}

/// munmap(2) has returned.
#[tracepoint]
pub fn tp_unmapped(context: TracePointContext) -> u32 {
    mapping::unmapped(result(&context));
    0
}

/// mremap(2) has returned.
#[fexit]
pub fn remapped(context: FExitContext) -> i32 {
    mapping::remapped(context.arg(RESULT));
    0
}

/// mremap(2) has returned.
#[tracepoint]
pub fn tp_remapped(context: TracePointContext) -> u32 {
    mapping::remapped(result(&context));
    0
}

/// mmap(2) has returned.
#[fexit]
pub fn mapped(context: FExitContext) -> i32 {
    mapping::mapped(context.arg(RESULT));
    0
}

/// mmap(2) has returned.
#[tracepoint]
pub fn tp_mapped(context: TracePointContext) -> u32 {
    mapping::mapped(result(&context));
    0
}

/// brk(2) has returned.
#[fexit]
pub fn broke(context: FExitContext) -> i32 {
    mapping::broke(context.arg(RESULT));
    0
}

/// brk(2) has returned.
#[tracepoint]
pub fn tp_broke(context: TracePointContext) -> u32 {
    mapping::broke(result(&context));
    0
}

/// mprotect(2) has returned.
#[fexit]
pub fn protected(context: FExitContext) -> i32 {
    mapping::protected(context.arg(RESULT));
    0
}

/// mprotect(2) has returned.
#[tracepoint]
pub fn tp_protected(context: TracePointContext) -> u32 {
    mapping::protected(result(&context));
    0
}

/// `pkey_mprotect(2)` has returned.
#[fexit]
pub fn key_protected(context: FExitContext) -> i32 {
    mapping::protected(context.arg(RESULT));
    0
}

/// `pkey_mprotect(2)` has returned.
#[tracepoint]
pub fn tp_key_protected(context: TracePointContext) -> u32 {
    mapping::protected(result(&context));
    0
}
