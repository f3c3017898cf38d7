//! The loop around the live table of processes, and around the view of the one that is opened.

use std::{collections::BTreeSet, sync::Arc};

use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;

use super::super::{
    live_export,
    logging::Log,
    signals::{Caught, Termination},
    timing::Deadline,
};
use crate::{
    cli::TopArgs,
    profile::{Location, ProcessKey, SiteNamer, SortBy},
    session::{Everyone, MachineUpdate},
    tui::{
        Action, App, KEYS, MACHINE_KEYS, MachineApp, Reading, Request, Theme, machine_view, terminal,
        terminal::TerminalGuard, view,
    },
};

/// Shows the table until the user leaves it, a signal ends memtrace, or the deadline comes.
///
/// # Errors
/// When the terminal fails.
pub(super) async fn show(
    session: &mut Everyone,
    arguments: &TopArgs,
    deadline: Deadline,
    termination: &mut Termination,
    log: &Log,
) -> anyhow::Result<()> {
    // Before the guard, so that the terminal is given back first.
    let _aside = log.aside()?;
    let mut guard = terminal::enter()?;
    let theme = Theme::from_env();
    let mut screens =
        Screens { table: MachineApp::new(arguments.sort, theme, guard.size()?), opened: None, looked_at: None };
    let mut events = EventStream::new();
    loop {
        screens.draw(&mut guard)?;
        screens.look(session, false);
        let wanted = screens.wanted_locations();
        tokio::select! {
            biased;
            event = events.next() => {
                // The terminal is gone: so is whoever looked at it.
                let Some(Ok(event)) = event else { return Ok(()) };
                match screens.handle(&event) {
                    Some(Request::Quit) if screens.close() => {}
                    Some(Request::Quit) => return Ok(()),
                    Some(Request::Suspend) => guard.suspend()?,
                    Some(Request::Redraw) => guard.clear()?,
                    Some(Request::Export) => screens.export(),
                    Some(Request::Ask(_)) => screens.refuse(),
                    None => screens.open(theme, guard.size()?),
                }
            }
            signal = termination.next() => match signal {
                Caught::End => return Ok(()),
                Caught::Continued => guard.resume()?,
                Caught::Snapshot => screens.refuse(),
            },
            () = deadline.reached() => return Ok(()),
            update = session.next(&wanted) => screens.take(update?, session),
        }
    }
}

/// The table, and the view of the process that is opened from it.
struct Screens {
    table: MachineApp,
    opened: Option<(ProcessKey, App)>,
    /// The process whose call stacks have been asked for since the last reading.
    looked_at: Option<ProcessKey>,
}

impl Screens {
    fn draw(&self, guard: &mut TerminalGuard) -> anyhow::Result<()> {
        guard.draw(|frame| match &self.opened {
            Some((_, app)) => view::render(frame, app),
            None => machine_view::render(frame, &self.table),
        })?;
        Ok(())
    }

    fn handle(&mut self, event: &Event) -> Option<Request> {
        match &mut self.opened {
            Some((_, app)) => {
                if let Event::Resize(width, height) = event {
                    self.table.apply(Action::Resize { width: *width, height: *height });
                }
                KEYS.action_for_event(event, app.input()).and_then(|action| app.apply(action))
            }
            None => {
                MACHINE_KEYS.action_for_event(event, self.table.input()).and_then(|action| self.table.apply(action))
            }
        }
    }

    /// Opens the process that has been asked for.
    fn open(&mut self, theme: Theme, size: (u16, u16)) {
        if let Some(key) = self.table.take_opened() {
            self.opened = Some((key, App::new(SortBy::default().into(), SiteNamer::default(), theme, size)));
            self.looked_at = None;
        }
    }

    /// From a process back to the table; `false` when the table is shown.
    fn close(&mut self) -> bool {
        self.looked_at = None;
        self.opened.take().is_some()
    }

    /// Asks for the call stacks of what is shown; `anew` after each reading.
    fn look(&mut self, session: &mut Everyone, anew: bool) {
        let key = match &self.opened {
            Some((key, _)) => Some(*key),
            None => self.table.wanted_process(),
        };
        if let Some(key) = key.filter(|key| anew || self.looked_at != Some(*key)) {
            session.look_at(&[key]);
            self.looked_at = Some(key);
        }
    }

    fn wanted_locations(&mut self) -> BTreeSet<Location> {
        match &mut self.opened {
            Some((_, app)) => app.wanted_locations(),
            None => self.table.wanted_locations(),
        }
    }

    fn take(&mut self, update: MachineUpdate, session: &mut Everyone) {
        match update {
            MachineUpdate::Reading(machine) => {
                self.table.update(machine);
                self.look(session, true);
                if let Some((key, app)) = &mut self.opened
                    && !self.table.runs(*key)
                {
                    app.set_message("the process has ended; q goes back to the table");
                }
            }
            MachineUpdate::Stacks { profiles, symbols } => {
                for (key, profile) in profiles {
                    match &mut self.opened {
                        Some((opened, app)) if *opened == key => {
                            app.update(Reading { profile, symbols: Arc::clone(&symbols) });
                        }
                        _ => self.table.update_sites(key, profile, Arc::clone(&symbols)),
                    }
                }
            }
            MachineUpdate::Renumbered => {
                if let Some((_, app)) = &mut self.opened {
                    app.forget();
                }
                self.looked_at = None;
            }
            MachineUpdate::Lines { symbols, asked } => {
                self.table.update_symbols(Arc::clone(&symbols));
                if let Some((_, app)) = &mut self.opened {
                    app.update_symbols(symbols, &asked);
                }
            }
        }
    }

    fn export(&mut self) {
        if let Some((_, app)) = &mut self.opened {
            live_export::export(app);
        }
    }

    /// Says that something cannot be done here.
    fn refuse(&mut self) {
        const REASON: &str = "not while all processes are traced: use `memtrace attach --pid PID` for this";
        match &mut self.opened {
            Some((_, app)) => app.set_message(REASON),
            None => self.table.set_message(REASON),
        }
    }
}
