//! Running other programs: shown before they start, checked when they end.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Says what is done, on stderr: stdout belongs to the programs that xtask runs.
pub fn say(message: &str) {
    eprintln!("xtask: {message}");
}

/// Runs `command` with xtask's own input and output, after printing it.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    say(&line);
    let status = command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Runs `command` and returns what it prints on stdout. Its stderr is kept for the error message.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub fn read(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{}: {}: {}", line(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it; the program by its file name, as full paths hide what matters.
fn line(command: &Command) -> String {
    let program = command.get_program();
    let name = std::path::Path::new(program).file_name().unwrap_or(program);
    let words = std::iter::once(name).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
