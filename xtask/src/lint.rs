//! `cargo xtask lint`: formatting, clippy and documentation of every crate, warnings denied.

use anyhow::{Error, Result};

use crate::process::run;
use crate::{cargo_call, setup, workspace};

/// Checks the crates of the host, then the BPF programs for their own target.
///
/// # Errors
/// At the first check that finds something.
pub fn lint() -> Result<()> {
    run(workspace::cargo("fmt").args(["--all", "--check"]))?;
    setup::ensure()?;
    run(workspace::cargo("clippy").args(["--all-targets", "--", "-Dwarnings"]))?;
    for features in [&[][..], &["--features", "bpf-log"][..]] {
        run(bpf("clippy")?.args(features).args(["--", "-Dwarnings"]))?;
    }
    run(workspace::cargo("doc").args(["--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-Dwarnings"))?;
    Ok(())
}

/// A cargo call for the BPF programs, with a target directory of its own: its flags differ from the host's.
fn bpf(subcommand: &str) -> Result<std::process::Command> {
    let mut cargo =
        cargo_call::command(subcommand, &workspace::tools()?, std::env::consts::ARCH).map_err(Error::msg)?;
    cargo.arg("--release").arg("--target-dir").arg(workspace::target_dir().join("bpf-lint"));
    cargo.current_dir(workspace::root());
    Ok(cargo)
}
