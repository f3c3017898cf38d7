//! Parses, runs, and turns an error into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use memtrace::{cli::Cli, commands};

fn main() -> ExitCode {
    commands::execute(Cli::parse()).unwrap_or_else(|error| {
        let described = commands::describe(&error);
        let hint = described.hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        commands::tell(&format!("memtrace: error: {}\n{hint}", described.message));
        ExitCode::from(described.code)
    })
}
