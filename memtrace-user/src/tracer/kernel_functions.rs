//! Calls of the kernel's functions by BPF programs: aya 0.14 and bpf-linker know none, so they are entered here.

use aya::Btf;
use aya_obj::{Object, btf::BtfKind, generated::bpf_insn};
use memtrace_common::kernel_function;

/// `BPF_JMP | BPF_CALL`.
const CALL: u8 = 0x85;

/// `BPF_PSEUDO_KFUNC_CALL`: the number is a type of the kernel's type information.
const OF_THE_KERNEL: u8 = 2;

/// Whether the kernel has all functions that the programs for session probes call.
#[must_use]
pub fn are_known(kernel: &Btf) -> bool {
    kernel_function::ALL.iter().all(|(_, name)| number(kernel, name).is_some())
}

/// Replaces the stand-ins for the kernel's functions by what the kernel calls them. Those that it does not have stay: a
/// program with one is not to be loaded.
pub fn enter(object: &mut Object, kernel: &Btf) {
    let calls = kernel_function::ALL.iter().filter_map(|(mark, name)| Some((*mark, number(kernel, name)?)));
    let calls: Vec<(u32, i32)> = calls.collect();
    for instruction in object.functions.values_mut().flat_map(|function| &mut function.instructions) {
        if let Some((_, number)) = calls.iter().find(|(mark, _)| is_call_of(*instruction, *mark)) {
            instruction.set_src_reg(OF_THE_KERNEL);
            instruction.imm = *number;
        }
    }
}

fn is_call_of(instruction: bpf_insn, mark: u32) -> bool {
    instruction.code == CALL && instruction.src_reg() == 0 && instruction.imm.cast_unsigned() == mark
}

fn number(kernel: &Btf, name: &str) -> Option<i32> {
    kernel.id_by_type_name_kind(name, BtfKind::Func).ok().map(u32::cast_signed)
}
