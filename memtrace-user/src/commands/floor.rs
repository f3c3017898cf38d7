//! `memtrace floor --pid PID`: what the probes cost when their programs do nothing. For `cargo xtask bench`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use super::signals::Termination;
use crate::{cli::FloorArgs, session};

/// Places the probes, says `attached`, and keeps them until standard input closes or a signal comes.
///
/// # Errors
/// When the process cannot be probed, or the kernel has no uprobe-multi links.
pub async fn execute(arguments: &FloorArgs) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::new()?;
    let probes = session::place_floor(arguments.pid, arguments.entries_only)?;
    writeln!(io::stdout(), "attached")?;
    let closed = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()));
    tokio::select! {
        _ = closed => {}
        () = termination.requested() => {}
    }
    drop(probes);
    Ok(ExitCode::SUCCESS)
}
