//! The walk through a function of `x86_64`.

mod kernel;

use std::ops::Range;

use yaxpeax_arch::LengthedInstruction;
use yaxpeax_x86::long_mode::{InstDecoder, Instruction, Opcode, Operand, RegSpec, register_class};

use super::{Code, Place, Price, ProbePoint, ProbePointError, Purpose, Reason};

/// Where the System V ABI passes integer arguments.
const ARGUMENTS: [RegSpec; 6] =
    [RegSpec::rdi(), RegSpec::rsi(), RegSpec::rdx(), RegSpec::rcx(), RegSpec::r8(), RegSpec::r9()];

/// Stack pointer and frame pointer, from which BPF starts.
const KEPT: [RegSpec; 2] = [RegSpec::rsp(), RegSpec::rbp()];

/// Instructions that write flags at most.
const WRITES_NO_REGISTER: &[Opcode] = &[Opcode::ENDBR64, Opcode::NOP, Opcode::TEST, Opcode::CMP, Opcode::BT];

/// Instructions that write their first operand and flags at most.
const WRITES_FIRST_OPERAND: &[Opcode] = &[
    Opcode::MOV,
    Opcode::MOVZX,
    Opcode::MOVSX,
    Opcode::MOVSXD,
    Opcode::LEA,
    Opcode::XOR,
    Opcode::OR,
    Opcode::AND,
    Opcode::ADD,
    Opcode::SUB,
    Opcode::SHL,
    Opcode::SHR,
    Opcode::SAR,
];

/// Instructions of the two lists that leave the flags alone.
const KEEPS_FLAGS: &[Opcode] =
    &[Opcode::ENDBR64, Opcode::NOP, Opcode::MOV, Opcode::MOVZX, Opcode::MOVSX, Opcode::MOVSXD, Opcode::LEA];

/// Instructions whose first operand, if it is a constant, is the distance to where they lead.
const BRANCHES: &[Opcode] = &[
    Opcode::JMP,
    Opcode::CALL,
    Opcode::LOOP,
    Opcode::LOOPZ,
    Opcode::LOOPNZ,
    Opcode::JRCXZ,
    Opcode::JECXZ,
    Opcode::XBEGIN,
];

/// A decoded instruction and where it lies in the function.
struct Step {
    at: Range<usize>,
    instruction: Instruction,
}

pub(super) fn choose(code: Code<'_>, purpose: &Purpose) -> Result<ProbePoint, ProbePointError> {
    let (steps, decoded) = decode(code.bytes);
    let Some(entry) = steps.first() else {
        return Err(ProbePointError::NotCode(code.bytes.iter().copied().take(16).collect()));
    };
    let at_entry = |reason| Place { offset: 0, reason };
    let place = match (code.whole, decoded) {
        (false, _) => at_entry(Reason::CodeUnknown),
        (true, false) => at_entry(Reason::CodeUndecodable),
        (true, true) => walk(code.bytes, &steps, purpose).unwrap_or(at_entry(Reason::NothingEmulated)),
    };
    let step = steps.iter().find(|step| step.at.start == place.offset).unwrap_or(entry);
    let bytes = &code.bytes[step.at.clone()];
    let instruction = step.instruction.to_string();
    if !kernel::accepts(bytes) {
        return Err(ProbePointError::Refused(instruction));
    }
    let price = if kernel::emulates(bytes) { Price::Emulated } else { Price::Stepped };
    Ok(ProbePoint { offset_in_function: step.at.start as u64, instruction, price, reason: place.reason })
}

/// The instructions from the entry on, and whether they reach the end of `bytes`.
fn decode(bytes: &[u8]) -> (Vec<Step>, bool) {
    let decoder = InstDecoder::default();
    let mut steps = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let Ok(instruction) = decoder.decode_slice(&bytes[start..]) else { return (steps, false) };
        let length = usize::try_from(instruction.len().to_const()).unwrap_or(0);
        let end = start + length;
        if length == 0 || end > bytes.len() {
            return (steps, false);
        }
        steps.push(Step { at: start..end, instruction });
        start = end;
    }
    (steps, true)
}

/// The first place that qualifies.
fn walk(bytes: &[u8], steps: &[Step], purpose: &Purpose) -> Option<Place> {
    let limit = steps.iter().filter_map(Step::target).filter(|target| *target > 0).min().unwrap_or(usize::MAX);
    let block = purpose.skip_null.and_then(|index| ARGUMENTS.get(index));
    let mut null_tested = false;
    let mut null_check = None;
    // A place that a branch of the function leads to, or one beyond it, would count some calls twice or miss them.
    for step in steps.iter().take_while(|step| step.at.start < limit) {
        if kernel::emulates(&bytes[step.at.clone()]) {
            let reason = if null_check.is_some() { Reason::AfterNullCheck } else { Reason::FirstEmulated };
            let here = Place { offset: step.at.start, reason };
            if !(null_tested && null_check.is_none() && step.instruction.opcode() == Opcode::JZ) {
                return Some(here);
            }
            null_check = Some(Place { reason: Reason::NullCheck, ..here });
            continue;
        }
        if !step.leaves_alone(purpose) {
            break;
        }
        null_tested = block.is_some_and(|block| step.compares_with_null(*block))
            || null_tested && KEEPS_FLAGS.contains(&step.instruction.opcode());
    }
    null_check
}

impl Step {
    /// Where a direct branch leads, if it is in the function or beyond its end.
    fn target(&self) -> Option<usize> {
        let opcode = self.instruction.opcode();
        if !opcode.is_jcc() && !BRANCHES.contains(&opcode) {
            return None;
        }
        let distance = match self.instruction.operand(0) {
            Operand::ImmediateI8 { imm } => i64::from(imm),
            Operand::ImmediateI16 { imm } => i64::from(imm),
            Operand::ImmediateI32 { imm } => i64::from(imm),
            Operand::ImmediateI64 { imm } => imm,
            _ => return None,
        };
        usize::try_from(i64::try_from(self.at.end).ok()?.checked_add(distance)?).ok()
    }

    /// Neither memory nor a register that must be as at entry is written, and the next instruction follows.
    fn leaves_alone(&self, purpose: &Purpose) -> bool {
        let opcode = self.instruction.opcode();
        if WRITES_NO_REGISTER.contains(&opcode) {
            return true;
        }
        let Operand::Register { reg } = self.instruction.operand(0) else { return false };
        // Parts of a register of 8 or 16 bits are not worth telling apart: %ah is no part of register 4, %spl is.
        let general = reg.class() == register_class::Q || reg.class() == register_class::D;
        let arguments = purpose.arguments.iter().filter_map(|index| ARGUMENTS.get(*index));
        let mut kept = arguments.chain(&KEPT);
        WRITES_FIRST_OPERAND.contains(&opcode) && general && kept.all(|kept| kept.num() != reg.num())
    }

    /// `test %r, %r` or `cmp $0, %r`, of all 64 bits.
    fn compares_with_null(&self, register: RegSpec) -> bool {
        let is = |operand: Operand| matches!(operand, Operand::Register { reg } if reg == register);
        let (first, second) = (self.instruction.operand(0), self.instruction.operand(1));
        match self.instruction.opcode() {
            Opcode::TEST => is(first) && is(second),
            Opcode::CMP => is(first) && is_zero(&second),
            _ => false,
        }
    }
}

fn is_zero(operand: &Operand) -> bool {
    match *operand {
        Operand::ImmediateI8 { imm } => imm == 0,
        Operand::ImmediateI32 { imm } => imm == 0,
        Operand::ImmediateI64 { imm } => imm == 0,
        _ => false,
    }
}
