//! What an instruction of `x86_64` does to the flow of control.

use yaxpeax_arch::LengthedInstruction;
use yaxpeax_x86::long_mode::{InstDecoder, Instruction, Opcode, Operand, RegSpec};

use super::exits::{Exit, ExitsError};
use super::{Called, CodeWalk, Step};

pub(super) fn step(walk: &mut CodeWalk<'_>, at: u64) -> Result<Step, ExitsError> {
    let instruction = InstDecoder::default().decode_slice(walk.bytes(at)?).map_err(|_| ExitsError::Undecodable(at))?;
    let next = at.wrapping_add(instruction.len().to_const());
    let opcode = instruction.opcode();
    if opcode == Opcode::JMP {
        return Ok(match slot(&instruction, next) {
            Some(slot) => walk.jump_through(slot, at),
            None => Step { branch: relative(&instruction, next), ..Step::default() },
        });
    }
    let mut step = Step { next: Some(next), ..Step::default() };
    if opcode.is_jcc() || matches!(opcode, Opcode::JRCXZ | Opcode::JECXZ | Opcode::LOOP) {
        step.branch = relative(&instruction, next);
    } else if opcode == Opcode::CALL {
        step.call = match (slot(&instruction, next), relative(&instruction, next)) {
            (Some(slot), _) => walk.called_through(slot),
            (None, address) => Some(address.map_or(Called::Computed, Called::At)),
        };
    } else if matches!(opcode, Opcode::RETURN) {
        step.exit = Some(Exit { at, result_in_argument: false });
        step.next = None;
    } else if matches!(opcode, Opcode::UD2 | Opcode::HLT | Opcode::INT) {
        step.next = None;
    }
    step.is_mark = opcode == Opcode::ENDBR64;
    Ok(step)
}

/// The place of the address that `jmp *slot(%rip)` and `call *slot(%rip)` go to.
fn slot(instruction: &Instruction, next: u64) -> Option<u64> {
    match instruction.operand(0) {
        Operand::Disp { base, disp } if base == RegSpec::rip() => Some(next.wrapping_add_signed(i64::from(disp))),
        _ => None,
    }
}

/// Where a branch with a distance leads.
fn relative(instruction: &Instruction, next: u64) -> Option<u64> {
    let distance = match instruction.operand(0) {
        Operand::ImmediateI8 { imm } => i64::from(imm),
        Operand::ImmediateI16 { imm } => i64::from(imm),
        Operand::ImmediateI32 { imm } => i64::from(imm),
        Operand::ImmediateI64 { imm } => imm,
        _ => return None,
    };
    Some(next.wrapping_add_signed(distance))
}
