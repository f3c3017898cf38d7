//! One file a command. Each takes its arguments and returns the exit status.

mod attach;
mod diff;
mod errors;
mod export;
mod floor;
mod groups;
mod live;
mod logging;
mod plain;
mod report;
mod run;
mod signals;
mod symbolize;

use std::process::ExitCode;

pub use self::errors::describe;
use crate::{
    cli::{Cli, Command, Feature, TracingArgs, UnwindArg},
    process::SignalState,
    tracer::{TracerOptions, UnwindMode},
};

/// Runs a command.
///
/// # Errors
/// With what to tell the user; [`describe`] finds the hint that goes with it.
pub fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    // First of all: handlers installed later hide what the parent has set up.
    let signals = SignalState::now();
    let log = logging::start(cli.verbose, cli.log_file.as_deref())?;
    // One thread drives everything; what blocks (symbols, ELF files, waiting for a child) has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Attach(arguments) => attach::execute(&arguments, &log).await,
            Command::Run(arguments) => run::execute(arguments, signals).await,
            Command::Report(arguments) => report::execute(&arguments),
            Command::Diff(arguments) => diff::execute(&arguments),
            Command::Export(arguments) => export::execute(&arguments),
            Command::Symbolize(arguments) => symbolize::execute(&arguments).await,
            Command::Floor(arguments) => floor::execute(&arguments).await,
        }
    });
    // A thread that waits for a command which outlives the tracing must not be waited for.
    runtime.shutdown_background();
    result
}

impl From<&TracingArgs> for TracerOptions {
    fn from(arguments: &TracingArgs) -> Self {
        Self {
            max_frames: arguments.max_frames,
            min_size: arguments.min_size,
            unwind: match arguments.unwind {
                UnwindArg::Auto => UnwindMode::Auto,
                UnwindArg::Fp => UnwindMode::FramePointer,
                UnwindArg::Dwarf => UnwindMode::Tables,
            },
            from_start: false,
            without_multi: arguments.without.contains(&Feature::Multi),
        }
    }
}
