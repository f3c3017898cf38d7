//! The loop around the live view: keys, readings, signals, the deadline.

use std::{collections::BTreeSet, future::pending};

use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use tokio::{task::JoinHandle, time::Instant};

use super::{
    live_export,
    live_look::Look,
    logging::Log,
    signals::{Caught, Termination},
    steering::{Outcome, Steering},
    taking::say,
};
use crate::{
    cli::RankingArgs,
    profile::{Location, SiteNamer},
    report::source_text,
    session::{Session, Update},
    tui::{App, Order, Reading, Request, SourceText, Theme, Wish, keys, terminal, view},
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
    steering: &mut Steering,
    arguments: RankingArgs,
    deadline: Option<Instant>,
    termination: &mut Termination,
    log: &Log,
) -> anyhow::Result<()> {
    let log_file = log.to_file()?;
    let result = run(session, steering, arguments, deadline, termination).await;
    log.to_standard_error();
    if let Ok(Some(message)) = &result {
        say(message);
    }
    if let Some(path) = log_file {
        eprintln!("memtrace: the log is in {}", path.display());
    }
    result.map(drop)
}

/// Returns what is left to say when the view is gone.
async fn run(
    session: &mut Session,
    steering: &mut Steering,
    arguments: RankingArgs,
    deadline: Option<Instant>,
    termination: &mut Termination,
) -> anyhow::Result<Option<String>> {
    let mut guard = terminal::enter()?;
    let sort = Order::from(arguments.sort);
    let mut app = App::new(sort, SiteNamer::default(), Theme::from_env(), guard.size()?);
    let mut events = EventStream::new();
    let mut source = None;
    let mut look = Look::default();
    loop {
        guard.draw(|frame| view::render(frame, &app))?;
        let wanted = app.wanted_locations();
        if source.is_none() {
            source = app.wanted_source().map(read_source);
        }
        look.begin(session, &app);
        let outcome = tokio::select! {
            biased;
            event = events.next() => {
                // The terminal is gone: so is whoever looked at it.
                let Some(Ok(event)) = event else { return Ok(None) };
                match keys::action_for_event(&event, app.input()).and_then(|action| app.apply(action)) {
                    Some(Request::Quit) => return Ok(None),
                    Some(Request::Suspend) => guard.suspend()?,
                    Some(Request::Redraw) => guard.clear()?,
                    Some(Request::Ask(wish)) => fulfil(wish, session, steering, &mut app),
                    Some(Request::Export) => export(&mut app),
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
            text = finished(source.as_mut()) => {
                source = None;
                app.set_source(text);
                Outcome::Nothing
            }
            (asked, blocks) = look.finished() => {
                app.set_blocks(asked, blocks);
                Outcome::Nothing
            }
            update = session.next(&wanted) => {
                match update? {
                    Update::Budget { message, ends: true } => return Ok(Some(message)),
                    update => take(&mut app, update, wanted),
                }
                Outcome::Nothing
            }
        };
        match outcome {
            Outcome::Nothing => {}
            Outcome::Say(message) => app.set_message(message),
            Outcome::Stop => return Ok(None),
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

fn take(app: &mut App, update: Update, wanted: BTreeSet<Location>) {
    match update {
        Update::Reading { profile, symbols } => app.update(Reading { profile, symbols }),
        Update::Symbols(symbols) => app.update_symbols(symbols, wanted),
        Update::Exec => {
            app.forget();
            app.set_message("the process runs another program now: what the old one held is gone");
        }
        Update::Cleared => {
            app.forget();
            app.set_message("cleared: only what is allocated from here on counts");
        }
        Update::PeakReset => app.set_message("the peak is that of what is live from here on"),
        Update::Budget { message, .. } => app.set_message(message),
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
