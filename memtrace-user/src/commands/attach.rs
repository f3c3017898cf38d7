//! `memtrace attach --pid PID`: a live table on a terminal, reports otherwise.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    live::Screen,
    logging::Log,
    plain::Reporter,
    signals::{Caught, Termination},
    steering::{Outcome, Steering},
    stream::{Stream, say, unless_closed},
    taking::{check, last_snapshot},
    timing::{Deadline, interval},
};
use crate::{
    cli::{AttachArgs, RankingArgs},
    profile::{Profile, SymbolTable},
    session::{Attachment, Session, Update},
    tracer::TracerOptions,
};

/// A last report that would follow another this soon would say the same: the deadline has come with an interval's end.
const SAME_REPORT: Duration = Duration::from_millis(50);

/// Runs the command.
///
/// # Errors
/// When the process cannot be traced, the terminal or standard output fails, or the snapshot cannot be written.
pub async fn execute(arguments: &AttachArgs, log: &Log) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::new()?;
    check(&arguments.output)?;
    // What can be known of the process comes before the terminal is taken.
    let attachment = Attachment::open(arguments.pid, TracerOptions::from(&arguments.tracing))?;
    let is_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    let mut screen = if is_terminal { Some(Screen::open(arguments.ranking, log)?) } else { None };
    let begun = match &mut screen {
        Some(screen) => screen.attach(attachment, &mut termination).await?,
        None => Some(attachment.attach(|_| ())?),
    };
    // The user has left before anything was recorded.
    let Some(mut session) = begun else { return Ok(ExitCode::SUCCESS) };
    let mut steering = Steering::new(arguments.pid, &arguments.output);
    session.set_interval(interval(arguments.interval, is_terminal));
    let deadline = Deadline::after(arguments.duration);
    let mut reports = Reports::new(arguments.ranking);
    let shown = if let Some(mut screen) = screen {
        let shown = screen.show(&mut session, &mut steering, deadline, &mut termination).await;
        // The terminal is given back before anything is said on it.
        drop(screen);
        shown.map(|left| left.iter().for_each(|message| say(message)))
    } else {
        let printed = reports.print(&mut session, &mut steering, deadline, &mut termination).await;
        unless_closed(printed).map_err(Into::into)
    };
    let last = last_snapshot(&mut session, reports.last.as_deref());
    // Lines are looked up when the process is no longer traced.
    drop(session);
    steering.finish(last, termination.requested()).await?;
    // A terminal that is gone is no reason to lose the snapshot.
    shown.map(|()| ExitCode::SUCCESS)
}

/// Reports, one after the other.
struct Reports {
    reporter: Reporter,
    /// The next reading shows nothing but that tracing has begun: reports start with the second.
    first: bool,
    written: Option<Instant>,
    /// The last profile that was reported.
    last: Option<Arc<Profile>>,
}

impl Reports {
    fn new(arguments: RankingArgs) -> Self {
        Self { reporter: Reporter::new(arguments, Stream::Output), first: true, written: None, last: None }
    }

    /// Prints a report at each interval, and a last one when tracing ends.
    async fn print(
        &mut self,
        session: &mut Session,
        steering: &mut Steering,
        deadline: Deadline,
        termination: &mut Termination,
    ) -> io::Result<()> {
        let nothing = BTreeSet::new();
        loop {
            let outcome = tokio::select! {
                update = session.next(&nothing) => match update? {
                    Update::Ended => return Ok(()),
                    update => self.take(update, session).await?,
                },
                steer = steering.next() => steering.handle(steer, session),
                caught = termination.next() => match caught {
                    Caught::End => Outcome::Stop,
                    Caught::Snapshot => steering.take(session),
                    Caught::Continued => Outcome::Nothing,
                },
                () = deadline.reached() => {
                    if self.written.is_some_and(|time| time.elapsed() < SAME_REPORT) {
                        return Ok(());
                    }
                    Outcome::Stop
                }
            };
            if !outcome.goes_on() {
                break;
            }
        }
        let (profile, symbols) = session.read_now().await;
        self.report(session, profile, &symbols).await
    }

    async fn take(&mut self, update: Update, session: &mut Session) -> io::Result<Outcome> {
        match update {
            Update::Reading { profile, symbols } if !self.first || session.has_ended() => {
                self.report(session, profile, &symbols).await?;
            }
            Update::Reading { .. } => self.first = false,
            // The reading that follows comes at once, too.
            Update::Cleared | Update::PeakReset => self.first = true,
            Update::Budget { message, ends } => {
                say(&message);
                return Ok(if ends { Outcome::Stop } else { Outcome::Nothing });
            }
            Update::Ended | Update::Symbols(_) | Update::Exec => {}
        }
        Ok(Outcome::Nothing)
    }

    async fn report(&mut self, session: &mut Session, profile: Arc<Profile>, names: &SymbolTable) -> io::Result<()> {
        let written = self.reporter.write(session, &profile, names).await;
        self.written = Some(Instant::now());
        self.last = Some(profile);
        written
    }
}
