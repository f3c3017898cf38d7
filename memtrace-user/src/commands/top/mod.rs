//! `memtrace top`: all processes of the machine, in a live table on a terminal, in reports otherwise.

mod live;
mod plain;

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
};

use super::{
    functions,
    logging::Log,
    signals::Termination,
    stream::unless_closed,
    timing::{Deadline, interval},
};
use crate::{
    cli::TopArgs,
    process::Selection,
    session::trace_everyone,
    tracer::{Follow, Shares, TracerOptions},
};

/// Runs the command.
///
/// # Errors
/// When the machine cannot be traced, or standard output fails.
pub async fn execute(arguments: &TopArgs, log: &Log) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::new()?;
    let mut session = trace_everyone(selection(arguments), &options(arguments))?;
    let deadline = Deadline::after(arguments.duration);
    let is_live = arguments.format.is_none() && io::stdout().is_terminal() && io::stdin().is_terminal();
    session.set_interval(interval(arguments.interval, is_live));
    if is_live {
        live::show(&mut session, arguments, deadline, &mut termination, log).await?;
        return Ok(ExitCode::SUCCESS);
    }
    unless_closed(plain::print(&mut session, arguments, deadline, &mut termination).await)?;
    Ok(ExitCode::SUCCESS)
}

fn selection(arguments: &TopArgs) -> Selection {
    Selection {
        names: arguments.comm.clone(),
        users: arguments.user.clone(),
        groups: arguments.cgroup.clone(),
        containers: arguments.container.clone(),
    }
}

fn options(arguments: &TopArgs) -> TracerOptions {
    let usual = Shares::default();
    TracerOptions {
        sample_bytes: if arguments.exact { 0 } else { arguments.sample_bytes },
        follow: Follow::Everyone,
        functions: functions(&arguments.alloc, &arguments.free),
        shares: Shares {
            blocks: arguments.most_blocks.unwrap_or(usual.blocks),
            sites: arguments.most_stacks.unwrap_or(usual.sites),
            ..usual
        },
        ..TracerOptions::from(&arguments.recording)
    }
}
