//! One file a command. Each takes its arguments and returns the exit status.

mod attach;
mod doctor;
mod errors;
mod floor;
mod live;
mod logging;
mod plain;
mod run;
mod signals;

use std::process::ExitCode;

pub use self::errors::describe;
use crate::{
    cli::{Cli, Command, Feature, TracingArgs, UnwindArg},
    process::SignalState,
    tracer::{Accelerator, TracerOptions, UnwindMode},
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
            Command::Doctor(arguments) => doctor::execute(&arguments),
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
            without: arguments.without.iter().copied().map(Accelerator::from).collect(),
        }
    }
}

impl From<Feature> for Accelerator {
    fn from(feature: Feature) -> Self {
        match feature {
            Feature::Multi => Self::Multi,
            Feature::BpfLoop => Self::BpfLoop,
            Feature::MappingEvents => Self::MappingEvents,
        }
    }
}
