//! `memtrace doctor`: what this kernel, these permissions and a process allow.

use std::process::ExitCode;

use super::stream::print;
use crate::{
    cli::{DoctorArgs, DoctorFormat},
    doctor::{self, Level},
};

/// Runs the command; fails when something is in the way of tracing.
///
/// # Errors
/// When standard output fails.
pub fn execute(arguments: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let diagnosis = doctor::examine(arguments.pid);
    let text = match arguments.format {
        DoctorFormat::Text => doctor::text(&diagnosis),
        DoctorFormat::Json => serde_json::to_string_pretty(&diagnosis)? + "\n",
    };
    print(text.as_bytes())?;
    Ok(if diagnosis.worst() == Level::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
