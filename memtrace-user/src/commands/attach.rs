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
    stream::{Stream, unless_closed},
    taking::{check, say},
    timing::{Deadline, interval},
};
use crate::{
    cli::AttachArgs,
    profile::Profile,
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
    let mut last = None;
    let shown = if let Some(mut screen) = screen {
        let shown = screen.show(&mut session, &mut steering, deadline, &mut termination).await;
        // The terminal is given back before anything is said on it.
        drop(screen);
        shown.map(|left| left.iter().for_each(|message| say(message)))
    } else {
        let printed = print(&mut session, &mut steering, arguments, deadline, &mut termination, &mut last).await;
        unless_closed(printed).map_err(Into::into)
    };
    // The numbers of the last report, where there is one.
    let last = match last {
        Some(profile) => session.snapshot_of(&profile),
        None => session.take_snapshot(),
    };
    // Lines are looked up when the process is no longer traced.
    drop(session);
    steering.finish(last, termination.requested()).await?;
    // A terminal that is gone is no reason to lose the snapshot.
    shown.map(|()| ExitCode::SUCCESS)
}

/// Prints a report at each interval, and a last one when tracing ends; its profile is left in `last`.
async fn print(
    session: &mut Session,
    steering: &mut Steering,
    arguments: &AttachArgs,
    deadline: Deadline,
    termination: &mut Termination,
    last: &mut Option<Arc<Profile>>,
) -> io::Result<()> {
    let mut reporter = Reporter::new(arguments.ranking, Stream::Output);
    let nothing = BTreeSet::new();
    // The first reading comes at once and shows nothing but that tracing has begun: reports start with the second.
    let mut first = true;
    let mut written: Option<Instant> = None;
    loop {
        let outcome = tokio::select! {
            update = session.next(&nothing) => {
                match update? {
                    Update::Reading { profile, symbols } if !first || session.has_ended() => {
                        reporter.write(session, &profile, &symbols).await?;
                        written = Some(Instant::now());
                        *last = Some(profile);
                    }
                    Update::Ended => return Ok(()),
                    Update::Budget { message, ends } => {
                        say(&message);
                        if ends {
                            break;
                        }
                    }
                    Update::Reading { .. } => first = false,
                    // The reading that follows comes at once, too.
                    Update::Cleared | Update::PeakReset => first = true,
                    Update::Symbols(_) | Update::Exec => {}
                }
                Outcome::Nothing
            }
            steer = steering.next() => steering.handle(steer, session),
            caught = termination.next() => match caught {
                Caught::End => Outcome::Stop,
                Caught::Snapshot => steering.take(session),
                Caught::Continued => Outcome::Nothing,
            },
            () = deadline.reached() => {
                if written.is_some_and(|time| time.elapsed() < SAME_REPORT) {
                    return Ok(());
                }
                Outcome::Stop
            }
        };
        match outcome {
            Outcome::Nothing => {}
            Outcome::Say(message) => say(&message),
            Outcome::Stop => break,
        }
    }
    let (profile, symbols) = session.read_now().await;
    *last = Some(Arc::clone(&profile));
    reporter.write(session, &profile, &symbols).await
}
