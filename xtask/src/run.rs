//! `cargo xtask run -- ARGS`: build as the caller, run as root.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::{privilege, process, setup, workspace};

/// What to run.
#[derive(Args)]
pub struct Arguments {
    /// memtrace's own arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    arguments: Vec<OsString>,
}

/// Variables that `cargo xtask` adds for xtask itself. A program that memtrace starts must not inherit them.
const FROM_CARGO: [&str; 7] = [
    "CARGO",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "MEMTRACE_TOOLS",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_TOOLCHAIN_SOURCE",
    "RUST_RECURSION_COUNT",
];

/// Becomes `memtrace ARGS`, in the caller's directory: exit status and signals need no handling of xtask's own.
///
/// # Errors
/// When the set-up or the build fails, or there is no way to become root.
pub fn run(arguments: &Arguments) -> Result<()> {
    // First, as a build is long.
    privilege::prefix()?;
    setup::ensure()?;
    let mut cargo = workspace::cargo("build");
    process::run(cargo.args(["--quiet", "--release", "--package", "memtrace", "--bin", "memtrace"]))?;
    let mut memtrace = privilege::as_root(workspace::target_dir().join("release/memtrace"))?;
    memtrace.args(&arguments.arguments);
    restore_environment(&mut memtrace);
    Err(memtrace.exec()).with_context(|| format!("cannot run {}", memtrace.get_program().display()))
}

/// Undoes what cargo did to the environment.
fn restore_environment(command: &mut Command) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || FROM_CARGO.contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    // Cargo and rustup put directories of the build and the toolchain here.
    let Some(path) = env::var_os("LD_LIBRARY_PATH") else { return };
    let target = workspace::target_dir();
    let own = |dir: &std::path::Path| dir.starts_with(&target) || dir.join("rustlib").is_dir() || is_rustlib(dir);
    let rest: Vec<_> = env::split_paths(&path).filter(|dir| !dir.as_os_str().is_empty() && !own(dir)).collect();
    match env::join_paths(&rest) {
        Ok(joined) if !rest.is_empty() => command.env("LD_LIBRARY_PATH", joined),
        _ => command.env_remove("LD_LIBRARY_PATH"),
    };
}

fn is_rustlib(dir: &std::path::Path) -> bool {
    dir.components().any(|component| component.as_os_str() == "rustlib")
}
