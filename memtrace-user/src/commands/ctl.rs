//! `memtrace ctl --pid PID COMMAND`: asks a memtrace that is tracing.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use super::{numbered::default_name, stream::print};
use crate::{
    cli::{CtlArgs, CtlCommand},
    control::{self, Answer, Command, Status},
    report::{escape::escape, units},
};

/// Runs the command.
///
/// # Errors
/// When nobody traces the process, or what was asked for cannot be done.
pub async fn execute(arguments: &CtlArgs) -> anyhow::Result<ExitCode> {
    let command = match &arguments.command {
        CtlCommand::Snapshot { output } => Command::Snapshot { file: absolute(output.as_deref(), arguments.pid)? },
        CtlCommand::Clear => Command::Clear,
        CtlCommand::ResetPeak => Command::ResetPeak,
        CtlCommand::Status => Command::Status,
        CtlCommand::Stop => Command::Stop,
    };
    match control::ask(arguments.pid, arguments.tracer, &command).await? {
        Answer::Snapshot { file } => print(format!("{}\n", escape(&file.to_string_lossy())).as_bytes())?,
        Answer::Status(status) => print(text(&status).as_bytes())?,
        Answer::Cleared | Answer::PeakReset | Answer::Stopping | Answer::Block(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The other memtrace has a current directory of its own.
fn absolute(output: Option<&Path>, pid: u32) -> std::io::Result<PathBuf> {
    let path = output.map_or_else(|| default_name(pid, SystemTime::now()), Path::to_owned);
    std::path::absolute(path)
}

fn text(status: &Status) -> String {
    let ended = if status.ended { " (has ended)" } else { "" };
    let elapsed = Duration::try_from_secs_f64(status.elapsed_seconds).unwrap_or_default();
    format!(
        "Process    {}{ended}  {}\nTracer     {}, for {}\nLive       {} in {}, peak {}\nAllocated  {} in {}, {}\n\
         Losses     {}\n",
        status.pid,
        escape(&status.command),
        status.tracer,
        units::duration(elapsed),
        units::bytes(status.live_bytes),
        units::counted(status.live_blocks, "block"),
        units::bytes(status.peak_bytes),
        units::bytes(status.allocated_bytes),
        units::counted(status.allocated_blocks, "block"),
        units::counted(status.stacks as u64, "call stack"),
        units::count(status.losses),
    )
}
