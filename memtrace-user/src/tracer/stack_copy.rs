//! Follows copies of stacks that the BPF walker could not: a mapping was newer than what it knew. The same rules as in
//! memtrace-ebpf/src/stack/unwind.rs, on a copy of the stack instead of the stack.

use memtrace_common::{
    copy::CopyHeader,
    unwind::{kind, rule},
};

use crate::profile::StackEnd;

/// The rule for a code address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundRule {
    /// A packed rule, see `memtrace_common::unwind::rule`.
    Table(u32),
    /// Code without a table.
    FramePointer,
    /// No code is known to be mapped there, or its table has nothing for it.
    Unknown,
}

/// A copy of a thread's registers and of the top of its stack.
#[derive(Debug)]
pub struct StackCopy<'a> {
    /// Registers, and whose stack it is.
    pub header: CopyHeader,
    bytes: &'a [u8],
}

/// Places in `struct rt_sigframe`, see memtrace-ebpf/src/stack/unwind.rs.
const SIGNAL_FRAME_POINTER: u64 = 120;
const SIGNAL_STACK_POINTER: u64 = 160;
const SIGNAL_INSTRUCTION_POINTER: u64 = 168;

/// Where a walk stands.
struct Registers {
    instruction: u64,
    stack: u64,
    frame: u64,
    behind_call: u64,
}

