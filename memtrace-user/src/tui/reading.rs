//! One reading of the process, as the live view takes it.

use std::sync::Arc;

use crate::profile::{Names, Profile, Samples, SiteNamer, StackSample, SymbolTable, TracedThread};

/// One reading of the process with the names known so far.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What was read.
    pub profile: Arc<Profile>,
    /// Names of its locations.
    pub symbols: Arc<SymbolTable>,
}

impl Reading {
    /// The threads that are told apart.
    pub(super) fn threads(&self) -> &[TracedThread] {
        &self.profile.threads
    }

    /// What names of its stacks refer to.
    pub(super) fn names<'a>(&'a self, namer: &'a SiteNamer) -> Names<'a> {
        Names {
            symbols: &self.symbols,
            modules: &self.profile.modules,
            process: &self.profile.process,
            others: &self.profile.others,
            threads: self.threads(),
            namer,
        }
    }

    /// Samples of this reading's process with its names.
    pub(super) fn samples<'a>(&'a self, samples: &'a [StackSample]) -> Samples<'a> {
        Samples {
            samples,
            symbols: &self.symbols,
            modules: &self.profile.modules,
            processes: &[],
            threads: self.threads(),
        }
    }
}
