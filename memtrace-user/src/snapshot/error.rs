//! What can go wrong with a snapshot file, and what to do about it.

use std::{io, path::Path};

use thiserror::Error;

use crate::whole_file::WholeFileError;

/// A file that cannot be read or written.
#[derive(Debug, Error)]
#[error("{name}: {problem}")]
pub struct SnapshotError {
    /// The file, as the user wrote it.
    pub name: String,
    /// What is wrong with it.
    pub problem: SnapshotProblem,
}

impl SnapshotError {
    pub(super) fn new(path: &Path, problem: impl Into<SnapshotProblem>) -> Self {
        let name = if path == Path::new("-") { "standard input or output".into() } else { path.display().to_string() };
        Self { name, problem: problem.into() }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        self.problem.hint()
    }
}

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum SnapshotProblem {
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It cannot be made or written.
    #[error("cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The directory that it is to be in does not exist.
    #[error("cannot be written: there is no such directory")]
    NoDirectory,
    /// The path is that of a directory.
    #[error("is a directory")]
    Directory,
    /// A profile is not for reading, so not for a terminal.
    #[error("is a terminal, and a snapshot is no text")]
    Terminal,
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It is something else.
    #[error("is no pprof profile")]
    NotAProfile,
    /// The text format of gperftools.
    #[error("is a heap profile in an older format, as text")]
    OlderFormat,
    /// It ends too early.
    #[error("is incomplete: it ends in the middle of the profile")]
    Truncated,
    /// Its content contradicts itself.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// Reading it would take too much memory or time.
    #[error("is too large: {0}")]
    TooLarge(String),
    /// A profile of something else, as CPU time.
    #[error("is no heap profile: its sample types are {0}")]
    NotHeap(String),
    /// A difference of two profiles.
    #[error("has negative counts: it is the difference of two profiles")]
    Negative,
    /// A later memtrace wrote it.
    #[error("is of format {0}, which a later memtrace wrote; this one reads up to format 1")]
    Newer(u64),
}

impl From<WholeFileError<io::Error>> for SnapshotProblem {
    fn from(error: WholeFileError<io::Error>) -> Self {
        match error {
            WholeFileError::NoDirectory => Self::NoDirectory,
            WholeFileError::Directory => Self::Directory,
            WholeFileError::Write(error) | WholeFileError::Content(error) => Self::Write(error),
        }
    }
}

impl SnapshotProblem {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Directory => Some("name a file in it, as snapshot.pb.gz"),
            Self::NoDirectory => Some("make the directory first, or choose another place"),
            Self::Terminal => Some("redirect standard output to a file or a pipe"),
            Self::NotAProfile => Some("snapshots are pprof profiles, mostly called .pb.gz"),
            Self::OlderFormat => Some("convert it: go tool pprof -proto -output=FILE.pb.gz PROGRAM THIS-FILE"),
            Self::Empty | Self::Truncated => Some("whatever wrote it did not come to its end; take it again"),
            Self::NotHeap(_) => Some(
                "memtrace reads profiles of memory: inuse_space, alloc_space, inuse_objects, alloc_objects and what \
                 other programs call them",
            ),
            Self::Negative => Some("compare the two profiles themselves: memtrace diff BEFORE AFTER"),
            Self::Newer(_) => Some("use the memtrace that wrote it, or a newer one"),
            Self::Read(_) | Self::Write(_) | Self::Damaged(_) | Self::TooLarge(_) => None,
        }
    }
}
