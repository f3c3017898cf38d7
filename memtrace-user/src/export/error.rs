//! What keeps a snapshot from being exported.

use std::io;

use super::FORMATS;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The output cannot be written.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// A base was given to a format that shows one snapshot.
    #[error("{format} shows one snapshot, not the difference of two")]
    NoComparison {
        /// The format.
        format: &'static str,
    },
    /// The numbers are beyond what the format holds.
    #[error("the {value} of this snapshot add up to more than {format} can hold")]
    TooLarge {
        /// The format.
        format: &'static str,
        /// The number, as `live bytes`.
        value: &'static str,
    },
}

impl ExportError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Write(_) => None,
            Self::NoComparison { .. } => {
                let comparing = FORMATS.iter().filter(|format| format.compares()).map(|format| format.name());
                Some(format!("leave out --base, or use one of: {}", comparing.collect::<Vec<_>>().join(", ")))
            }
            Self::TooLarge { .. } => Some("json and csv hold any number".into()),
        }
    }
}

impl From<serde_json::Error> for ExportError {
    fn from(error: serde_json::Error) -> Self {
        Self::Write(error.into())
    }
}
