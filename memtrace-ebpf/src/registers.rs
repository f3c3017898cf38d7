//! Registers of the probed thread.
//!
//! Read by inline asm at constant offsets: LLVM otherwise merges two reads into one through a computed pointer, which
//! the verifier refuses ("dereference of modified ctx ptr").

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_current_task_btf, generated::bpf_task_pt_regs};

/// Offsets in the kernel's `struct pt_regs` (arch/x86/include/asm/ptrace.h).
#[cfg(bpf_target_arch = "x86_64")]
mod offset {
    pub const ARGUMENTS: [usize; 3] = [112, 104, 96];
    pub const RESULT: usize = 80;
    pub const FRAME_POINTER: usize = 32;
    pub const STACK_POINTER: usize = 152;
    pub const INSTRUCTION_POINTER: usize = 128;
}

/// Offsets in the kernel's `struct user_pt_regs` (arch/arm64/include/uapi/asm/ptrace.h).
#[cfg(bpf_target_arch = "aarch64")]
mod offset {
    pub const ARGUMENTS: [usize; 3] = [0, 8, 16];
    pub const RESULT: usize = 0;
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
    let value: u64;
    // SAFETY: the running task has registers, which the helper gives a typed pointer to; the verifier checks that the
    // offset is one of a field.
    unsafe {
        let registers = bpf_task_pt_regs(bpf_get_current_task_btf().cast());
        core::arch::asm!("{0} = *(u64 *)({1} + {2})", out(reg) value, in(reg) registers,
            const offset::STACK_POINTER, options(nostack, readonly));
    }
    value
}

/// The context of a uprobe program.
#[derive(Clone, Copy)]
pub struct Registers(pub *mut c_void);

impl Registers {
    #[inline(always)]
    fn read<const OFFSET: usize>(self) -> u64 {
        let value: u64;
        // SAFETY: the offset is within the context of a kprobe-type program, which the verifier checks too.
        unsafe {
            core::arch::asm!("{0} = *(u64 *)({1} + {2})", out(reg) value, in(reg) self.0, const OFFSET,
                options(nostack, readonly));
        }
        value
    }

    /// First argument, at entry.
    #[inline(always)]
    pub fn argument0(self) -> u64 {
        self.read::<{ offset::ARGUMENTS[0] }>()
    }

    /// Second argument, at entry.
    #[inline(always)]
    pub fn argument1(self) -> u64 {
        self.read::<{ offset::ARGUMENTS[1] }>()
    }

    /// Third argument, at entry.
    #[inline(always)]
    pub fn argument2(self) -> u64 {
        self.read::<{ offset::ARGUMENTS[2] }>()
    }

    /// The function's result, at return.
    #[inline(always)]
    pub fn result(self) -> u64 {
        self.read::<{ offset::RESULT }>()
    }

    /// At return: the caller's.
    #[inline(always)]
    pub fn frame_pointer(self) -> u64 {
        self.read::<{ offset::FRAME_POINTER }>()
    }

    /// At return: the caller's.
    #[inline(always)]
    pub fn stack_pointer(self) -> u64 {
        self.read::<{ offset::STACK_POINTER }>()
    }

    /// At return: the return address, as the kernel sets it before return programs run.
    #[inline(always)]
    pub fn instruction_pointer(self) -> u64 {
        self.read::<{ offset::INSTRUCTION_POINTER }>()
    }
}
