//! Snapshot files: pprof profiles (`profile.proto`, gzip), which every pprof viewer opens.
//!
//! [`write_file`] and [`read_file`] are the two ways in and out. Any heap profile in this format is read, of whatever
//! program; what a foreign one does not tell is in [`crate::profile::About::lacks`]. What pprof has no field for stands
//! in comments; `docs/snapshot-format.md` lists them.
//!
//! Both directions stream: a file has a message a sample, and neither all of them nor the uncompressed file are ever in
//! memory. Files are untrusted: what is read is bounded in memory and time, and every reference is checked.

mod comments;
mod error;
mod file;
mod labels;
mod limits;
mod proto;
mod read;
mod time;
mod wire;
mod write;

pub use self::{
    error::{SnapshotError, SnapshotProblem},
    file::{read_file, write_file},
    read::read,
    write::write,
};

/// Offsets from here on stand for locations that have none: programs without machine code (or that do not tell it) have
/// functions and lines alone, and each of them must still be told from the others.
const NO_ADDRESS: u64 = 1 << 63;

/// Stands in files for the stack of what was recorded without one: pprof leaves samples without any function out.
const NO_STACK: &str = "[no stack]";

#[cfg(test)]
mod tests;
