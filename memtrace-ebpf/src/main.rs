//! memtrace's BPF programs: the entry points, and nothing else.
//!
//! Every program returns 0, but for what session probes run (`begin_or_finish`): before kernel 6.13 a uprobe-multi
//! program that returns 1 removes its own breakpoint (commit fb9618060bb7). Programs may be preempted and run
//! interleaved on one CPU (since 6.0 they hold no more than a migration lock), so nothing here is kept per CPU: a
//! call's state lives in its thread's storage.
#![no_std]
#![no_main]
// `AtomicU64` has no fetch_add or compare_exchange on the bpf target (rustc sets atomic_cas = false); the intrinsics work.
// Registers are read by asm, see `registers`.
#![feature(core_intrinsics, asm_experimental_arch)]
#![expect(internal_features, reason = "core_intrinsics, see above")]
#![expect(clippy::inline_always, reason = "a BPF call spills registers and is verified anew for each caller")]
#![expect(clippy::cast_possible_truncation, reason = "halves of packed words, and indexes that are bounded before")]
#![expect(clippy::needless_pass_by_value, reason = "aya's program macros pass the context by value")]
#![expect(missing_docs, reason = "aya's program macros drop the doc comments of the functions below")]

mod atomic;
mod command;
mod event;
mod lineage;
mod live;
mod loss;
mod mapping;
mod maps;
mod own_stack;
mod process;
mod python;
mod record;
mod registers;
mod sampling;
mod selection;
mod session;
mod share;
mod site;
mod stack;
mod system_calls;
mod thread;

use core::ffi::c_void;

use aya_ebpf::{
    helpers::bpf_get_attach_cookie,
    macros::{raw_tracepoint, uprobe, uretprobe},
    programs::{ProbeContext, RawTracePointContext, RetProbeContext},
};
use memtrace_common::call;

use crate::{record::Ends, registers::Registers, session::verdict};

/// Logs to user space in a build for debugging the programs; nothing otherwise.
macro_rules! debug_log {
    ($context:expr, $($text:tt)*) => {
        #[cfg(feature = "bpf-log")]
        aya_log_ebpf::debug!($context, $($text)*);
    };
}

/// Entry of an allocating function. The link's cookie says what it does.
#[uprobe]
pub fn begin(context: ProbeContext) -> u32 {
    let registers = Registers::of(&context);
    debug_log!(&context, "begin {:x} sp {:x}", registers.argument0(), registers.stack_pointer());
    record::begin(registers, Ends::AllSeen);
    0
}

/// Entry and return of an allocating function, of a session probe. (aya's macro would return 0 always.)
#[unsafe(no_mangle)]
#[unsafe(link_section = "uprobe/begin_or_finish")]
pub extern "C" fn begin_or_finish(context: *mut c_void) -> u32 {
    let context = ProbeContext::new(context);
    let registers = Registers::of_session(&context);
    if session::is_return(registers.0) {
        debug_log!(&context, "finish {:x} sp {:x}", registers.result(), registers.stack_pointer());
        record::finish(registers);
        return 0;
    }
    debug_log!(&context, "begin {:x} sp {:x}", registers.argument0(), registers.stack_pointer());
    if record::begin(registers, Ends::Chosen) { verdict::AWAIT_RETURN } else { verdict::NO_RETURN }
}

/// Return of an allocating function.
#[uretprobe]
pub fn finish(context: RetProbeContext) -> u32 {
    let registers = Registers::of(&context);
    debug_log!(&context, "finish {:x} sp {:x}", registers.result(), registers.stack_pointer());
    record::finish(registers);
    0
}

/// The instruction that returns from an allocating function which has no return probe.
#[uprobe]
pub fn leave(context: ProbeContext) -> u32 {
    let registers = Registers::of(&context);
    debug_log!(&context, "leave {:x} sp {:x}", registers.result(), registers.stack_pointer());
    record::leave(registers);
    0
}

/// Entry of a function that frees its first argument.
#[uprobe]
pub fn release(context: ProbeContext) -> u32 {
    let registers = Registers::of(&context);
    debug_log!(&context, "release {:x} sp {:x}", registers.argument0(), registers.stack_pointer());
    record::release(registers.argument0());
    0
}

/// Entry of a function that frees another argument: the link's cookie says which.
#[uprobe]
pub fn release_other(context: ProbeContext) -> u32 {
    let registers = Registers::of(&context);
    // SAFETY: the context of this program.
    let call = unsafe { bpf_get_attach_cookie(registers.0) };
    record::release(registers.argument(call::get(call, call::field::BLOCK)));
    0
}

/// Entry of the function by which Python begins with its program.
#[uprobe]
pub fn python_begin(_context: ProbeContext) -> u32 {
    python::begin();
    0
}

/// Entry of a function that Python calls as it ends.
#[uprobe]
pub fn python_end(_context: ProbeContext) -> u32 {
    python::end();
    0
}

/// Does nothing: what a trap costs by itself.
#[uprobe]
pub fn floor_entry(_context: ProbeContext) -> u32 {
    0
}

/// Does nothing: what a return trap costs by itself.
#[uretprobe]
pub fn floor_return(_context: RetProbeContext) -> u32 {
    0
}

/// Does nothing: what a session probe costs by itself, its return included.
#[uprobe]
pub fn floor_session(_context: ProbeContext) -> u32 {
    0
}

/// A process replaced its image: its heap is gone and a new one begins.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn process_exec(context: RawTracePointContext) -> i32 {
    // (task, pid before the exec, binary): see include/trace/events/sched.h.
    lineage::exec(context.arg::<i32>(1).cast_unsigned());
    0
}

/// A thread or process is made.
#[raw_tracepoint(tracepoint = "task_newtask")]
pub fn new_task(context: RawTracePointContext) -> i32 {
    // The arguments are the task and the flags of clone (include/trace/events/task.h).
    lineage::new_task(context.arg(0), context.arg(1));
    0
}

/// A thread ends, perhaps inside an allocator call.
#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn thread_exit(context: RawTracePointContext) -> i32 {
    record::thread_exit();
    lineage::thread_exit(context.arg(0));
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // Never reached: the verifier rejects a program with a path to it.
    loop {}
}

/// The helpers that read user memory are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
