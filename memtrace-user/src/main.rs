//! Parses, runs, and turns an error into an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use memtrace::{cli::Cli, commands};

fn main() -> ExitCode {
    commands::execute(Cli::parse()).unwrap_or_else(|error| {
        let described = commands::describe(&error);
        eprintln!("memtrace: error: {}", described.message);
        if let Some(hint) = described.hint {
            eprintln!("hint: {hint}");
        }
        ExitCode::from(described.code)
    })
}
