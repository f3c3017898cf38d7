//! `memtrace snapshot --pid PID`: traces a process for a while and writes what it has seen.

use std::{collections::BTreeSet, process::ExitCode, time::SystemTime};

use super::{
    numbered::default_name, signals::Termination, steering::Steering, stream::say, taking::check, timing::Deadline,
};
use crate::{
    cli::{OutputArgs, SnapshotArgs},
    session::{self, Session, Update},
    tracer::TracerOptions,
};

/// Runs the command.
///
/// # Errors
/// When the process cannot be traced, or the file cannot be written.
pub async fn execute(arguments: &SnapshotArgs) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::new()?;
    let output = arguments.output.clone().unwrap_or_else(|| default_name(arguments.pid, SystemTime::now()));
    let output = OutputArgs { output: Some(output), no_symbols: arguments.no_symbols, ..OutputArgs::default() };
    check(&output)?;
    let mut session = session::attach(arguments.pid, &TracerOptions::from(&arguments.tracing))?;
    let mut steering = Steering::new(arguments.pid, &output);
    let deadline = Deadline::after(arguments.duration);
    trace(&mut session, &mut steering, deadline, &mut termination).await?;
    let last = session.take_snapshot();
    // Lines are looked up when the process is no longer traced.
    drop(session);
    steering.finish(last, termination.requested()).await?;
    Ok(ExitCode::SUCCESS)
}

/// Until the deadline, a signal, or the end of the process.
async fn trace(
    session: &mut Session,
    steering: &mut Steering,
    deadline: Deadline,
    termination: &mut Termination,
) -> std::io::Result<()> {
    let nothing = BTreeSet::new();
    loop {
        tokio::select! {
            update = session.next(&nothing) => match update? {
                Update::Ended => return Ok(()),
                Update::Budget { message, ends } => {
                    say(&message);
                    if ends {
                        return Ok(());
                    }
                }
                _ => {}
            },
            steer = steering.next() => if !steering.handle(steer, session).goes_on() {
                return Ok(());
            },
            () = termination.requested() => return Ok(()),
            () = deadline.reached() => return Ok(()),
        }
    }
}
