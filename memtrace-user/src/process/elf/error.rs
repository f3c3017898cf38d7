//! Why an ELF file could not be used.

use std::path::{Path, PathBuf};

/// A file and what is wrong with it.
#[derive(Debug, thiserror::Error)]
// `{:?}` on a path escapes control characters: file names come from traced processes.
#[error("{path:?}: {problem}")]
pub struct ElfError {
    path: PathBuf,
    #[source]
    problem: ElfProblem,
}

/// What is wrong with an ELF file.
#[derive(Debug, thiserror::Error)]
pub enum ElfProblem {
    /// Not an ELF file at all.
    #[error("not an ELF file")]
    NotElf,
    /// A file for 32-bit processes, x32 included.
    #[error("a 32-bit ELF file")]
    ThirtyTwoBit,
    /// Neither 32 nor 64 bits, or big endian.
    #[error("ELF class {class} with byte order {order} is not supported")]
    Unsupported {
        /// `EI_CLASS`.
        class: u8,
        /// `EI_DATA`.
        order: u8,
    },
    /// For a machine that memtrace does not run on.
    #[error("ELF machine {0} is not supported")]
    Machine(u16),
    /// A part of the file contradicts the file, or its length.
    #[error("malformed ELF file: {0}")]
    Malformed(&'static str),
    /// A part is larger than in any file that linkers write.
    #[error("ELF file with an oversized part: {part} of {size} (limit {limit})")]
    TooLarge {
        /// Which part.
        part: &'static str,
        /// Entries or bytes found.
        size: u64,
        /// Entries or bytes allowed.
        limit: u64,
    },
    /// Reading failed.
    #[error("cannot be read")]
    Io(#[source] std::io::Error),
}

impl ElfError {
    /// What is wrong with the file at `path`.
    #[must_use]
    pub fn new(path: &Path, problem: ElfProblem) -> Self {
        Self { path: path.to_owned(), problem }
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &ElfProblem {
        &self.problem
    }

    /// What the user can do about it, where there is something.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match &self.problem {
            ElfProblem::ThirtyTwoBit => Some("memtrace traces 64-bit processes only"),
            ElfProblem::Unsupported { .. } | ElfProblem::Machine(_) => {
                Some("memtrace traces x86_64 and little-endian aarch64 programs only")
            }
            ElfProblem::NotElf | ElfProblem::Malformed(_) | ElfProblem::TooLarge { .. } => {
                Some("check the file with readelf: it may have been overwritten while in use")
            }
            ElfProblem::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("run memtrace as root, or give it CAP_DAC_READ_SEARCH")
            }
            ElfProblem::Io(_) => None,
        }
    }
}
