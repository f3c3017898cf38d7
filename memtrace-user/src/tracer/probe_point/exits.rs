//! Where a function returns to its caller, for probes on functions that must not have a return probe.
//!
//! The code is followed from the entry along every branch that is written in it, also where it leaves the function for
//! another that ends in its stead (a tail call, through the file's own linkage too), up to the instructions that return.
//! A jump to memset and its like, in other files or chosen on loading, is an exit whose result is their first argument.
//!
//! What is called on the way comes back and is not followed. Other jumps to addresses that are computed are not followed
//! either: allocators end like that only where memory has run out. A call that leaves through one is never seen to end,
//! which is counted when the next one begins.

use std::collections::{BTreeMap, BTreeSet};

use yaxpeax_arch::LengthedInstruction;
use yaxpeax_x86::long_mode::{InstDecoder, Instruction, Opcode, Operand, RegSpec};

use crate::process::elf::{ElfError, ElfFile, Linkage, Linked, Machine};

/// Instructions followed from one function. glibc's and jemalloc's largest have some thousand.
const MAX_INSTRUCTIONS: usize = 1 << 14;
/// Places that return. Each is a probe.
const MAX_EXITS: usize = 64;
/// Bytes read from the file at once.
const BLOCK: usize = 4096;
/// Bytes of the longest instruction.
const LONGEST: u64 = 15;

/// Why the exits of a function are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExitsError {
    /// Not written for this machine.
    #[error("finding the exits of functions is not supported on this machine")]
    Machine,
    /// Code that is no code.
    #[error("the code at {0:#x} cannot be decoded")]
    Undecodable(u64),
    /// More than the limits allow.
    #[error("the function is too large to be followed")]
    TooLarge,
    /// No instruction that returns.
    #[error("the function has no exit that can be seen")]
    None,
    /// The file cannot be read.
    #[error("{0}")]
    File(String),
}

impl From<ElfError> for ExitsError {
    fn from(error: ElfError) -> Self {
        Self::File(error.to_string())
    }
}

/// An instruction by which a function returns, or jumps to another that returns in its stead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exit {
    /// Where it is.
    pub at: u64,
    /// The result is the first argument of the function that it jumps to; else it is where results are returned.
    pub result_in_argument: bool,
}

/// The code of a file, followed from function to function.
#[derive(Debug)]
pub struct CodeWalk<'a> {
    file: &'a ElfFile,
    linkage: Linkage,
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl<'a> CodeWalk<'a> {
    /// Of a file. Where its linkage cannot be read, jumps through it are not followed.
    #[must_use]
    pub fn new(file: &'a ElfFile) -> Self {
        let linkage = file.linkage().inspect_err(|error| log::info!("linkage: {error}")).unwrap_or_default();
        Self { file, linkage, blocks: BTreeMap::new() }
    }

    /// Addresses before relocation of the instructions by which the function at `entry` returns.
    ///
    /// # Errors
    /// [`ExitsError`].
    pub fn exits(&mut self, entry: u64) -> Result<Vec<Exit>, ExitsError> {
        let mut seen = BTreeSet::new();
        let mut exits = BTreeSet::new();
        let mut pending = vec![entry];
        while let Some(start) = pending.pop() {
            let mut next = Some(start);
            while let Some(at) = next.filter(|at| seen.insert(*at)) {
                if seen.len() > MAX_INSTRUCTIONS || exits.len() > MAX_EXITS {
                    return Err(ExitsError::TooLarge);
                }
                let step = self.step(at)?;
                exits.extend(step.exit);
                pending.extend(step.branch);
                // No function runs on into the next: what comes before it is a call that does not come back.
                next = step.next.filter(|next| !self.linkage.begins_function(*next));
            }
        }
        if exits.is_empty() { Err(ExitsError::None) } else { Ok(exits.into_iter().collect()) }
    }

    /// Where a function leads that does nothing but jump: the places on the way, the function itself not among them.
    #[must_use]
    pub fn jumps_of(&mut self, entry: u64) -> Vec<u64> {
        let mut places = Vec::new();
        let mut at = entry;
        // A jump to the linkage table, a mark for indirect branches, a jump through the table.
        for _ in 0..4 {
            match self.step(at) {
                Ok(Step { branch: Some(branch), next: None, .. }) => {
                    places.push(branch);
                    at = branch;
                }
                Ok(Step { branch: None, next: Some(next), is_mark: true, .. }) => at = next,
                _ => break,
            }
        }
        places
    }

    fn step(&mut self, at: u64) -> Result<Step, ExitsError> {
        if self.file.machine() != Machine::X86_64 {
            return Err(ExitsError::Machine);
        }
        let instruction =
            InstDecoder::default().decode_slice(self.bytes(at)?).map_err(|_| ExitsError::Undecodable(at))?;
        let next = at.wrapping_add(instruction.len().to_const());
        let opcode = instruction.opcode();
        let mut step = Step { next: Some(next), ..Step::default() };
        if opcode.is_jcc() || matches!(opcode, Opcode::JRCXZ | Opcode::JECXZ | Opcode::LOOP) {
            step.branch = relative(&instruction, next);
        } else if opcode == Opcode::JMP {
            step.branch = relative(&instruction, next);
            match self.through_slot(&instruction, next) {
                Some(Linked::Own(function)) => step.branch = Some(function),
                Some(Linked::ReturnsFirstArgument) => step.exit = Some(Exit { at, result_in_argument: true }),
                None => {}
            }
            step.next = None;
        } else if matches!(opcode, Opcode::RETURN) {
            step.exit = Some(Exit { at, result_in_argument: false });
            step.next = None;
        } else if matches!(opcode, Opcode::UD2 | Opcode::HLT | Opcode::INT) {
            step.next = None;
        }
        step.is_mark = opcode == Opcode::ENDBR64;
        Ok(step)
    }

    /// Where `jmp *slot(%rip)` leads.
    fn through_slot(&self, instruction: &Instruction, next: u64) -> Option<Linked> {
        match instruction.operand(0) {
            Operand::Disp { base, disp } if base == RegSpec::rip() => {
                self.linkage.function_behind(next.wrapping_add_signed(i64::from(disp)))
            }
            _ => None,
        }
    }

    /// The bytes of one instruction, and what follows them.
    fn bytes(&mut self, at: u64) -> Result<&[u8], ExitsError> {
        let known = self.blocks.range(..=at).next_back().map(|(start, block)| (*start, start + block.len() as u64));
        let start = match known {
            Some((start, end)) if at + LONGEST <= end => start,
            _ => {
                self.blocks.insert(at, self.file.bytes_at(at, BLOCK)?);
                at
            }
        };
        let skipped = usize::try_from(at - start).unwrap_or(usize::MAX);
        Ok(self.blocks.get(&start).and_then(|block| block.get(skipped..)).unwrap_or_default())
    }
}

/// Where control goes from an instruction.
#[derive(Debug, Default)]
struct Step {
    /// The instruction after it, if that is reached.
    next: Option<u64>,
    /// Where it branches to.
    branch: Option<u64>,
    /// It returns.
    exit: Option<Exit>,
    /// It marks a place that indirect branches may lead to, and does nothing.
    is_mark: bool,
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
