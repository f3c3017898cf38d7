//! The loop around the live table: keys, readings, signals, the deadline.

use std::future::pending;

use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::{
    logging::Log,
    signals::{Caught, Termination},
    steering::{Outcome, Steering},
};
use crate::{
    cli::RankingArgs,
    profile::SiteNamer,
    session::{Session, Update},
    tui::{App, Reading, Request, Theme, Wish, keys, terminal, view},
};

/// Shows the live table until the user leaves it, a signal ends memtrace, or the deadline comes. When the process ends,
/// its last state stays on the screen.
///
/// # Errors
/// When the terminal fails.
pub async fn show(
    session: &mut Session,
    steering: &mut Steering,
    arguments: RankingArgs,
    deadline: Option<Instant>,
    termination: &mut Termination,
    log: &Log,
) -> anyhow::Result<()> {
    let log_file = log.to_file()?;
    let result = run(session, steering, arguments, deadline, termination).await;
    log.to_standard_error();
    if let Some(path) = log_file {
        eprintln!("memtrace: the log is in {}", path.display());
    }
    result
}

async fn run(
    session: &mut Session,
    steering: &mut Steering,
    arguments: RankingArgs,
    deadline: Option<Instant>,
    termination: &mut Termination,
) -> anyhow::Result<()> {
    let mut guard = terminal::enter()?;
    let mut app = App::new(arguments.sort.into(), SiteNamer::default(), Theme::from_env(), guard.size()?);
    let mut events = EventStream::new();
    loop {
        guard.draw(|frame| view::render(frame, &app))?;
        let wanted = app.shown_locations();
        let outcome = tokio::select! {
            biased;
            event = events.next() => {
                // The terminal is gone: so is whoever looked at it.
                let Some(Ok(event)) = event else { return Ok(()) };
                match keys::action_for_event(&event).and_then(|action| app.apply(action)) {
                    Some(Request::Quit) => return Ok(()),
                    Some(Request::Suspend) => guard.suspend()?,
                    Some(Request::Redraw) => guard.clear()?,
                    Some(Request::Ask(wish)) => fulfil(wish, session, steering, &mut app),
                    None => {}
                }
                Outcome::Nothing
            }
            signal = termination.next() => match signal {
                Caught::End => Outcome::Stop,
                Caught::Continued => {
                    guard.resume()?;
                    Outcome::Nothing
                }
                Caught::Snapshot => steering.take(session),
            },
            () = reached(deadline) => Outcome::Stop,
            steer = steering.next() => steering.handle(steer, session),
            update = session.next(&wanted) => {
                take(&mut app, update?);
                Outcome::Nothing
            }
        };
        match outcome {
            Outcome::Nothing => {}
            Outcome::Say(message) => app.set_message(message),
            Outcome::Stop => return Ok(()),
        }
    }
}

/// What it comes to is told by an update, or by the steering.
fn fulfil(wish: Wish, session: &mut Session, steering: &mut Steering, app: &mut App) {
    match wish {
        Wish::Snapshot => match steering.take(session) {
            Outcome::Say(message) => app.set_message(message),
            _ => app.set_message("a snapshot is being written: its lines are looked up"),
        },
        Wish::Clear => drop(session.clear()),
        Wish::ResetPeak => drop(session.reset_peak()),
    }
}

fn take(app: &mut App, update: Update) {
    match update {
        Update::Reading { profile, symbols } => app.update(Reading { profile, symbols }),
        Update::Symbols(symbols) => app.update_symbols(symbols),
        Update::Exec => app.set_message("the process runs another program now: what the old one held is gone"),
        Update::Cleared => app.set_message("cleared: only what is allocated from here on counts"),
        Update::PeakReset => app.set_message("the peak is that of what is live from here on"),
        Update::Ended => app.set_message("the process has ended; q leaves"),
    }
}

/// Resolves at the deadline; never without one.
pub async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
