//! One file a command. Each takes its arguments and returns the exit status.

mod attach;
mod completions;
mod ctl;
mod diff;
mod doctor;
mod errors;
mod export;
mod floor;
mod groups;
mod live;
mod live_export;
mod live_look;
mod logging;
mod manual;
mod numbered;
mod plain;
mod report;
mod run;
mod signals;
mod snapshot;
mod steering;
mod stream;
mod symbolize;
mod taking;
mod timing;
mod top;
mod where_block;

use std::{process::ExitCode, sync::Arc};

pub use self::errors::describe;
pub use self::stream::tell;
use crate::{
    allocators::{UserFunction, UserFunctions},
    cli::{Cli, Command, OverBudgetArg, RecordedArg, RecordingArgs, TracingArgs, UnwindArg},
    process::SignalState,
    tracer::{Follow, OverBudget, Recorded, TracerOptions, UnwindMode},
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
        signals::survive_file_size_limit()?;
        match cli.command {
            Command::Attach(arguments) => Box::pin(attach::execute(&arguments, &log)).await,
            Command::Run(arguments) => Box::pin(run::execute(arguments, signals)).await,
            Command::Top(arguments) => Box::pin(top::execute(&arguments, &log)).await,
            Command::Report(arguments) => report::execute(&arguments),
            Command::Diff(arguments) => diff::execute(&arguments),
            Command::Export(arguments) => export::execute(&arguments),
            Command::Snapshot(arguments) => snapshot::execute(&arguments).await,
            Command::Ctl(arguments) => ctl::execute(&arguments).await,
            Command::Where(arguments) => where_block::execute(&arguments).await,
            Command::Symbolize(arguments) => symbolize::execute(&arguments).await,
            Command::Doctor(arguments) => doctor::execute(&arguments),
            Command::Floor(arguments) => floor::execute(&arguments).await,
            Command::Completions(arguments) => completions::execute(&arguments),
            Command::Manual(arguments) => manual::execute(&arguments),
        }
    });
    // A thread that waits for a command which outlives the tracing must not be waited for.
    runtime.shutdown_background();
    result
}

fn recorded(domains: &[RecordedArg]) -> Recorded {
    match (domains.contains(&RecordedArg::Malloc), domains.contains(&RecordedArg::Mmap)) {
        (_, false) => Recorded::Blocks,
        (false, true) => Recorded::Mappings,
        (true, true) => Recorded::Both,
    }
}

fn functions(alloc: &[UserFunction], free: &[UserFunction]) -> Arc<UserFunctions> {
    Arc::new(UserFunctions(alloc.iter().chain(free).cloned().collect()))
}

impl From<&RecordingArgs> for TracerOptions {
    fn from(arguments: &RecordingArgs) -> Self {
        Self {
            max_frames: arguments.max_frames,
            min_size: arguments.min_size,
            unwind: arguments.unwind.into(),
            without: arguments.without.clone(),
            ..Self::default()
        }
    }
}

impl From<&TracingArgs> for TracerOptions {
    fn from(arguments: &TracingArgs) -> Self {
        Self {
            sample_bytes: arguments.sample_bytes.unwrap_or(0),
            max_overhead: arguments.max_overhead,
            over_budget: match arguments.over_budget {
                OverBudgetArg::Stop => OverBudget::Stop,
                OverBudgetArg::Warn => OverBudget::Warn,
            },
            per_thread: arguments.per_thread,
            follow: if arguments.follow { Follow::Children } else { Follow::Nobody },
            recorded: recorded(&arguments.domain),
            native_only: arguments.native_only,
            through_exit: arguments.through_exit,
            functions: functions(&arguments.alloc, &arguments.free),
            ..Self::from(&arguments.recording)
        }
    }
}

impl From<UnwindArg> for UnwindMode {
    fn from(how: UnwindArg) -> Self {
        match how {
            UnwindArg::Auto => Self::Auto,
            UnwindArg::Fp => Self::FramePointer,
            UnwindArg::Dwarf => Self::Tables,
        }
    }
}
