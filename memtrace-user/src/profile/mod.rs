//! What was measured, free of how it was measured and how it is shown.
//!
//! Types are named by stage: [`RawProfile`] is what the tracer read from the kernel, addresses only; [`Profile`] is
//! the same with call stacks resolved to code that outlives the process. [`Ranking`] orders a profile's call sites
//! for a reader. A [`Snapshot`] is a profile complete in itself: of one process or many, with every name, as a file
//! holds it. Nothing here knows BPF, `/proc` or a terminal, so every view is tested without them.

#[cfg(test)]
pub(crate) mod fixture;
mod frame;
mod function_path;
mod losses;
mod pattern;
mod plumbing;
mod ranking;
mod raw;
mod site_name;
mod snapshot;
mod sort;
mod stack;
mod stats;
mod unfollowed;

pub use frame::{Frame, Location, Module, ModuleId, Modules, SourceLine, SymbolTable};
pub use losses::{LossReason, Losses};
pub use ranking::{OtherSites, Ranking, RankingOptions, Site, SiteStack};
pub use raw::{AllocRates, Coverage, Overhead, ProcessInfo, ProcessTotals, Profile, RawProfile, RawStack};
pub use site_name::{SiteNamer, SiteReader};
pub use snapshot::{About, Lack, Snapshot, TracedProcess, TracedThread};
pub use sort::SortBy;
pub use stack::{CallStack, Domain, ProcessIndex, StackEnd, StackSample, ThreadIndex, starts_thread};
pub use stats::AllocStats;
pub use unfollowed::{Unfollowed, UnfollowedBytes};
