//! `memtrace completions SHELL`: for packages, and for whoever has copied the program alone.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::stream::print;
use crate::cli::{Cli, CompletionsArgs};

/// Prints the script.
///
/// # Errors
/// When standard output cannot be written to.
pub fn execute(arguments: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    // Not straight to standard output: the generator would panic where that is closed.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "memtrace", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}
