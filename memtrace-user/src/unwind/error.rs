//! Why a file's unwind information could not be made into a table.

use std::path::{Path, PathBuf};

/// A file and what is wrong with its unwind information.
#[derive(Debug, thiserror::Error)]
// `{:?}` on a path escapes control characters: file names come from traced processes.
#[error("{path:?}: {problem}")]
pub struct UnwindError {
    path: PathBuf,
    #[source]
    problem: UnwindProblem,
}

/// What is wrong with a file's unwind information.
#[derive(Debug, thiserror::Error)]
pub enum UnwindProblem {
    /// Not a little-endian ELF file of 64 bits.
    #[error("not a little-endian 64-bit ELF file")]
    NotElf,
    /// For a machine whose stacks memtrace does not walk.
    #[error("ELF machine {0} is not supported")]
    Machine(u16),
    /// A part of the file contradicts the file, or its length.
    #[error("malformed ELF file: {0}")]
    Malformed(&'static str),
    /// More than any linker writes; reading it could take all memory or very long.
    #[error("too much unwind information: {size} {part} (limit {limit})")]
    TooLarge {
        /// What there is too much of.
        part: &'static str,
        /// How many there are; the table was given up there, so it may be that there are more.
        size: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// Reading failed.
    #[error("cannot be read")]
    Io(#[source] std::io::Error),
}

impl UnwindError {
    pub(super) fn new(path: impl AsRef<Path>, problem: UnwindProblem) -> Self {
        Self { path: path.as_ref().to_owned(), problem }
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &UnwindProblem {
        &self.problem
    }

    /// What the user can do about it, where there is something. Stacks that pass through the file are followed by
    /// frame pointer.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match &self.problem {
            UnwindProblem::NotElf | UnwindProblem::Malformed(_) | UnwindProblem::TooLarge { .. } => {
                Some("check the file with readelf: it may have been overwritten while in use")
            }
            UnwindProblem::Machine(_) => Some("memtrace traces x86_64 and little-endian aarch64 programs only"),
            UnwindProblem::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Some("run memtrace as root, or give it CAP_DAC_READ_SEARCH")
            }
            UnwindProblem::Io(_) => None,
        }
    }
}
