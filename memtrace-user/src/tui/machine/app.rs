//! Everything the table of processes shows, and how it changes. Knows no terminal.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    columns::{COLUMNS, column_of},
    view,
};
use crate::{
    profile::{
        Location, Machine, MachineProcess, ProcessKey, ProcessOrder, Profile, Ranking, RankingOptions, SiteNamer,
        SymbolTable,
    },
    tui::{
        action::{Action, Move, Request},
        app::{Cursor, visible_from},
        heading::Order,
        keys::Input,
        theme::Theme,
    },
};

/// Most call sites of the selected process that are kept for showing.
const MOST_SITES: usize = 50;

/// The largest call sites of a process.
#[derive(Debug)]
pub(super) struct Sites {
    pub(super) key: ProcessKey,
    pub(super) profile: Arc<Profile>,
    pub(super) ranking: Ranking,
    pub(super) symbols: Arc<SymbolTable>,
}

/// State of the table of processes.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the screen")]
pub struct MachineApp {
    pub(super) shown: Option<Arc<Machine>>,
    /// The newest reading while paused.
    held_back: Option<Arc<Machine>>,
    pub(super) paused: bool,
    /// First line of the help, while it is shown.
    pub(super) help: Option<usize>,
    pub(super) message: Option<String>,
    pub(super) theme: Theme,
    pub(super) sort: Order,
    pub(super) reversed: bool,
    pub(super) filter: String,
    pub(super) typing: bool,
    /// Indices of the processes, in order.
    pub(super) order: Vec<usize>,
    pub(super) cursor: Cursor,
    /// The selection stays at its process when the order changes; until it is moved it stays at the first place.
    follows_row: bool,
    pub(super) sites: Option<Sites>,
    namer: SiteNamer,
    pub(super) size: (u16, u16),
    /// The process whose own view is wanted.
    opened: Option<ProcessKey>,
}

impl MachineApp {
    /// A table that waits for its first reading, on a terminal of so many columns and lines.
    #[must_use]
    pub fn new(order: ProcessOrder, theme: Theme, size: (u16, u16)) -> Self {
        Self {
            shown: None,
            held_back: None,
            paused: false,
            help: None,
            message: None,
            theme,
            sort: column_of(order),
            reversed: false,
            filter: String::new(),
            typing: false,
            order: Vec::new(),
            cursor: Cursor::default(),
            follows_row: false,
            sites: None,
            namer: SiteNamer::default(),
            size,
            opened: None,
        }
    }

    /// Shows a new reading, or keeps it for later while paused.
    pub fn update(&mut self, machine: Arc<Machine>) {
        if self.paused {
            self.held_back = Some(machine);
        } else {
            self.keeping_selection(|app| app.shown = Some(machine));
        }
    }

    /// Takes the call stacks of the process that [`Self::wanted_process`] gave.
    pub fn update_sites(&mut self, key: ProcessKey, profile: Arc<Profile>, symbols: Arc<SymbolTable>) {
        let options = RankingOptions { top: Some(MOST_SITES), ..RankingOptions::default() };
        let ranking = Ranking::of(&profile, &symbols, &self.namer, &options);
        self.sites = Some(Sites { key, profile, ranking, symbols });
    }

    /// Takes lines of [`Self::wanted_locations`].
    pub fn update_symbols(&mut self, symbols: Arc<SymbolTable>) {
        if let Some(sites) = &mut self.sites {
            sites.symbols = symbols;
        }
    }

    /// The process whose call sites are shown below the table.
    #[must_use]
    pub fn wanted_process(&self) -> Option<ProcessKey> {
        self.selected().map(|process| process.key)
    }

    /// Locations whose lines are shown.
    #[must_use]
    pub fn wanted_locations(&self) -> BTreeSet<Location> {
        let room = view::site_rows(self);
        let sites = self.sites_of_selected().map(|sites| &sites.ranking.sites[..]).unwrap_or_default();
        sites.iter().take(room).filter_map(|site| site.location).collect()
    }

    /// The process whose own view is to be shown, once.
    pub const fn take_opened(&mut self) -> Option<ProcessKey> {
        self.opened.take()
    }

    /// Whether a process still runs, by the newest reading.
    #[must_use]
    pub fn runs(&self, key: ProcessKey) -> bool {
        let newest = self.held_back.as_ref().or(self.shown.as_ref());
        newest.is_none_or(|machine| machine.processes.iter().any(|process| process.key == key))
    }

    /// Says something on the last line, until the next key.
    pub fn set_message(&mut self, message: impl Into<String>) {
        self.message = Some(message.into());
    }

    /// Whether keys are commands or text.
    #[must_use]
    pub const fn input(&self) -> Input {
        if self.typing { Input::Text } else { Input::Commands }
    }

