//! Arguments of `completions` and `manual`, which make what a package carries besides the program.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

/// Arguments of `manual`.
#[derive(Debug, Args)]
pub struct ManualArgs {
    /// An existing directory for the pages: memtrace.1, and one for each command.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
