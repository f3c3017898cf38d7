//! Where control goes in the code of a file, from instruction to instruction and through its own linkage: where functions
//! end ([`exits`]), and whether they call others that are probed (`nesting`).

mod aarch64;
pub mod exits;
mod nesting;
mod x86_64;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use self::exits::{Exit, ExitsError};
use crate::process::elf::{ElfFile, Linkage, Linked, Machine};

/// Instructions followed from one function. glibc's and jemalloc's largest have some thousand.
const MAX_INSTRUCTIONS: usize = 1 << 14;
/// Bytes read from the file at once.
const BLOCK: usize = 4096;
/// Bytes of the longest instruction, or of those that are looked at together.
const LONGEST: u64 = 16;

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

    /// Where a function leads that does nothing but jump: the places on the way, the function itself not among them.
    #[must_use]
    pub fn jumps_of(&mut self, entry: u64) -> Vec<u64> {
        self.jumps(entry).0
    }

    /// The same, and whether the way ends where nothing is known: in another file, or in what is no code.
    fn jumps(&mut self, entry: u64) -> (Vec<u64>, bool) {
        let mut places = Vec::new();
        let mut at = entry;
        // A mark for indirect branches, a jump to the linkage table, another mark, a jump through the table.
        for _ in 0..4 {
            match self.step(at) {
                Ok(Step { leads_away: true, .. }) | Err(_) => return (places, true),
                Ok(Step { branch: Some(branch), next: None, .. }) => {
                    places.push(branch);
                    at = branch;
                }
                Ok(Step { branch: None, next: Some(next), is_mark: true, .. }) => at = next,
                Ok(_) => break,
            }
        }
        (places, false)
    }

    /// Follows the code from `entry` along every branch that is written in it, and shows each instruction once.
    fn follow<T>(
        &mut self,
        entry: u64,
        mut show: impl FnMut(&mut Self, u64, &Step) -> ControlFlow<T>,
    ) -> Result<Option<T>, ExitsError> {
        let mut seen = BTreeSet::new();
        let mut pending = vec![entry];
        while let Some(start) = pending.pop() {
            let mut next = Some(start);
            while let Some(at) = next.filter(|at| seen.insert(*at)) {
                if seen.len() > MAX_INSTRUCTIONS {
                    return Err(ExitsError::TooLarge);
                }
                let step = self.step(at)?;
                if let ControlFlow::Break(found) = show(self, at, &step) {
                    return Ok(Some(found));
                }
                pending.extend(step.branch);
                // No function runs on into the next: what comes before it is a call that does not come back.
                next = step.next.filter(|next| !self.linkage.begins_function(*next));
            }
        }
        Ok(None)
    }

    fn step(&mut self, at: u64) -> Result<Step, ExitsError> {
        match self.file.machine() {
            Machine::X86_64 => x86_64::step(self, at),
            Machine::Aarch64 => aarch64::step(self, at),
        }
    }

    /// A jump at `at` through the slot of the linkage table that is at `slot`.
    fn jump_through(&self, slot: u64, at: u64) -> Step {
        match self.linkage.function_behind(slot) {
            Some(Linked::Own(function)) => Step { branch: Some(function), ..Step::default() },
            Some(Linked::ReturnsFirstArgument) => {
                Step { exit: Some(Exit { at, result_in_argument: true }), ..Step::default() }
            }
            Some(Linked::AllocatesNothing) => Step::default(),
            Some(Linked::Foreign) | None => Step { leads_away: true, ..Step::default() },
        }
    }

    /// What is called through the slot of the linkage table that is at `slot`, if it is of interest.
    fn called_through(&self, slot: u64) -> Option<Called> {
        match self.linkage.function_behind(slot) {
            Some(Linked::Own(function)) => Some(Called::At(function)),
            Some(Linked::ReturnsFirstArgument | Linked::AllocatesNothing) => None,
            Some(Linked::Foreign) => Some(Called::Foreign),
            None => Some(Called::Computed),
        }
    }

    /// The bytes of one instruction, and what follows them.
    fn bytes(&mut self, at: u64) -> Result<&[u8], ExitsError> {
        let known = self.blocks.range(..=at).next_back().map(|(start, block)| (*start, start + block.len() as u64));
        let start = match known {
            Some((start, end)) if at.saturating_add(LONGEST) <= end => start,
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
    /// It jumps to a function of another file, of which nothing is known.
    leads_away: bool,
    /// It marks a place that indirect branches may lead to, and does nothing.
    is_mark: bool,
}

/// What a call leads to.
#[derive(Debug, Clone, Copy)]
enum Called {
    /// An address in this file.
    At(u64),
    /// A function of another file.
    Foreign,
    /// What a register or memory says.
    Computed,
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
