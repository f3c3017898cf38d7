//! The program: linked statically with musl by the linker that comes with Rust, so that nothing is needed to build it for
//! either architecture, and nothing to run it.

use std::path::PathBuf;

use anyhow::{Context, Error, Result, ensure};

use super::Architecture;
use crate::process::{read, run};
use crate::{cargo_call, workspace};

/// The profile in Cargo.toml. Not called `dist`, as cargo would keep what it builds for it in `target/dist`.
const PROFILE: &str = "packaged";

/// Builds it; returns its path.
///
/// # Errors
/// When rustup cannot bring musl's standard library, or the build fails.
pub fn build(architecture: Architecture) -> Result<PathBuf> {
    let target = architecture.target();
    bring_standard_library(&target)?;
    let mut cargo = workspace::cargo("build");
    cargo.args(["--package", "memtrace", "--bin", "memtrace", "--profile", PROFILE, "--target", &target]);
    cargo.env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_")), "rust-lld");
    run(&mut cargo)?;
    let program = workspace::target_dir().join(&target).join(PROFILE).join("memtrace");
    ensure!(program.is_file(), "cargo left no {}", program.display());
    Ok(program)
}

fn bring_standard_library(target: &str) -> Result<()> {
    let sysroot = PathBuf::from(cargo_call::rustc(&["--print", "sysroot"]).map_err(Error::msg)?.trim());
    if sysroot.join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(());
    }
    let mut rustup = std::process::Command::new("rustup");
    rustup.args(["target", "add", target]).current_dir(workspace::root());
    read(&mut rustup).map(drop).with_context(|| format!("rustup cannot give the standard library of {target}"))
}
