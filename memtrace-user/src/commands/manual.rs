//! `memtrace manual DIR`: the manual pages of memtrace and of each command, from their help.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::{Cli, ManualArgs};

/// Writes `memtrace.1`, `memtrace-attach.1` and so on.
///
/// # Errors
/// When the directory is not there or cannot be written to.
pub fn execute(arguments: &ManualArgs) -> anyhow::Result<ExitCode> {
    let directory = &arguments.directory;
    let written = clap_mangen::generate_to(Cli::command(), directory);
    written.with_context(|| format!("cannot write manual pages to {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
