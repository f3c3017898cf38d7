//! Why a control socket cannot be opened or reached.

use std::{io, path::PathBuf};

use thiserror::Error;

/// A control socket cannot be opened or reached.
#[derive(Debug, Error)]
pub enum ControlError {
    /// No directory for it can be had.
    #[error("no directory for the control socket: {0}")]
    NoDirectory(String),
    /// The socket in it fails.
    #[error("control socket {path}: {source}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Nobody traces the process.
    #[error("no memtrace of this user traces process {0}")]
    NotTraced(u32),
    /// Several do.
    #[error("{} memtraces trace process {pid}: their ids are {}", tracers.len(), listed(tracers))]
    Several {
        /// The traced process.
        pid: u32,
        /// The memtraces.
        tracers: Vec<u32>,
    },
    /// It did not answer as agreed.
    #[error("memtrace {tracer} gave no answer that makes sense: {reason}")]
    NoAnswer {
        /// The memtrace.
        tracer: u32,
        /// What came instead.
        reason: String,
    },
    /// It could not do what was asked.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

fn listed(ids: &[u32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl ControlError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotTraced(pid) => Some(format!(
                "begin with `memtrace attach --pid {pid}`, and ask as the same user; `memtrace snapshot` needs no other \
                 memtrace"
            )),
            Self::Several { .. } => Some("name the one that is meant with --tracer".to_owned()),
            Self::Refused { hint, .. } => hint.clone(),
            Self::NoDirectory(_) | Self::Socket { .. } | Self::NoAnswer { .. } => None,
        }
    }
}
