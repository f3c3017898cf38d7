//! The loop around the live table: keys, readings, signals, the deadline.

use std::future::pending;

use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::{
    logging::Log,
    signals::{Caught, Termination},
};
use crate::{
    cli::RankingArgs,
    profile::SiteNamer,
    session::{Session, Update},
    tui::{App, Reading, Request, Theme, keys, terminal, view},
};

/// Shows the live table until the user leaves it, a signal ends memtrace, or the deadline comes. When the process ends,
/// its last state stays on the screen.
///
/// # Errors
/// When the terminal fails.
pub async fn show(
    session: &mut Session,
    arguments: RankingArgs,
    deadline: Option<Instant>,
    termination: &mut Termination,
    log: &Log,
) -> anyhow::Result<()> {
    let log_file = log.to_file()?;
    let result = run(session, arguments, deadline, termination).await;
    log.to_standard_error();
    if let Some(path) = log_file {
        eprintln!("memtrace: the log is in {}", path.display());
    }
    result
}

async fn run(
    session: &mut Session,
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
        tokio::select! {
            biased;
            event = events.next() => {
                // The terminal is gone: so is whoever looked at it.
                let Some(Ok(event)) = event else { return Ok(()) };
                match keys::action_for_event(&event).and_then(|action| app.apply(action)) {
                    Some(Request::Quit) => return Ok(()),
                    Some(Request::Suspend) => guard.suspend()?,
                    Some(Request::Clear) => guard.clear()?,
                    None => {}
                }
            }
            signal = termination.next() => match signal {
                Caught::End => return Ok(()),
                Caught::Continued => guard.resume()?,
            },
            () = reached(deadline) => return Ok(()),
            update = session.next(&wanted) => take(&mut app, update?),
        }
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
