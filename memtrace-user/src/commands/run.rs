//! `memtrace run -- CMD`: a command from its first allocation to its end.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _},
    process::{ExitCode, ExitStatus},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use tokio::sync::oneshot;

use super::{
    describe,
    plain::Reporter,
    signals::{Forwarding, News},
    steering::{Outcome, Steering},
    stream::{Stream, say, unless_closed},
    taking::{check, last_snapshot},
    timing::Deadline,
};
use crate::{
    cli::RunArgs,
    process::{CommandSpec, RunAs, SignalState, exit_code},
    profile::{Profile, SymbolTable},
    session::{self, Launched, Session, Update},
    tracer::{Follow, TracerOptions},
};

/// Time between two readings that are not shown.
const BETWEEN: Duration = Duration::from_secs(1);
/// The same of many processes: readings would keep from more urgent things, and files stay open for names in the end.
const BETWEEN_OF_MANY: Duration = Duration::from_mins(1);
/// Processes that are no many yet.
const FEW: usize = 8;

/// Runs the command; its exit status is passed on.
///
/// # Errors
/// When it cannot be started or traced.
pub async fn execute(arguments: RunArgs, signals: SignalState) -> anyhow::Result<ExitCode> {
    let run_as = if arguments.as_root { None } else { RunAs::invoking_user()? };
    let mut words = arguments.command.into_iter();
    let program = words.next().context("no command given")?;
    let command = CommandSpec { program, arguments: words.collect(), run_as, signals };
    check(&arguments.output)?;
    let mut forwarding = Forwarding::start()?;
    let options = TracerOptions {
        keep_pymalloc: arguments.keep_pymalloc,
        follow: if arguments.tracing.no_follow { Follow::Nobody } else { Follow::Children },
        ..TracerOptions::from(&arguments.tracing)
    };
    let launched = session::launch(&command, &options)?;
    forwarding.set_target(launched.pid);
    forwarding.set_takes_snapshots(arguments.output.output.is_some());
    let news = forwarding.news();
    let Launched { mut session, pid, status } = launched;
    if options.follow != Follow::Nobody && io::stderr().is_terminal() {
        // With what it costs in the report; who waits for it may want to know before.
        say("what the command starts is traced as well, which slows down other programs, too (--no-follow)");
    }
    // Without --interval only the last report is printed; readings in between keep names up to date.
    session.set_interval(arguments.interval.unwrap_or(BETWEEN));
    let mut tracing = Tracing {
        reporter: Reporter::new(arguments.ranking, Stream::Error),
        steering: Steering::new(pid, &arguments.output),
        periodic: arguments.interval.is_some(),
        many: false,
        deadline: Deadline::after(arguments.duration),
        last: None,
        reported: Ok(()),
    };
    tokio::select! {
        result = tracing.trace(&mut session, &news) => result?,
        result = forwarding.run() => result?,
    }
    let Tracing { steering, last, reported, .. } = tracing;
    let last = last_snapshot(&mut session, last.as_deref());
    // Probes go before lines are looked up, and before the command's end is waited for, which --duration may put off for
    // long.
    drop(session);
    forwarding.set_takes_snapshots(false);
    let ending = async {
        let written = steering.finish(last, news.interrupted.notified()).await.and(reported.map_err(Into::into));
        written_or_else(written, exit_code(wait(status).await?))
    };
    tokio::select! {
        code = ending => code,
        result = forwarding.run() => result.map(|()| ExitCode::FAILURE).map_err(Into::into),
    }
}

/// A snapshot or a report that could not be written is a failure, unless the command has failed itself.
fn written_or_else(written: anyhow::Result<()>, command: u8) -> anyhow::Result<ExitCode> {
    match written {
        Err(error) if command == 0 => Err(error),
        Err(error) => {
            say(&describe(&error).message);
            Ok(ExitCode::from(command))
        }
        Ok(()) => Ok(ExitCode::from(command)),
    }
}

/// What goes on while the command is traced.
struct Tracing {
    reporter: Reporter,
    steering: Steering,
    /// Reports are printed at each interval.
    periodic: bool,
    /// There have been more than [`FEW`] processes besides.
    many: bool,
    deadline: Deadline,
    /// The last profile that was reported.
    last: Option<Arc<Profile>>,
    /// Whether reports could be written, all of them: if not, why the first could not.
    reported: io::Result<()>,
}

impl Tracing {
    /// Reports at each interval when asked to, and at the end.
    async fn trace(&mut self, session: &mut Session, news: &News) -> io::Result<()> {
        let nothing = BTreeSet::new();
        loop {
            let outcome = tokio::select! {
                update = session.next(&nothing) => match update? {
                    Update::Reading { profile, symbols } if self.periodic || session.has_ended() => {
                        self.report(session, profile, &symbols).await;
                        Outcome::Nothing
                    }
                    Update::Reading { profile, .. } => {
                        if !self.periodic && !self.many && profile.others.len() > FEW {
                            self.many = true;
                            session.set_interval(BETWEEN_OF_MANY);
                        }
                        Outcome::Nothing
                    }
                    Update::Ended => return Ok(()),
                    Update::Budget { message, ends } => {
                        say(&message);
                        if ends { Outcome::Stop } else { Outcome::Nothing }
                    }
                    _ => Outcome::Nothing,
                },
                () = self.deadline.reached() => Outcome::Stop,
                () = news.snapshot.notified() => self.steering.take(session),
                steer = self.steering.next() => self.steering.handle(steer, session),
            };
            if !outcome.goes_on() {
                break;
            }
        }
        let (profile, symbols) = session.read_now().await;
        self.report(session, profile, &symbols).await;
        Ok(())
    }

    /// The command goes on, and is traced, though nobody reads the reports any more or their disk is full.
    async fn report(&mut self, session: &mut Session, profile: Arc<Profile>, names: &SymbolTable) {
        let written = self.reporter.write(session, &profile, names).await;
        self.last = Some(profile);
        if self.reported.is_ok() {
            self.reported = unless_closed(written);
        }
    }
}

async fn wait(status: oneshot::Receiver<io::Result<ExitStatus>>) -> anyhow::Result<ExitStatus> {
    Ok(status.await.context("the command was not waited for")??)
}
