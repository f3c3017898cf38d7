//! What the live view costs memtrace itself: `memtrace-user/benches/view.rs`, which needs no traced process.

use anyhow::Result;

use crate::{process, workspace};

/// Builds it.
///
/// # Errors
/// When the build fails.
pub fn build() -> Result<()> {
    process::run(cargo().args(["--no-run", "--quiet"]))
}

/// Runs it; it prints its own table.
///
/// # Errors
/// When it fails.
pub fn run() -> Result<()> {
    process::run(cargo().arg("--quiet"))
}

fn cargo() -> std::process::Command {
    let mut cargo = workspace::cargo("bench");
    cargo.args(["--package", "memtrace", "--bench", "view"]);
    cargo
}
