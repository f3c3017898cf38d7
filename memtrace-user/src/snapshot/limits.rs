//! How much a file may ask for. A gzip file of some kilobytes can hold gigabytes, so size on disk says nothing.

use super::SnapshotProblem;

/// Most bytes of a file, uncompressed: what takes seconds to read.
pub const MAX_UNCOMPRESSED: u64 = 4 << 30;

/// Most bytes of one message or name.
pub const MAX_MESSAGE: u64 = 64 << 20;

/// Most memory that what has been read may take, in bytes. A million samples with 100,000 stacks take a fifth of it.
const MAX_MEMORY: usize = 1 << 30;

/// Most frames of one stack, inlined functions included.
pub const MAX_STACK: usize = 1 << 16;

/// Most frames of all samples together: views look at each.
const MAX_FRAMES: usize = 1 << 30;

/// Most sample types.
pub const MAX_TYPES: usize = 64;

/// What is left of the limits that sum up over a file.
#[derive(Debug)]
pub struct Budget {
    memory: usize,
    frames: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { memory: MAX_MEMORY, frames: MAX_FRAMES }
    }
}

impl Budget {
    /// Accounts for memory that is about to be taken, in bytes.
    pub fn memory(&mut self, bytes: usize) -> Result<(), SnapshotProblem> {
        let too_large = || SnapshotProblem::TooLarge(format!("reading it takes more than {} MiB", MAX_MEMORY >> 20));
        self.memory = self.memory.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }

    /// Accounts for the frames of one sample.
    pub fn frames(&mut self, count: usize) -> Result<(), SnapshotProblem> {
        let too_large = || SnapshotProblem::TooLarge(format!("its samples have more than {MAX_FRAMES} frames"));
        self.frames = self.frames.checked_sub(count).ok_or_else(too_large)?;
        Ok(())
    }
}
