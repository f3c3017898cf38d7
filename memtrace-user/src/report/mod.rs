//! Plain text output: for pipes, files and logs, and for a terminal without the live view.
//!
//! [`write()`] is the whole report. The parts below it, which the live view uses too, know how one thing is said:
//! [`units`] numbers, [`escape`] untrusted names, [`elide`] what is too wide, [`frames`] a place in the code,
//! [`stack`] a call stack.

pub mod elide;
pub mod escape;
pub mod frames;
mod header;
pub mod sites;
pub mod stack;
mod text;
pub mod timestamp;
pub mod units;

pub use text::{TextOptions, write};
