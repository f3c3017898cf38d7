//! One row of call frame information as a packed rule, per machine.

use gimli::{CfaRule, EndianSlice, LittleEndian, Register, RegisterRule, UnwindSection, UnwindTableRow};
use memtrace_common::unwind::{kind, rule};

use super::expressions::{self, Recognised};
use super::image::Machine;

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A rule that has no form in the table.
pub(super) const UNSUPPORTED: u32 = kind::UNSUPPORTED;

/// Makes rules of the rows of one function.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a, S> {
    pub(super) machine: Machine,
    /// The section that expressions lie in.
    pub(super) section: &'a S,
    pub(super) encoding: gimli::Encoding,
    /// The function returns from a signal handler.
    pub(super) signal: bool,
}

impl<'a, S: UnwindSection<Slice<'a>>> Rules<'_, S> {
    /// The packed rule of a row.
    pub(super) fn of(&self, row: &UnwindTableRow<usize>) -> u32 {
        match self.machine {
            Machine::X86_64 => self.x86_64(row),
            Machine::Aarch64 => self.aarch64(row),
        }
        .unwrap_or(UNSUPPORTED)
    }

    fn x86_64(&self, row: &UnwindTableRow<usize>) -> Option<u32> {
        const FRAME: Register = gimli::X86_64::RBP;
        const STACK: Register = gimli::X86_64::RSP;
        match row.register(gimli::X86_64::RA) {
            Some(RegisterRule::Undefined) => return Some(kind::OUTERMOST),
            // libc's `__restore_rt` says by expressions where the kernel put each register.
            _ if self.signal && matches!(row.cfa(), CfaRule::Expression(_)) => return Some(kind::SIGNAL),
            Some(RegisterRule::Offset(-8)) => {}
            _ => return None,
        }
        let frame = row.register(FRAME);
        match row.cfa() {
            CfaRule::RegisterAndOffset { register: STACK, offset } => {
                rule::pack(kind::STACK_POINTER, *offset, saved(frame.as_ref())?)
            }
            CfaRule::RegisterAndOffset { register: FRAME, offset } => {
                rule::pack(kind::FRAME_POINTER, *offset, saved(frame.as_ref())?)
            }
            CfaRule::RegisterAndOffset { .. } => None,
            CfaRule::Expression(expression) => {
                let expression = expression.get(self.section).ok()?;
                match expressions::recognise(expression, self.encoding)? {
                    // The offset is a number of bytes into a stub, not a multiple of 8 as all others are.
                    Recognised::Plt(byte) if saved(frame.as_ref()) == Some(0) => {
                        rule::pack(kind::PLT, i64::from(byte) * 8, 0)
                    }
                    Recognised::Stored(offset) if self.at_frame_pointer(frame.as_ref()) => {
                        rule::pack(kind::STORED, offset, 0)
                    }
                    _ => None,
                }
            }
        }
    }

    fn aarch64(&self, row: &UnwindTableRow<usize>) -> Option<u32> {
        const FRAME: Register = gimli::AArch64::X29;
        const STACK: Register = gimli::AArch64::SP;
        let back = row.register(gimli::AArch64::X30);
        if back == Some(RegisterRule::Undefined) {
            return Some(kind::OUTERMOST);
        }
        if self.signal {
            return Some(kind::SIGNAL);
        }
        let (frame, back) = (saved(row.register(FRAME).as_ref())?, saved(back.as_ref())?);
        if frame >= 1 << 7 || back >= 1 << 6 {
            return None;
        }
        let saved = frame | back << 7;
        match row.cfa() {
            CfaRule::RegisterAndOffset { register: STACK, offset } => rule::pack(kind::STACK_POINTER, *offset, saved),
            CfaRule::RegisterAndOffset { register: FRAME, offset } => rule::pack(kind::FRAME_POINTER, *offset, saved),
            _ => None,
        }
    }

    /// Whether a register's value is what the frame pointer points to.
    fn at_frame_pointer(&self, register: Option<&RegisterRule<usize>>) -> bool {
        let Some(RegisterRule::Expression(expression)) = register else { return false };
        expression.get(self.section).is_ok_and(|found| expressions::is_frame_pointer(found, self.encoding))
    }
}

/// n of "saved at the caller's frame - 8n", 0 for a register that the function leaves alone.
fn saved(register: Option<&RegisterRule<usize>>) -> Option<u32> {
    match register {
        // A compiler says "undefined" of a register whose old value nobody needs: whatever is in it does as well.
        None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => Some(0),
        Some(RegisterRule::Offset(offset)) if *offset < 0 && offset % 8 == 0 => u32::try_from(-(offset / 8)).ok(),
        Some(_) => None,
    }
}
