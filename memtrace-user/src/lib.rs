//! memtrace: which call sites of a running process hold how many bytes in how many blocks.
//!
//! Data flows one way: BPF programs (crate `memtrace-ebpf`) aggregate in maps, `tracer` reads them into a
//! [`profile::RawProfile`], `process` turns addresses into places in files, `symbolize` names them, and the views
//! (`report`, `tui`) show a [`profile::Profile`]. The arrows may point only that way; see `docs/architecture.md`.

pub mod profile;
