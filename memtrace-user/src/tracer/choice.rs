//! Which blocks are recorded: all, some by a mean distance of points, or what a budget allows at the moment.

use memtrace_common::{sampling, steps};

use super::TracerOptions;

/// How blocks are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// All of them.
    All,
    /// Those on which a point falls, one in so many bytes.
    Mean(u64),
    /// By a step that changes: see `memtrace_common::steps`.
    Steps {
        /// Mean distance at step 1, in bytes.
        base: u64,
        /// The first step.
        first: u64,
    },
}

impl Choice {
    /// What the options ask for.
    #[must_use]
    pub const fn of(options: &TracerOptions) -> Self {
        match (options.sample_bytes, options.max_overhead) {
            (0, None) => Self::All,
            (mean, None) => Self::Mean(mean),
            (0, Some(_)) => Self::Steps { base: steps::LEAST_BASE, first: steps::ALL },
            (mean, Some(_)) => Self::Steps { base: mean, first: 1 },
        }
    }

    /// The programs' constant `SAMPLE_BYTES`.
    #[must_use]
    pub const fn base(self) -> u64 {
        match self {
            Self::All => 0,
            Self::Mean(base) | Self::Steps { base, .. } => base,
        }
    }

    /// log2 of the unit in which the programs count variances.
    #[must_use]
    pub const fn variance_shift(self) -> u32 {
        match self {
            Self::All => 0,
            Self::Mean(mean) => sampling::variance_shift(mean),
            Self::Steps { base, .. } => steps::variance_shift(base),
        }
    }

    /// The mean distance of points at a step; `None` when every block is recorded.
    #[must_use]
    pub const fn mean(self, step: u64) -> Option<u64> {
        match self {
            Self::All | Self::Steps { .. } if step == steps::ALL => None,
            Self::All => None,
            Self::Mean(mean) => Some(mean),
            Self::Steps { base, .. } => Some(steps::mean(base, step)),
        }
    }
}
