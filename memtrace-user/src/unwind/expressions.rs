//! The DWARF expressions that compilers and linkers for `x86_64` write in place of a plain rule.

use gimli::{Encoding, Expression, Operation, Register};

use super::rules::Slice;

const FRAME: Register = gimli::X86_64::RBP;
const STACK: Register = gimli::X86_64::RSP;
const INSTRUCTION: Register = gimli::X86_64::RA;

/// Where the caller's frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recognised {
    /// Stack pointer + 8, and 8 more from this byte of a stub of 16 bytes. Linkers write it for their PLT.
    Plt(u8),
    /// The address stored at the frame pointer plus an offset, plus what is added. GCC writes it for functions that
    /// align their stack.
    AtFrame { offset: i64, add: u64 },
    /// The address stored at the stack pointer plus an offset, plus what is added. OpenSSL's assembly has it.
    AtStack { offset: i64, add: u64 },
}

/// The longest expression known here, in operations.
const LONGEST: usize = 9;

type Operations<'a> = [Option<Operation<Slice<'a>>>; LONGEST];

/// The meaning of an expression for the caller's frame, if it is a known one.
pub(super) fn recognise(expression: Expression<Slice<'_>>, encoding: Encoding) -> Option<Recognised> {
    use Operation::{And, Deref, Ge, Plus, PlusConstant, RegisterOffset, Shl, UnsignedConstant};
    let mut operations = Operations::default();
    match parse(&mut operations, expression, encoding)? {
        [
            Some(RegisterOffset { register, offset, .. }),
            Some(Deref { base_type: gimli::UnitOffset(0), size: 8, space: false }),
            rest @ ..,
        ] => match rest {
            [] => at(*register, *offset, 0),
            [Some(PlusConstant { value })] => at(*register, *offset, *value),
            _ => None,
        },
        [
            Some(RegisterOffset { register: STACK, offset: 8, .. }),
            Some(RegisterOffset { register: INSTRUCTION, offset: 0, .. }),
            Some(UnsignedConstant { value: 15 }),
            Some(And),
            Some(UnsignedConstant { value }),
            Some(Ge),
            Some(UnsignedConstant { value: 3 }),
            Some(Shl),
            Some(Plus),
        ] => u8::try_from(*value).ok().filter(|byte| *byte < 16).map(Recognised::Plt),
        _ => None,
    }
}

/// An address stored at a register plus an offset.
fn at(register: Register, offset: i64, add: u64) -> Option<Recognised> {
    match register {
        FRAME => Some(Recognised::AtFrame { offset, add }),
        STACK => Some(Recognised::AtStack { offset, add }),
        _ => None,
    }
}

/// Whether an expression is the frame pointer's value.
pub(super) fn is_frame_pointer(expression: Expression<Slice<'_>>, encoding: Encoding) -> bool {
    let mut operations = Operations::default();
    let parsed = parse(&mut operations, expression, encoding);
    matches!(parsed, Some([Some(Operation::RegisterOffset { register: FRAME, offset: 0, .. })]))
}

/// The operations of an expression; none when it is longer than all that are known, or malformed.
fn parse<'s, 'a>(
    operations: &'s mut Operations<'a>,
    expression: Expression<Slice<'a>>,
    encoding: Encoding,
) -> Option<&'s [Option<Operation<Slice<'a>>>]> {
    let mut found = expression.operations(encoding);
    let mut count = 0;
    while let Some(operation) = found.next().ok()? {
        *operations.get_mut(count)? = Some(operation);
        count += 1;
    }
    Some(&operations[..count])
}
