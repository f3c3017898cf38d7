//! `cargo xtask setup`: everything that building memtrace needs beyond Rust itself.

use anyhow::Result;

use crate::{bpf_linker, rust_src, workspace};

/// Brings rust-src and bpf-linker. Does nothing when they are there, and is silent then: every command calls it.
///
/// # Errors
/// When one of them cannot be had; the message says from where it was tried and what to do.
pub fn ensure() -> Result<bool> {
    let tools = workspace::tools()?;
    let brought_src = rust_src::ensure(&tools)?;
    let brought_linker = bpf_linker::ensure(&tools)?;
    Ok(brought_src || brought_linker)
}

/// The command: [`ensure`], and a word about the result.
///
/// # Errors
/// As [`ensure`].
pub fn setup() -> Result<()> {
    let brought = ensure()?;
    crate::process::say(if brought { "ready to build" } else { "ready to build: nothing was missing" });
    Ok(())
}
