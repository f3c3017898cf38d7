//! Where a function returns to its caller, for probes on functions that must not have a return probe.
//!
//! The code is followed from the entry along every branch that is written in it, also where it leaves the function for
//! another that ends in its stead (a tail call, through the file's own linkage too), up to the instructions that return.
//! A jump to memset and its like, in other files or chosen on loading, is an exit whose result is their first argument.
//!
//! What is called on the way comes back and is not followed. Other jumps to addresses that are computed are not followed
//! either: allocators end like that only where memory has run out. A call that leaves through one is never seen to end,
//! which is counted when the next one begins.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::CodeWalk;
use crate::process::elf::{ElfError, Machine};

/// Places that return. Each is a probe.
const MAX_EXITS: usize = 64;

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

impl CodeWalk<'_> {
    /// Addresses before relocation of the instructions by which the function at `entry` returns.
    ///
    /// # Errors
    /// [`ExitsError`].
    pub fn exits(&mut self, entry: u64) -> Result<Vec<Exit>, ExitsError> {
        if self.file.machine() != Machine::X86_64 {
            return Err(ExitsError::Machine);
        }
        let mut exits = BTreeSet::new();
        let too_many = self.follow(entry, |_, _, step| {
            exits.extend(step.exit);
            if exits.len() > MAX_EXITS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        match too_many {
            Some(()) => Err(ExitsError::TooLarge),
            None if exits.is_empty() => Err(ExitsError::None),
            None => Ok(exits.into_iter().collect()),
        }
    }
}
