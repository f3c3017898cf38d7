//! Keeps the programs on the stack of the thread that they run in.
//!
//! From 6.13 on (`x86_64`; aarch64 from 6.17), the kernel gives a program with more than 64 bytes of stack a *private* one,
//! a single stack for each CPU: it takes for granted that a program does not run twice at a time on a CPU. For uprobes
//! nothing sees to that. On a preemptible kernel (`PREEMPT_LAZY`, the default of current distributions) two threads that
//! allocate in turn on one CPU then overwrite each other's local variables, pointers included, and the kernel reads at
//! wrong addresses: seen as oopses on 7.3.
//!
//! A program that contains a tail call never gets a private stack (`check_max_stack_depth` in kernel/bpf/verifier.c). So
//! each program contains one, which the verifier finds out can never run.

use core::ffi::c_void;

use aya_ebpf::{helpers::generated::bpf_tail_call, macros::map, maps::ProgramArray};

use crate::maps::FRAME_LIMIT;

/// Where the tail call would lead. Always empty.
#[map]
static NOWHERE: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// The same for programs of session probes: all programs that name such an array must be of one attach type
/// (`bpf_prog_map_compatible` in kernel/bpf/core.c).
#[map]
static NOWHERE_IN_SESSIONS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Which links run a program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// At one place.
    Plain,
    /// At the entry and the return of a function.
    Session,
}

/// To be called in every program that a uprobe runs, as [`crate::registers::Registers::of`] does. (Programs that use no
/// stack, as those that do nothing, get no private one.)
#[inline(always)]
pub fn stay(context: *mut c_void, links: Links) {
    let nowhere = match links {
        Links::Plain => &raw const NOWHERE,
        Links::Session => &raw const NOWHERE_IN_SESSIONS,
    };
    // Never so, which the verifier knows and the compiler does not.
    if FRAME_LIMIT.load() == 0 {
        // SAFETY: a program's context and a map of programs.
        unsafe { bpf_tail_call(context, nowhere.cast_mut().cast(), 0) };
    }
}