impl<'a> StackCopy<'a> {
    /// From a record of the ring buffer; `None` when it is too short to be one.
    #[must_use]
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        let (head, bytes) = record.split_at_checked(size_of::<CopyHeader>())?;
        let word = |at: usize| head.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_ne_bytes);
        let ids = word(0)?;
        let header = CopyHeader {
            site: u32::try_from(ids & 0xffff_ffff).ok()?,
            slot: u32::try_from(ids >> 32).ok()?,
            instruction: word(8)?,
            stack: word(16)?,
            frame: word(24)?,
        };
        Some(Self { header, bytes })
    }

    fn word(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.header.stack)?).ok()?;
        self.bytes.get(offset..offset.checked_add(8)?)?.try_into().ok().map(u64::from_ne_bytes)
    }

    /// Follows the stack to at most `limit` frames; the addresses are as the BPF walker keeps them.
    #[must_use]
    pub fn follow(&self, limit: usize, find: impl Fn(u64) -> FoundRule) -> (Vec<u64>, StackEnd) {
        let CopyHeader { instruction, stack, frame, .. } = self.header;
        let mut registers = Registers { instruction, stack, frame, behind_call: 1 };
        let mut addresses = Vec::new();
        while addresses.len() < limit {
            addresses.push(registers.instruction + 1 - registers.behind_call);
            let found = find(registers.instruction.wrapping_sub(registers.behind_call));
            match self.caller(&registers, found) {
                Ok(caller) => registers = caller,
                Err(end) => return (addresses, end),
            }
        }
        (addresses, StackEnd::Truncated)
    }

    fn caller(&self, at: &Registers, found: FoundRule) -> Result<Registers, StackEnd> {
        let packed = match found {
            FoundRule::Unknown => return Err(StackEnd::Incomplete),
            FoundRule::FramePointer if at.frame == 0 => return Err(StackEnd::Whole),
            FoundRule::FramePointer => return self.above(at, at.frame.wrapping_add(16), 2, at.frame),
            FoundRule::Table(packed) => packed,
        };
        let offset = rule::offset(packed).cast_unsigned();
        let saved = u64::from(rule::saved(packed));
        match rule::kind(packed) {
            kind::STACK_POINTER => self.above(at, at.stack.wrapping_add(offset), saved, at.frame),
            kind::FRAME_POINTER => self.above(at, at.frame.wrapping_add(offset), saved, at.frame),
            kind::PLT => {
                let pushed = at.instruction.wrapping_sub(at.behind_call) & 15 >= offset / 8;
                self.above(at, at.stack.wrapping_add(if pushed { 16 } else { 8 }), 0, at.frame)
            }
            kind::STORED => {
                let caller_frame = self.word(at.frame.wrapping_add(offset)).ok_or(StackEnd::Incomplete)?;
                let frame = self.word(at.frame).ok_or(StackEnd::Incomplete)?;
                self.above(at, caller_frame, 0, frame)
            }
            kind::SIGNAL => {
                let word = |place: u64| self.word(at.stack.wrapping_add(place)).ok_or(StackEnd::Incomplete);
                Ok(Registers {
                    instruction: word(SIGNAL_INSTRUCTION_POINTER)?,
                    stack: word(SIGNAL_STACK_POINTER)?,
                    frame: word(SIGNAL_FRAME_POINTER)?,
                    behind_call: 0,
                })
            }
            kind::OUTERMOST => Err(StackEnd::Whole),
            _ => Err(StackEnd::Incomplete),
        }
    }

    /// The caller's registers, from where its frame begins.
    fn above(&self, at: &Registers, caller_frame: u64, saved: u64, frame: u64) -> Result<Registers, StackEnd> {
        if caller_frame <= at.stack {
            return Err(StackEnd::Incomplete);
        }
        let word = |address| self.word(address).ok_or(StackEnd::Incomplete);
        let instruction = word(caller_frame.wrapping_sub(8))?;
        let frame = if saved == 0 { frame } else { word(caller_frame.wrapping_sub(saved << 3))? };
        if instruction == 0 {
            return Err(StackEnd::Whole);
        }
        Ok(Registers { instruction, stack: caller_frame, frame, behind_call: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stack: &[u64]) -> Vec<u8> {
        let head = [7 | 3 << 32, 0x1000, 0x7000, 0x7008];
        head.iter().chain(stack).flat_map(|word: &u64| word.to_ne_bytes()).collect()
    }

    /// A frame by stack pointer, then one by frame pointer, then the outermost: each address once, and a whole stack.
    #[test]
    fn rules_are_followed_to_the_outermost_frame() {
        // 0x7000: local, 0x7008: saved frame pointer, 0x7010: return to 0x2000; 0x7018: next, 0x7020: return to 0x3000.
        let bytes = record(&[0, 0x7018, 0x2000, 0, 0x3000]);
        let copy = StackCopy::parse(&bytes).expect("a record");
        assert_eq!((copy.header.site, copy.header.slot), (7, 3));
        let by_stack = rule::pack(kind::STACK_POINTER, 24, 2).expect("fits");
        let (addresses, end) = copy.follow(127, |address| match address {
            0xfff => FoundRule::Table(by_stack),
            0x1fff => FoundRule::FramePointer,
            _ => FoundRule::Table(kind::OUTERMOST),
        });
        assert_eq!((addresses.as_slice(), end), (&[0x1000, 0x2000, 0x3000][..], StackEnd::Whole));
    }

    /// A stack that is longer than its copy, or meets unknown code, is incomplete; one above the limit is cut.
    #[test]
    fn ends_are_told_apart() {
        let bytes = record(&[0, 0x7018, 0x2000, 0, 0x3000]);
        let copy = StackCopy::parse(&bytes).expect("a record");
        let deep = rule::pack(kind::STACK_POINTER, 4096, 0).expect("fits");
        assert_eq!(copy.follow(127, |_| FoundRule::Table(deep)).1, StackEnd::Incomplete);
        assert_eq!(copy.follow(127, |_| FoundRule::Unknown), (vec![0x1000], StackEnd::Incomplete));
        let frame = rule::pack(kind::STACK_POINTER, 24, 0).expect("fits");
        let (addresses, end) = copy.follow(1, |_| FoundRule::Table(frame));
        assert_eq!((addresses.len(), end), (1, StackEnd::Truncated));
        assert!(StackCopy::parse(&bytes[..20]).is_none());
    }
}
