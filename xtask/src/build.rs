//! `cargo xtask build`.

use anyhow::Result;
use clap::Args;

use crate::{process, setup, workspace};

/// How to build.
#[derive(Args)]
pub struct Arguments {
    /// Optimised, as `cargo xtask run` uses it
    #[arg(long)]
    release: bool,
}

/// Sets up and builds the `memtrace` binary, with the BPF programs inside.
///
/// # Errors
/// When the set-up or the build fails.
pub fn build(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let mut cargo = workspace::cargo("build");
    cargo.args(["--package", "memtrace", "--bin", "memtrace"]);
    if arguments.release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)
}
