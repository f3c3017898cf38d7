//! Where things are: the workspace, the tools directory, cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The workspace's directory. xtask is built from it, so its place at build time is its place.
pub fn root() -> &'static Path {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.parent().unwrap_or(manifest_dir)
}

/// The directory that `setup` fills; `.cargo/config.toml` names it for xtask and build.rs alike.
pub fn tools() -> Result<PathBuf> {
    let tools = env::var_os("MEMTRACE_TOOLS").context("MEMTRACE_TOOLS is not set: start xtask as `cargo xtask`")?;
    Ok(PathBuf::from(tools))
}

/// The cargo that runs xtask, in the workspace's directory.
pub fn cargo(subcommand: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg(subcommand).current_dir(root());
    cargo
}

/// Where cargo puts what it builds: `CARGO_TARGET_DIR` if set, else `target`.
pub fn target_dir() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
