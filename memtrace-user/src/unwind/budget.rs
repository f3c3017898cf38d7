//! What a file's call frame information may cost: a made-up file must not take more than half a second or all memory.
//!
//! Three things decide the time: how many rows there are, how many functions repeat the instructions of their CIE, and
//! how often a whole row is saved and restored (two instructions of one byte each that copy a kilobyte). The limits leave
//! several times what the largest libraries have.

use super::error::UnwindProblem;

/// Rows in one file before they are merged. libLLVM (200 MB) has 1.2 million.
const MAX_ROWS: u64 = 4 << 20;
/// Functions in one file. libLLVM has 130,000.
const MAX_FUNCTIONS: u64 = 1 << 20;
/// Bytes of CIEs, each as often as functions are based on it. libLLVM has 3 million.
const MAX_COMMON_BYTES: u64 = 24 << 20;
/// Bytes that may be instructions to save or restore a row. libLLVM (6.5 MB of `.eh_frame`) has 0.2 million.
const MAX_COPIES: u64 = 3 << 20;
/// `DW_CFA_remember_state` and `DW_CFA_restore_state`.
const COPIES: std::ops::RangeInclusive<u8> = 0x0a..=0x0b;

/// What has been spent on a file.
#[derive(Debug, Default)]
pub(super) struct Budget {
    rows: u64,
    functions: u64,
    common_bytes: u64,
    copies: u64,
}

impl Budget {
    /// A section is about to be read.
    pub(super) fn section(&mut self, bytes: &[u8]) -> Result<(), UnwindProblem> {
        spend(&mut self.copies, count_copies(bytes), MAX_COPIES, "instructions that copy rows")
    }

    /// A function is about to be read that is based on a CIE of this length, with so many copies of rows.
    pub(super) fn function(&mut self, common_length: usize, copies: u64) -> Result<(), UnwindProblem> {
        spend(&mut self.functions, 1, MAX_FUNCTIONS, "functions")?;
        spend(&mut self.copies, copies, MAX_COPIES, "instructions that copy rows")?;
        spend(&mut self.common_bytes, common_length as u64, MAX_COMMON_BYTES, "instructions that functions share")
    }

    /// A row has been read.
    pub(super) fn row(&mut self) -> Result<(), UnwindProblem> {
        spend(&mut self.rows, 1, MAX_ROWS, "rows")
    }
}

/// Bytes that may be instructions to copy a row; some are operands.
pub(super) fn count_copies(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| COPIES.contains(byte)).count() as u64
}

fn spend(spent: &mut u64, more: u64, limit: u64, part: &'static str) -> Result<(), UnwindProblem> {
    *spent += more;
    if *spent > limit {
        return Err(UnwindProblem::TooLarge { part, size: *spent, limit });
    }
    Ok(())
}
