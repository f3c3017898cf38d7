//! One row of call frame information as a packed rule, per machine.

use gimli::{CfaRule, EndianSlice, LittleEndian, RegisterRule, UnwindSection, UnwindTableRow};
use memtrace_common::unwind::{kind, return_address, rule};

use super::expressions::{self, Recognised};
use super::functions::Room;
use super::image::Machine;

pub(super) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A rule that has no form in the table.
pub(super) const UNSUPPORTED: u64 = kind::UNSUPPORTED;

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
    pub(super) fn of(&self, row: &UnwindTableRow<usize, Room>) -> u64 {
        match self.machine {
            Machine::X86_64 => self.x86_64(row),
            Machine::Aarch64 => self.aarch64(row),
        }
        .unwrap_or(UNSUPPORTED)
    }

    fn x86_64(&self, row: &UnwindTableRow<usize, Room>) -> Option<u64> {
        match row.register(gimli::X86_64::RA) {
            Some(RegisterRule::Undefined) => return Some(kind::OUTERMOST),
            // libc's `__restore_rt` says by expressions where the kernel put each register.
            _ if self.signal && matches!(row.cfa(), CfaRule::Expression(_)) => return Some(kind::SIGNAL),
            Some(RegisterRule::Offset(-8)) => {}
            _ => return None,
        }
        let frame = row.register(gimli::X86_64::RBP);
        match row.cfa() {
            CfaRule::RegisterAndOffset { register: gimli::X86_64::RSP, offset } => {
                rule::pack(kind::STACK_POINTER, *offset, saved(frame.as_ref())?, 0)
            }
            CfaRule::RegisterAndOffset { register: gimli::X86_64::RBP, offset } => {
                rule::pack(kind::FRAME_POINTER, *offset, saved(frame.as_ref())?, 0)
            }
            CfaRule::RegisterAndOffset { .. } => None,
            CfaRule::Expression(expression) => {
                let expression = expression.get(self.section).ok()?;
                self.expression(&expressions::recognise(expression, self.encoding)?, frame.as_ref())
            }
        }
    }

    /// The rule for a caller's frame that an expression finds.
    fn expression(&self, found: &Recognised, frame: Option<&RegisterRule<usize>>) -> Option<u64> {
        match *found {
            Recognised::Plt(byte) if saved(frame) == Some(0) => rule::pack(kind::PLT, 0, 0, u64::from(byte)),
            Recognised::AtFrame { offset, add: 0 } if self.at_frame_pointer(frame) => {
                rule::pack(kind::STORED, offset, 0, 0)
            }
            Recognised::AtFrame { offset, add } => rule::pack(kind::FRAME_INDIRECT, offset, saved(frame)?, add),
            Recognised::AtStack { offset, add } => rule::pack(kind::STACK_INDIRECT, offset, saved(frame)?, add),
            Recognised::Plt(_) => None,
        }
    }

    fn aarch64(&self, row: &UnwindTableRow<usize, Room>) -> Option<u64> {
        let back = row.register(gimli::AArch64::X30);
        if back == Some(RegisterRule::Undefined) {
            return Some(kind::OUTERMOST);
        }
        if self.signal {
            return Some(kind::SIGNAL);
        }
        let (frame, back) = (saved(row.register(gimli::AArch64::X29).as_ref())?, saved(back.as_ref())?);
        let extra = match back {
            // A frame record: the return address is the word above the frame pointer.
            1.. if back + 1 == frame => return_address::BESIDE_FRAME_POINTER,
            0..return_address::BESIDE_FRAME_POINTER => back,
            _ => return None,
        };
        match row.cfa() {
            CfaRule::RegisterAndOffset { register: gimli::AArch64::SP, offset } => {
                rule::pack(kind::STACK_POINTER, *offset, frame, extra)
            }
            CfaRule::RegisterAndOffset { register: gimli::AArch64::X29, offset } => {
                rule::pack(kind::FRAME_POINTER, *offset, frame, extra)
            }
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
fn saved(register: Option<&RegisterRule<usize>>) -> Option<u64> {
    match register {
        // A compiler says "undefined" of a register whose old value nobody needs: whatever is in it does as well.
        None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => Some(0),
        Some(RegisterRule::Offset(offset)) if *offset < 0 && offset % 8 == 0 => u64::try_from(-(offset / 8)).ok(),
        Some(_) => None,
    }
}
