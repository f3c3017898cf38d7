//! Registers of the probed thread.
//!
//! Read by inline asm at constant offsets: LLVM otherwise merges two reads into one through a computed pointer, which
//! the verifier refuses ("dereference of modified ctx ptr").

use core::ffi::c_void;

use aya_ebpf::EbpfContext;

use crate::own_stack::{self, Links};

#[cfg(bpf_target_arch = "x86_64")]
use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::helpers::{bpf_get_current_task_btf, generated::bpf_task_pt_regs};

/// Offsets in the kernel's `struct pt_regs` (arch/x86/include/asm/ptrace.h).
#[cfg(bpf_target_arch = "x86_64")]
mod offset {
    pub const ARGUMENTS: [usize; 6] = [112, 104, 96, 88, 72, 64];
    pub const SYSTEM_CALL_ARGUMENT0: usize = 112;
    /// Of a system call, which leaves its return address in rcx: r10.
    pub const SYSTEM_CALL_ARGUMENT3: usize = 56;
    pub const RESULT: usize = 80;
    pub const FRAME_POINTER: usize = 32;
    pub const STACK_POINTER: usize = 152;
    pub const INSTRUCTION_POINTER: usize = 128;
}

/// Offsets in the kernel's `struct user_pt_regs` (arch/arm64/include/uapi/asm/ptrace.h).
#[cfg(bpf_target_arch = "aarch64")]
mod offset {
    pub const ARGUMENTS: [usize; 6] = [0, 8, 16, 24, 32, 40];
    /// Of a system call: `orig_x0` of the kernel's `struct pt_regs`, as x0 holds the result at the end.
    pub const SYSTEM_CALL_ARGUMENT0: usize = 272;
    pub const SYSTEM_CALL_ARGUMENT3: usize = 24;
    pub const RESULT: usize = 0;
    pub const LINK: usize = 30 * 8;
    pub const FRAME_POINTER: usize = 29 * 8;
    pub const STACK_POINTER: usize = 31 * 8;
    pub const INSTRUCTION_POINTER: usize = 32 * 8;
}

/// What a call has taken off the stack when it has returned: the return address on `x86_64`, nothing on aarch64.
#[cfg(bpf_target_arch = "x86_64")]
pub const RETURN_POPS: u64 = 8;
/// What a call has taken off the stack when it has returned: the return address on `x86_64`, nothing on aarch64.
#[cfg(bpf_target_arch = "aarch64")]
pub const RETURN_POPS: u64 = 0;

/// Bits of a return address that are its address: all.
#[cfg(bpf_target_arch = "x86_64")]
pub const CODE_ADDRESS: u64 = u64::MAX;
/// Bits of a return address that are its address. A signed one has its signature above them (pointer authentication).
/// Code above 2^48 is mapped only at an explicit hint, which no loader gives.
#[cfg(bpf_target_arch = "aarch64")]
pub const CODE_ADDRESS: u64 = (1 << 48) - 1;

/// The stack pointer with which the running thread goes on in user space. Needs 5.15.
#[inline(always)]
pub fn user_stack_pointer() -> u64 {
    // SAFETY: the running task has registers, which the helper gives a typed pointer to; the verifier checks that the
    // offset is one of a field.
    unsafe {
        word_at::<{ offset::STACK_POINTER }>(bpf_task_pt_regs(bpf_get_current_task_btf().cast()) as *const c_void)
    }
}

/// The word at a constant offset from a pointer that the verifier knows.
///
/// # Safety
/// It lies within what the pointer leads to.
#[inline(always)]
pub unsafe fn word_at<const OFFSET: usize>(pointer: *const c_void) -> u64 {
    let value: u64;
    // SAFETY: by the caller.
    unsafe {
        core::arch::asm!("{0} = *(u64 *)({1} + {2})", out(reg) value, in(reg) pointer, const OFFSET,
            options(nostack, readonly));
    }
    value
}

/// The context of a uprobe program.
#[derive(Clone, Copy)]
pub struct Registers(pub *mut c_void);

impl Registers {
    /// The first thing that every uprobe program does: see [`own_stack`].
    #[inline(always)]
    pub fn of(context: &impl EbpfContext) -> Self {
        own_stack::stay(context.as_ptr(), Links::Plain);
        Self(context.as_ptr())
    }

    /// The same for the program of a session probe.
    #[inline(always)]
    pub fn of_session(context: &impl EbpfContext) -> Self {
        own_stack::stay(context.as_ptr(), Links::Session);
        Self(context.as_ptr())
    }

    #[inline(always)]
    fn read<const OFFSET: usize>(self) -> u64 {
        // SAFETY: the offset is within the context of a kprobe-type program, which the verifier checks too.
        unsafe { word_at::<OFFSET>(self.0) }
    }

    /// First argument, at entry.
    #[inline(always)]
    pub fn argument0(self) -> u64 {
        self.read::<{ offset::ARGUMENTS[0] }>()
    }

