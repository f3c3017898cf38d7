//! `memtrace attach --pid PID`: a live table on a terminal, reports otherwise.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    process::ExitCode,
    time::{Duration, Instant},
};

use super::{
    live,
    logging::Log,
    plain::{Reporter, Stream},
    signals::Termination,
};
use crate::{
    cli::AttachArgs,
    session::{self, Session, Update},
    tracer::TracerOptions,
};

const LIVE_INTERVAL: Duration = Duration::from_secs(1);
/// A last report that would follow another this soon would say the same: the deadline has come with an interval's end.
const SAME_REPORT: Duration = Duration::from_millis(50);
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Runs the command.
///
/// # Errors
/// When the process cannot be traced, or the terminal or standard output fails.
pub async fn execute(arguments: &AttachArgs, log: &Log) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::new()?;
    let mut session = session::attach(arguments.pid, &TracerOptions::from(&arguments.tracing))?;
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    session.set_interval(arguments.interval.unwrap_or(if is_terminal { LIVE_INTERVAL } else { PLAIN_INTERVAL }));
    let deadline = arguments.duration.map(|duration| tokio::time::Instant::now() + duration);
    if is_terminal {
        live::show(&mut session, arguments.ranking, deadline, &mut termination, log).await?;
    } else {
        finish(print(&mut session, arguments, deadline, &mut termination).await)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a report at each interval, and a last one when tracing ends.
async fn print(
    session: &mut Session,
    arguments: &AttachArgs,
    deadline: Option<tokio::time::Instant>,
    termination: &mut Termination,
) -> io::Result<()> {
    let mut reporter = Reporter::new(arguments.ranking, Stream::Output);
    let nothing = BTreeSet::new();
    // The first reading comes at once and shows nothing but that tracing has begun: reports start with the second.
    let mut first = true;
    let mut written: Option<Instant> = None;
    loop {
        tokio::select! {
            update = session.next(&nothing) => match update? {
                Update::Reading { profile, symbols } if !first || session.has_ended() => {
                    reporter.write(session, &profile, &symbols).await?;
                    written = Some(Instant::now());
                }
                Update::Ended => return Ok(()),
                Update::Reading { .. } => first = false,
                Update::Symbols(_) | Update::Exec | Update::Cleared | Update::PeakReset => {}
            },
            () = termination.requested() => break,
            () = live::reached(deadline) => {
                if written.is_some_and(|time| time.elapsed() < SAME_REPORT) {
                    return Ok(());
                }
                break;
            }
        }
    }
    let (profile, symbols) = session.read_now().await;
    reporter.write(session, &profile, &symbols).await
}

/// A reader that has seen enough closes the pipe: that is no failure.
fn finish(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
