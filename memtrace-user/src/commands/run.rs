//! `memtrace run -- CMD`: a command from its first allocation to its end.

use std::{
    collections::BTreeSet,
    io,
    process::{ExitCode, ExitStatus},
};

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::{
    live::reached,
    plain::{Reporter, Stream},
    signals::Forwarding,
};
use crate::{
    cli::RunArgs,
    process::{CommandSpec, RunAs, SignalState, exit_code},
    session::{self, Session, Update},
    tracer::TracerOptions,
};

/// Runs the command; its exit status is passed on.
///
/// # Errors
/// When it cannot be started or traced.
pub async fn execute(arguments: RunArgs, signals: SignalState) -> anyhow::Result<ExitCode> {
    let run_as = if arguments.as_root { None } else { RunAs::invoking_user()? };
    let mut words = arguments.command.into_iter();
    let program = words.next().context("no command given")?;
    let command = CommandSpec { program, arguments: words.collect(), run_as, signals };
    let mut forwarding = Forwarding::start()?;
    let mut launched = session::launch(&command, &TracerOptions::from(&arguments.tracing))?;
    forwarding.set_target(launched.pid);
    let session = &mut launched.session;
    // Without --interval only the last report is printed; readings in between keep names up to date.
    session.set_interval(arguments.interval.unwrap_or(std::time::Duration::from_secs(1)));
    let mut reporter = Reporter::new(arguments.ranking, Stream::Error);
    let deadline = arguments.duration.map(|duration| tokio::time::Instant::now() + duration);
    let traced = async {
        tokio::select! {
            result = trace(session, &mut reporter, arguments.interval.is_some()) => result,
            () = reached(deadline) => {
                let (profile, symbols) = session.read_now().await;
                reporter.write(session, &profile, &symbols).await
            }
        }
    };
    tokio::select! {
        result = traced => passed_over(result)?,
        result = forwarding.run() => result?,
    }
    // Probes go before the command's end is waited for, which --duration may put off for long.
    drop(launched.session);
    tokio::select! {
        status = wait(launched.status) => Ok(ExitCode::from(exit_code(status?))),
        result = forwarding.run() => result.map(|()| ExitCode::FAILURE).map_err(Into::into),
    }
}

/// Reports at each interval when asked to, and at the end.
async fn trace(session: &mut Session, reporter: &mut Reporter, periodic: bool) -> io::Result<()> {
    let nothing = BTreeSet::new();
    loop {
        match session.next(&nothing).await? {
            Update::Reading { profile, symbols } if periodic || session.has_ended() => {
                passed_over(reporter.write(session, &profile, &symbols).await)?;
            }
            Update::Ended => return Ok(()),
            _ => {}
        }
    }
}

/// The command goes on though nobody reads the reports any more.
fn passed_over(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn wait(status: oneshot::Receiver<io::Result<ExitStatus>>) -> anyhow::Result<ExitStatus> {
    Ok(status.await.context("the command was not waited for")??)
}
