//! Follows copies of stacks that the BPF walker could not: a mapping was newer than what it knew. The same rules as in
//! memtrace-ebpf/src/stack, on a copy of the stack instead of the stack.

mod aarch64;
mod pieces;
mod x86_64;

use memtrace_common::{
    copy::CopyHeader,
    site::end,
    unwind::{kind, rule},
};

pub use self::pieces::{Attempt, Pieces};

/// The instruction set that rules are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// `x86_64`.
    X86_64,
    /// aarch64.
    Aarch64,
}

impl Machine {
    /// What memtrace itself, and so what it traces, runs on.
    pub const HERE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };
}

/// A copy of a thread's registers and of the top of its stack.
#[derive(Debug, Clone)]
pub struct StackCopy {
    /// Registers, and whose stack it is.
    pub header: CopyHeader,
    bytes: Vec<u8>,
}

/// Where a walk stands.
#[derive(Debug)]
struct Registers {
    instruction: u64,
    stack: u64,
    frame: u64,
    behind_call: u64,
    /// aarch64: x30 of an interrupted frame.
    link: u64,
}

/// A constant of [`end`]: why there is no caller.
type End = u64;

impl StackCopy {
    fn word(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.header.stack)?).ok()?;
        self.bytes.get(offset..offset.checked_add(8)?)?.try_into().ok().map(u64::from_ne_bytes)
    }

    /// A word of the stack that a walk needs.
    fn need(&self, address: u64) -> Result<u64, End> {
        self.word(address).ok_or(end::UNREADABLE)
    }

    /// Follows the stack to at most `limit` frames by the packed rules that `find` gives; returns addresses, as the BPF
    /// walker keeps them, and a constant of [`end`].
    #[must_use]
    pub fn follow(&self, machine: Machine, limit: usize, find: impl Fn(u64) -> u64) -> (Vec<u64>, End) {
        let CopyHeader { instruction, stack, frame, link, .. } = self.header;
        let mut registers = Registers { instruction, stack, frame, behind_call: 1, link };
        let mut addresses = Vec::new();
        while addresses.len() < limit {
            addresses.push(registers.instruction.wrapping_add(1 - registers.behind_call));
            let found = find(registers.instruction.wrapping_sub(registers.behind_call));
            match self.caller(machine, &registers, found) {
                Ok(caller) if caller.instruction == 0 => return (addresses, end::WHOLE),
                Ok(caller) => registers = caller,
                Err(end) => return (addresses, end),
            }
        }
        (addresses, end::TRUNCATED)
    }

    fn caller(&self, machine: Machine, at: &Registers, found: u64) -> Result<Registers, End> {
        match rule::kind(found) {
            kind::OUTERMOST => Err(end::WHOLE),
            kind::NONE => Err(end::NO_RULE),
            kind::ENDED => Err(rule::offset(found).cast_unsigned()),
            kind::UNSUPPORTED => Err(end::UNSUPPORTED),
            kind::CHAIN if at.frame == 0 => Err(end::WHOLE),
            _ => match machine {
                Machine::X86_64 => x86_64::caller(self, at, found),
                Machine::Aarch64 => aarch64::caller(self, at, found),
            },
        }
    }
}

#[cfg(test)]
mod tests;
