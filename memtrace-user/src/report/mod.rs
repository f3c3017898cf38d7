//! Plain text output: for pipes, files and logs, and for a terminal without the live view.
//!
//! [`write()`] is the whole report. The parts below it, which the live view uses too, know how one thing is said:
//! [`units`] numbers, [`escape`] untrusted names, [`elide`] what is too wide, [`frames`] a place in the code,
//! [`stack`] a call stack.

pub mod csv;
pub mod elide;
pub mod escape;
pub mod frames;
pub mod group_label;
pub mod group_record;
pub mod groups_text;
pub(crate) mod header;
pub mod json;
pub mod machine;
mod processes;
pub mod sites;
pub mod snapshot_header;
pub mod source_text;
pub mod stack;
mod table;
mod text;
pub mod timestamp;
pub mod tree_text;
pub mod units;

pub use text::{TextOptions, write, write_mapped};
