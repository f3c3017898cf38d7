//! The traced process: who it is, what it has mapped, and how a command is started to be traced.
//!
//! [`TargetProcess`] is the identity, [`AddressSpace`] turns its addresses into places in files that stay readable
//! after it has exited, and [`PreparedChild`] with [`MappingEvents`] do the same for a command that may live for two
//! milliseconds only.

mod anonymous;
mod available_memory;
mod code_names;
mod command_path;
mod confinement;
mod control_group;
mod cpu_time;
pub mod elf;
mod file_limit;
mod files;
mod libraries;
mod mapped_file;
mod mapping_events;
mod mappings;
mod maps_line;
mod namespace;
mod perf_map;
mod pidfd;
mod proc_dir;
mod regions;
mod resident;
mod run_as;
mod selection;
mod spawn;
mod start_gate;
mod target;
mod target_error;
mod thread_name;
mod vdso;

pub(crate) use anonymous::anonymous_ranges;
pub use anonymous::{AnonymousRange, anonymous_memory};
pub use available_memory::{OWN_MEMORY, available_memory};
pub use code_names::CodeNames;
pub use command_path::{CommandError, find_command};
pub use confinement::Confinement;
pub use control_group::ControlGroups;
pub use cpu_time::cpu_time;
pub use file_limit::{FileLimit, raise_file_limit};
pub use files::MappedFiles;
pub use libraries::{LibrariesError, list_libraries};
pub use mapped_file::MappedFile;
pub use mapping_events::{MapEvent, MappingEvent, MappingEvents, MappingEventsError};
pub use mappings::AddressSpace;
pub(crate) use maps_line::MapsLine;
pub use namespace::{PidNamespaceError, check_pid_namespace};
pub use perf_map::PerfMap;
pub(crate) use proc_dir::ProcDir;
pub use regions::Region;
pub use resident::{Identity, all_processes, command_of, is_running, maps_any, resident_bytes, user_name};
pub use run_as::{RunAs, RunAsError};
pub use selection::Selection;
pub use spawn::{CommandSpec, PreparedChild, SignalState, SpawnError, exit_code};
pub use target::TargetProcess;
pub(crate) use target::page_size;
pub use target_error::TargetError;
pub use thread_name::thread_name;
pub use vdso::vdso_file;
