//! What was measured, free of how it was measured and how it is shown.
//!
//! Types are named by stage: [`RawProfile`] is what the tracer read from the kernel, addresses only; [`Profile`] is
//! the same with call stacks resolved to code that outlives the process. [`Ranking`] orders a profile's call sites
//! for a reader; [`Groups`] and [`CallTree`] rank any number of profiles by whatever their samples have in common, and
//! [`ProfileDiff`] compares two. A [`Snapshot`] is a profile complete in itself: of one process or many, with every name, as a file
//! holds it. Nothing here knows BPF, `/proc` or a terminal, so every view is tested without them.

mod block_summary;
mod call_tree;
mod domains;
mod estimate;
mod filter;
#[cfg(test)]
pub(crate) mod fixture;
mod frame;
mod frame_keys;
mod function_path;
mod group_by;
mod group_name;
mod groups;
#[cfg(test)]
mod groups_tests;
mod live_groups;
mod live_names;
mod live_tree;
mod losses;
mod machine;
#[cfg(test)]
pub(crate) mod machine_fixture;
mod owners;
mod path_key;
mod pattern;
mod plumbing;
mod profile_diff;
mod python;
mod ranking;
mod raw;
mod site_name;
mod snapshot;
mod sort;
mod stack;
mod stack_keys;
mod stack_numbers;
mod stats;
mod tally;
mod unfollowed;

pub use block_summary::{BlockQuery, BlockSummary, SIZE_CLASSES};
pub use call_tree::{Branches, CallTree, Direction, Node, TreeLimits};
pub use domains::{main_domain, other_domains, sum_of_domain};
pub use estimate::Interval;
pub use filter::{Filter, FilterKind, Filters};
pub use frame::{Frame, Location, Module, ModuleId, Modules, SourceLine, SymbolTable, build_id_text};
pub use group_by::GroupBy;
pub use group_name::{GroupName, Place, ProcessName};
pub use groups::{Group, Groups, OtherGroups};
pub use live_groups::{Grouping, LiveGroup, LiveGroups, ThreadName};
pub use live_names::{LiveNames, Names};
pub use live_tree::LiveTree;
pub use losses::{LossReason, Losses};
pub use machine::{CostToAll, EndedProcesses, Machine, MachineProcess, ProcessKey, ProcessOrder};
pub use profile_diff::{GroupDiff, OtherDiffs, ProfileDiff, difference};
pub use python::{PYTHON_MODULE, keep_python_frames};
pub use ranking::{OtherSites, Ranking, RankingOptions, Site, SiteStack};
pub use raw::{
    AllocRates, Coverage, Hits, Overhead, ProcessInfo, ProcessTotals, Profile, RawProfile, RawStack, RawThread,
    some_run,
};
pub use site_name::{SiteNamer, SiteReader};
pub use snapshot::{About, Lack, Snapshot, TraceOptions, TracedProcess, TracedThread};
pub use sort::SortBy;
pub use stack::{
    CallStack, Domain, ProcessIndex, StackEnd, StackSample, ThreadIndex, mark_whole_stacks, starts_thread,
};
pub use stack_numbers::{NumberedStack, StackNumbers};
pub use stats::AllocStats;
pub use tally::{GroupOptions, Samples, SiteRule};
pub use unfollowed::{Unfollowed, UnfollowedBytes};
