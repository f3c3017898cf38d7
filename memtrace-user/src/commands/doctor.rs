//! `memtrace doctor`: what this kernel, these permissions and a process allow.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

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
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if diagnosis.worst() == Level::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