    /// Changes the state; tells what the loop has to do, if anything.
    pub fn apply(&mut self, action: Action) -> Option<Request> {
        if !matches!(action, Action::Resize { .. }) {
            self.message = None;
        }
        match action {
            Action::Quit => return Some(Request::Quit),
            Action::Suspend => return Some(Request::Suspend),
            Action::Redraw => return Some(Request::Redraw),
            Action::Sort(order) => self.sort_by(order),
            Action::SortNext(turn) => self.sort_by(self.sort.step_among(COLUMNS.len(), turn.is_forward())),
            Action::Reverse => self.keeping_selection(|app| app.reversed = !app.reversed),
            Action::TogglePause => self.toggle_pause(),
            Action::ToggleHelp => self.help = if self.help.is_some() { None } else { Some(0) },
            Action::Select(step) => self.select(step),
            Action::Open if self.help.is_none() => self.opened = self.wanted_process(),
            Action::Back => self.back(),
            Action::Filter => self.typing = true,
            Action::EndFilter => self.typing = false,
            Action::Type(_) | Action::Erase | Action::EraseAll => {
                self.keeping_selection(|app| action.edit(&mut app.filter));
            }
            Action::Click { column, line } => self.click(column, line),
            Action::Resize { width, height } => self.size = (width, height),
            // What only the view of one process has.
            _ => {}
        }
        self.scroll();
        None
    }

    /// The selected process.
    pub(super) fn selected(&self) -> Option<&MachineProcess> {
        self.process(self.cursor.at)
    }

    /// The process at a place of the order.
    pub(super) fn process(&self, place: usize) -> Option<&MachineProcess> {
        self.shown.as_ref()?.processes.get(*self.order.get(place)?)
    }

    /// The call sites of the selected process, if they are known.
    pub(super) fn sites_of_selected(&self) -> Option<&Sites> {
        let selected = self.wanted_process()?;
        self.sites.as_ref().filter(|sites| sites.key == selected)
    }

    fn sort_by(&mut self, order: Order) {
        self.keeping_selection(|app| {
            app.reversed = order == app.sort && !app.reversed;
            app.sort = order;
        });
    }

    fn toggle_pause(&mut self) {
        self.paused = !self.paused;
        if let Some(machine) = self.held_back.take() {
            self.update(machine);
        }
    }

    fn select(&mut self, step: Move) {
        let page = view::rows(self);
        if let Some(first) = &mut self.help {
            *first = step.from(*first, page, view::help_lines());
            return;
        }
        self.cursor.at = step.from(self.cursor.at, page, self.order.len());
        self.follows_row = step != Move::First;
    }

    fn back(&mut self) {
        if self.help.take().is_none() {
            self.typing = false;
            self.keeping_selection(|app| app.filter.clear());
        }
    }

    fn click(&mut self, column: u16, line: u16) {
        if self.help.take().is_some() {
            return;
        }
        match view::at(self, (column, line)) {
            Some(view::Hit::Title(order)) => self.sort_by(order),
            Some(view::Hit::Row(row)) if row == self.cursor.at => self.opened = self.wanted_process(),
            Some(view::Hit::Row(row)) => {
                self.cursor.at = row;
                self.follows_row = true;
            }
            None => {}
        }
    }

    /// Does something that changes the order; the selection stays at its process, or at the first place.
    fn keeping_selection(&mut self, change: impl FnOnce(&mut Self)) {
        let selected = self.wanted_process().filter(|_| self.follows_row);
        change(self);
        self.rank();
        let place = selected.and_then(|key| {
            let machine = self.shown.as_ref()?;
            self.order.iter().position(|index| machine.processes[*index].key == key)
        });
        let last = self.order.len().saturating_sub(1);
        self.cursor.at = if self.follows_row { place.unwrap_or(self.cursor.at).min(last) } else { 0 };
        self.scroll();
    }

    fn rank(&mut self) {
        let Some(machine) = &self.shown else { return };
        let filter = self.filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&filter);
        let processes = &machine.processes;
        let is_shown = |index: &usize| {
            let process = &processes[*index];
            filter.is_empty()
                || has(&process.command)
                || has(&process.user)
                || has(&process.pid.to_string())
                || process.container.as_deref().is_some_and(has)
        };
        let mut order: Vec<usize> = (0..processes.len()).filter(is_shown).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&processes[*a], &processes[*b]);
            let by_value = match self.sort {
                Order::Column(index) => COLUMNS[index.min(COLUMNS.len() - 1)].order.compare(a, b),
                Order::Name => a.command.cmp(&b.command),
            };
            let by_value = if self.reversed { by_value.reverse() } else { by_value };
            by_value.then_with(|| a.key.cmp(&b.key))
        });
        self.order = order;
    }

    fn scroll(&mut self) {
        let rows = view::rows(self);
        self.cursor.first = visible_from(self.cursor.first, self.cursor.at, self.order.len(), rows);
    }
}