    /// The argument that a field of `memtrace_common::call` names, at entry: its index plus one. 0 without one.
    #[inline(always)]
    pub fn argument(self, field: u64) -> u64 {
        match field {
            1 => self.read::<{ offset::ARGUMENTS[0] }>(),
            2 => self.read::<{ offset::ARGUMENTS[1] }>(),
            3 => self.read::<{ offset::ARGUMENTS[2] }>(),
            4 => self.read::<{ offset::ARGUMENTS[3] }>(),
            5 => self.read::<{ offset::ARGUMENTS[4] }>(),
            6 => self.read::<{ offset::ARGUMENTS[5] }>(),
            _ => 0,
        }
    }

    /// The function's result, at return.
    #[inline(always)]
    pub fn result(self) -> u64 {
        self.read::<{ offset::RESULT }>()
    }

    /// The stack pointer.
    #[inline(always)]
    pub fn stack_pointer(self) -> u64 {
        self.read::<{ offset::STACK_POINTER }>()
    }

    /// The instruction that is probed, in an entry program.
    #[inline(always)]
    pub fn instruction_pointer(self) -> u64 {
        self.read::<{ offset::INSTRUCTION_POINTER }>()
    }

    /// The return address of a function, at its entry; 0 when it cannot be read.
    #[cfg(bpf_target_arch = "x86_64")]
    #[inline(always)]
    pub fn return_address(self) -> u64 {
        // SAFETY: reads user memory; the helper checks the address.
        unsafe { bpf_probe_read_user(self.stack_pointer() as *const u64) }.unwrap_or(0)
    }

    /// The return address of a function, at its entry.
    #[cfg(bpf_target_arch = "aarch64")]
    #[inline(always)]
    pub fn return_address(self) -> u64 {
        self.read::<{ offset::LINK }>()
    }

    /// The caller, in a return program: the kernel sets the instruction pointer before it runs.
    #[inline(always)]
    pub fn caller_at_return(self) -> Caller {
        Caller {
            instruction: self.instruction_pointer(),
            stack: self.stack_pointer(),
            frame: self.read::<{ offset::FRAME_POINTER }>(),
            // It has made a call.
            link: 0,
        }
    }

    /// The caller, at the instruction that returns to it.
    #[inline(always)]
    pub fn caller_at_exit(self, return_address: u64) -> Caller {
        Caller {
            instruction: return_address,
            stack: self.stack_pointer().wrapping_add(RETURN_POPS),
            frame: self.read::<{ offset::FRAME_POINTER }>(),
            // It has made a call.
            link: 0,
        }
    }
}

/// Registers of the function that called the allocator, as they are when the call has come back to it.
#[derive(Clone, Copy)]
pub struct Caller {
    instruction: u64,
    stack: u64,
    frame: u64,
    link: u64,
}

/// A system call of the running thread: the registers with which it entered the kernel.
#[derive(Clone, Copy)]
pub struct SystemCall(*const c_void);

impl SystemCall {
    /// The one under way. Needs 5.15.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: the running task has registers, which the helper gives a typed pointer to.
        Self(unsafe { bpf_task_pt_regs(bpf_get_current_task_btf().cast()) } as *const c_void)
    }

    #[inline(always)]
    fn read<const OFFSET: usize>(self) -> u64 {
        // SAFETY: the verifier checks that the offset is one of a field.
        unsafe { word_at::<OFFSET>(self.0) }
    }

    /// The register that return addresses are passed in: the C library's functions for calls need not save it.
    #[cfg(bpf_target_arch = "aarch64")]
    #[inline(always)]
    fn link(self) -> u64 {
        self.read::<{ offset::LINK }>()
    }

    /// None on this machine.
    #[cfg(bpf_target_arch = "x86_64")]
    #[expect(clippy::unused_self, reason = "as on the other machine")]
    #[inline(always)]
    fn link(self) -> u64 {
        0
    }

    /// Argument 0 to 3.
    #[inline(always)]
    pub fn argument(self, index: u32) -> u64 {
        match index {
            0 => self.read::<{ offset::SYSTEM_CALL_ARGUMENT0 }>(),
            1 => self.read::<{ offset::ARGUMENTS[1] }>(),
            2 => self.read::<{ offset::ARGUMENTS[2] }>(),
            _ => self.read::<{ offset::SYSTEM_CALL_ARGUMENT3 }>(),
        }
    }
}

impl Caller {
    /// Where the running thread has entered the kernel: the C library's function for the call is the innermost one.
    #[inline(always)]
    pub fn of_system_call() -> Self {
        let registers = SystemCall::current();
        Self {
            instruction: registers.read::<{ offset::INSTRUCTION_POINTER }>(),
            stack: registers.read::<{ offset::STACK_POINTER }>(),
            frame: registers.read::<{ offset::FRAME_POINTER }>(),
            link: registers.link(),
        }
    }

    /// The frame pointer register.
    #[inline(always)]
    pub fn frame_pointer(self) -> u64 {
        self.frame
    }

    /// The stack pointer.
    #[inline(always)]
    pub fn stack_pointer(self) -> u64 {
        self.stack
    }

    /// The return address of the call.
    #[inline(always)]
    pub fn instruction_pointer(self) -> u64 {
        self.instruction
    }

    /// aarch64: x30 of a function that may not have saved it; 0 otherwise.
    #[inline(always)]
    pub fn link(self) -> u64 {
        self.link
    }
}
