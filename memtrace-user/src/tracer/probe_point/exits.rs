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

    /// Whether a function may call one of `others`, or is seen to call what cannot be known: through a pointer, or through
    /// the linkage table to another file. (What it calls may call further; allocators do not go back to their own
    /// entrances from there.)
    #[must_use]
    pub fn may_call(&mut self, entry: u64, others: &[u64]) -> bool {
        let mut seen = BTreeSet::new();
        let mut pending = vec![entry];
        while let Some(start) = pending.pop() {
            let mut next = Some(start);
            while let Some(at) = next.filter(|at| seen.insert(*at)) {
                if seen.len() > MAX_INSTRUCTIONS {
                    return true;
                }
                let Ok(step) = self.step(at) else { return true };
                let called = match step.call {
                    Some(Called::At(address)) => others.contains(&address) || self.leads_away(address),
                    Some(Called::Computed) => true,
                    None => false,
                };
                // A jump to one of them, too.
                if called || at != entry && others.contains(&at) {
                    return true;
                }
                pending.extend(step.branch);
                next = step.next.filter(|next| !self.linkage.begins_function(*next));
            }
        }
        false
    }

    /// Whether an address is an entry of the linkage table: a jump through a slot.
    fn leads_away(&mut self, address: u64) -> bool {
        matches!(self.step(address), Ok(Step { branch: None, next: None, exit: None, .. }))
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
        } else if opcode == Opcode::CALL {
            step.call = Some(relative(&instruction, next).map_or(Called::Computed, Called::At));
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
    /// It calls.
    call: Option<Called>,
    /// It returns.
    exit: Option<Exit>,
    /// It marks a place that indirect branches may lead to, and does nothing.
    is_mark: bool,
}

/// What a call leads to.
#[derive(Debug, Clone, Copy)]
enum Called {
    /// An address in this file.
    At(u64),
    /// What a register or memory says.
    Computed,
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

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{allocators, process::AddressSpace};

    /// Returns itself, or in its stead [`other`] does, to which it jumps.
    #[unsafe(naked)]
    extern "C" fn jumping() {
        core::arch::naked_asm!("test rdi, rdi", "je 2f", "jmp {}", "2: ret", sym other)
    }

    #[unsafe(naked)]
    extern "C" fn other() {
        core::arch::naked_asm!("nop", "ret")
    }

    #[unsafe(naked)]
    extern "C" fn computed() {
        core::arch::naked_asm!("jmp rdi")
    }

    /// The address before relocation of a function of this program.
    fn address_of(file: &ElfFile, function: extern "C" fn()) -> u64 {
        let mut space = AddressSpace::of_pid(std::process::id()).expect("this process lives");
        space.refresh().expect("its mappings are readable");
        let offset = space.locate(function as *const () as u64 + 1).expect("mapped").offset - 1;
        let holds = |s: &crate::process::elf::Segment| s.offset <= offset && offset - s.offset < s.file_size;
        let segment = file.segments().find(holds).expect("a segment");
        offset - segment.offset + segment.address
    }

    /// Returns of the function itself and of the one that it jumps to are found, to the byte.
    #[test]
    fn exits_of_a_jump_are_found() {
        let file = ElfFile::open(Path::new("/proc/self/exe")).expect("an ELF file");
        let [jumping, other] = [jumping as extern "C" fn(), other].map(|function| address_of(&file, function));
        let exits = CodeWalk::new(&file).exits(jumping).expect("exits");
        let bytes = file.bytes_at(jumping, 16).expect("readable");
        let own = jumping + bytes.iter().position(|byte| *byte == 0xc3).expect("a return") as u64;
        let mut expected = [own, other + 1].map(|at| Exit { at, result_in_argument: false });
        expected.sort_unstable();
        assert_eq!(exits, expected);
    }

    /// The hot functions of the C library call none of its others; what calls through a pointer may call anything.
    #[test]
    fn what_may_be_called_is_seen() {
        let file = ElfFile::open(Path::new("/proc/self/exe")).expect("an ELF file");
        let [jumping, other, calling] =
            [jumping as extern "C" fn(), other, calling].map(|function| address_of(&file, function));
        let mut walk = CodeWalk::new(&file);
        assert!(walk.may_call(jumping, &[other]) && !walk.may_call(jumping, &[calling]));
        assert!(walk.may_call(calling, &[]) && !walk.may_call(other, &[jumping, calling]));
    }

    #[unsafe(naked)]
    extern "C" fn calling() {
        core::arch::naked_asm!("call rdi", "ret")
    }

    /// A function that only jumps to where it is told has no exit that can be seen.
    #[test]
    fn computed_jumps_are_no_exits() {
        let file = ElfFile::open(Path::new("/proc/self/exe")).expect("an ELF file");
        let computed = address_of(&file, computed);
        assert_eq!(CodeWalk::new(&file).exits(computed), Err(ExitsError::None));
    }

    /// Every allocating function of the C library that this test runs on has exits, and each returns or jumps.
    #[test]
    fn exits_of_the_own_libc() {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps of this process");
        let libc =
            maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libc.so.6"));
        let Some(libc) = libc else { return eprintln!("skipping: this test does not run on a shared glibc") };
        let file = ElfFile::open(Path::new(libc)).expect("an ELF file");
        let mut walk = CodeWalk::new(&file);
        for function in file.functions(allocators::symbols_of_interest()).expect("symbols").found {
            let exits = walk.exits(function.address).unwrap_or_else(|error| panic!("{:?}: {error}", function.names));
            for exit in exits {
                let byte = file.bytes_at(exit.at, 1).expect("readable")[0];
                let returns = if exit.result_in_argument { byte == 0xff || byte == 0xf2 } else { byte == 0xc3 };
                assert!(returns, "{:?}: {byte:#x} at {:#x}", function.names, exit.at);
            }
        }
    }
}
