//! The loop around the live view: keys, readings, signals, the deadline.

use std::{collections::BTreeSet, future::pending};

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    live_export,
    live_look::Look,
    logging::{Log, LogAside},
    signals::{Caught, Termination},
    steering::{Outcome, Steering},
    timing::Deadline,
};
use crate::{
    cli::RankingArgs,
    profile::{Location, SiteNamer},
    report::source_text,
    session::{AttachStep, Attachment, Session, Update},
    tui::{
        App, KEYS, Order, Reading, Request, SourceText, Theme, Wish,
        terminal::{self, TerminalGuard},
        view,
    },
};

/// Lines of source that are shown before and after the one that is meant.
const LINES_BESIDE: u32 = 12;

/// The live view on the terminal, until dropped.
#[derive(Debug)]
pub struct Screen<'a> {
    // First of all the terminal is given back.
    guard: TerminalGuard,
    app: App,
    events: EventStream,
    _log: Option<LogAside<'a>>,
}

/// What whoever looks at the screen wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressed {
    /// To stay.
    Nothing,
    /// To leave, or the terminal is gone.
    Leave,
    /// Something of the session.
    Ask(Wish),
}

impl<'a> Screen<'a> {
    /// Takes over the terminal. The log goes elsewhere meanwhile.
    ///
    /// # Errors
    /// When the terminal or the log fails.
    pub fn open(arguments: RankingArgs, log: &'a Log) -> anyhow::Result<Self> {
        let aside = log.aside()?;
        let guard = terminal::enter()?;
        let sort = Order::from(arguments.sort);
        let app = App::new(sort, SiteNamer::default(), Theme::from_env(), guard.size()?);
        Ok(Self { guard, app, events: EventStream::new(), _log: aside })
    }

    /// Attaches to a process, and says on the screen what is being done. `None` when the user leaves before it is done.
    ///
    /// # Errors
    /// When the process cannot be traced, or the terminal fails.
    pub async fn attach(
        &mut self,
        attachment: Attachment,
        termination: &mut Termination,
    ) -> anyhow::Result<Option<Session>> {
        self.app.begin(attachment.process());
        let (tell, mut told) = watch::channel(AttachStep::Searching);
        let work = move || {
            attachment.attach(|step| {
                tell.send_replace(step);
            })
        };
        let mut work = tokio::task::spawn_blocking(work);
        loop {
            self.app.set_doing(told.borrow_and_update().meaning());
            self.draw()?;
            tokio::select! {
                biased;
                event = self.events.next() => match self.press(event)? {
                    Pressed::Nothing => {}
                    Pressed::Leave => return Ok(None),
                    Pressed::Ask(_) => self.app.set_message("nothing is recorded yet"),
                },
                signal = termination.next() => match signal {
                    Caught::End => return Ok(None),
                    Caught::Continued => self.guard.resume()?,
                    Caught::Snapshot => self.app.set_message("nothing is recorded yet"),
                },
                done = &mut work => {
                    self.app.set_doing("reading symbols");
                    return Ok(Some(done??));
                }
                Ok(()) = told.changed() => {}
            }
        }
    }

    /// Shows the session until the user leaves it, a signal ends memtrace, or the deadline comes. When the process ends,
    /// its last state stays on the screen. Returns what is left to say when the view is gone.
    ///
    /// # Errors
    /// When the terminal fails.
    pub async fn show(
        &mut self,
        session: &mut Session,
        steering: &mut Steering,
        deadline: Deadline,
        termination: &mut Termination,
    ) -> anyhow::Result<Option<String>> {
        let mut source = None;
        let mut look = Look::default();
        loop {
            self.draw()?;
            let wanted = self.app.wanted_locations();
            if source.is_none() {
                source = self.app.wanted_source().map(read_source);
            }
            look.begin(session, &self.app);
            let mut outcome = Outcome::Nothing;
            tokio::select! {
                biased;
                event = self.events.next() => match self.press(event)? {
                    Pressed::Nothing => {}
                    Pressed::Leave => return Ok(None),
                    Pressed::Ask(wish) => fulfil(wish, session, steering, &mut self.app),
                },
                signal = termination.next() => match signal {
                    Caught::End => return Ok(None),
                    Caught::Continued => self.guard.resume()?,
                    Caught::Snapshot => outcome = steering.take(session),
                },
                () = deadline.reached() => return Ok(None),
                steer = steering.next() => outcome = steering.handle(steer, session),
                text = finished(source.as_mut()) => {
                    source = None;
                    self.app.set_source(text);
                }
                (asked, blocks) = look.finished() => self.app.set_blocks(asked, blocks),
                update = session.next(&wanted) => match update? {
                    Update::Budget { message, ends: true } => return Ok(Some(message)),
                    update => take(&mut self.app, update, &wanted),
                },
            }
            match outcome {
                Outcome::Nothing => {}
                Outcome::Say(message) => self.app.set_message(message),
                Outcome::Stop => return Ok(None),
            }
        }
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let app = &self.app;
        Ok(self.guard.draw(|frame| view::render(frame, app))?)
    }

    fn press(&mut self, event: Option<std::io::Result<Event>>) -> anyhow::Result<Pressed> {
        // Without one the terminal is gone: so is whoever looked at it.
        let Some(Ok(event)) = event else { return Ok(Pressed::Leave) };
        match KEYS.action_for_event(&event, self.app.input()).and_then(|action| self.app.apply(action)) {
            Some(Request::Quit) => return Ok(Pressed::Leave),
            Some(Request::Suspend) => self.guard.suspend()?,
            Some(Request::Redraw) => self.guard.clear()?,
            Some(Request::Ask(wish)) => return Ok(Pressed::Ask(wish)),
            Some(Request::Export) => live_export::export(&mut self.app),
            None => {}
        }
        Ok(Pressed::Nothing)
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

fn take(app: &mut App, update: Update, wanted: &BTreeSet<Location>) {
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
