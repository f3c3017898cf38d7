//! memtrace: which call sites of a running process hold how many bytes in how many blocks.
//!
//! Data flows one way: BPF programs (crate `memtrace-ebpf`) aggregate in maps, [`tracer`] reads them into a
//! [`profile::RawProfile`], [`process`] turns addresses into places in files, [`symbolize`] names them, and the views
//! ([`report`], [`tui`]) show a [`profile::Profile`]; [`export`] writes a [`profile::Snapshot`] for other tools. Modules may use each other only in that direction; see
//! `docs/architecture.md`.

// Files that need it say so at their head, with the reason.
#![deny(unsafe_code)]
// They panic where nobody can hear: `commands::stream` goes on.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod allocators;
pub mod cli;
pub mod commands;
pub mod control;
pub mod doctor;
pub mod export;
pub mod file_owner;
mod number_hash;
mod own_memory;
pub mod process;
pub mod profile;
pub mod python;
pub mod readable;
pub mod report;
pub mod session;
pub mod snapshot;
pub mod symbolize;
pub mod tracer;
pub mod tui;
pub mod unwind;
pub mod whole_file;
