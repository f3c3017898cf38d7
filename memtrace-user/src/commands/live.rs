//! The loop around the live view: keys, readings, signals, the deadline.

use std::{collections::BTreeSet, future::pending};

use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use tokio::{task::JoinHandle, time::Instant};

use super::{
    live_export,
    logging::Log,
    signals::{Caught, Termination},
};
use crate::{
    cli::RankingArgs,
    profile::{Location, SiteNamer, SortBy},
    report::source_text,
    session::{Session, Update},
    tui::{App, Order, Reading, Request, SourceText, Theme, keys, terminal, view},
};

/// Lines of source that are shown before and after the one that is meant.
const LINES_BESIDE: u32 = 12;

/// Shows the live view until the user leaves it, a signal ends memtrace, or the deadline comes. When the process ends,
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
    let sort = Order::from(SortBy::from(arguments.sort));
    let mut app = App::new(sort, SiteNamer::default(), Theme::from_env(), guard.size()?);
    let mut events = EventStream::new();
    let mut source = None;
    loop {
        guard.draw(|frame| view::render(frame, &app))?;
        let wanted = app.wanted_locations();
        if source.is_none() {
            source = app.wanted_source().map(read_source);
        }
        tokio::select! {
            biased;
            event = events.next() => {
                // The terminal is gone: so is whoever looked at it.
                let Some(Ok(event)) = event else { return Ok(()) };
                match keys::action_for_event(&event, app.input()).and_then(|action| app.apply(action)) {
                    Some(Request::Quit) => return Ok(()),
                    Some(Request::Suspend) => guard.suspend()?,
                    Some(Request::Clear) => guard.clear()?,
                    Some(Request::Export) => export(&mut app),
                    None => {}
                }
            }
            signal = termination.next() => match signal {
                Caught::End => return Ok(()),
                Caught::Continued => guard.resume()?,
            },
            () = reached(deadline) => return Ok(()),
            text = finished(source.as_mut()) => {
                source = None;
                app.set_source(text);
            }
            update = session.next(&wanted) => take(&mut app, update?, wanted),
        }
    }
}

fn take(app: &mut App, update: Update, wanted: BTreeSet<Location>) {
    match update {
        Update::Reading { profile, symbols } => app.update(Reading { profile, symbols }),
        Update::Symbols(symbols) => app.update_symbols(symbols, wanted),
        Update::Exec => {
            app.forget();
            app.set_message("the process runs another program now: what the old one held is gone");
        }
        Update::Ended => app.set_message("the process has ended; q leaves"),
    }
}

fn export(app: &mut App) {
    let message = match live_export::write(app) {
        Ok(files) => format!("written: {files}"),
        Err(error) => format!("nothing is written: {error:#}"),
    };
    app.set_message(message);
}

/// Reads source off the loop: the file may lie on a slow disk.
fn read_source((file, line): (String, u32)) -> JoinHandle<SourceText> {
    tokio::task::spawn_blocking(move || {
        let lines = source_text::around(&file, line, LINES_BESIDE);
        SourceText { file, line, lines }
    })
}

/// Resolves when a task is done; never without one.
async fn finished(task: Option<&mut JoinHandle<SourceText>>) -> SourceText {
    match task {
        Some(task) => task.await.unwrap_or_default(),
        None => pending().await,
    }
}

/// Resolves at the deadline; never without one.
pub async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
