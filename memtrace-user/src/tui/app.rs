//! Everything the live view shows, and how it changes. Knows no terminal.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    action::{Action, Request, Turn, Wish},
    columns::{COLUMNS, ERROR},
    detail::Detail,
    flame::{Flame, Measure},
    heading::Order,
    history::Series,
    keys::Input,
    marks::MOST as MOST_MARKS,
    reading::Reading,
    table::Table,
    theme::Theme,
    view::layout::Areas,
};
use crate::{
    profile::{
        AllocStats, BlockSummary, Coverage, Domain, Location, ProcessInfo, Profile, SiteNamer, SymbolTable,
        main_domain, sum_of_domain,
    },
    report,
};

/// What fills the screen below the header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum View {
    /// The ranked groups, and the heaviest stack of the selected one.
    #[default]
    Table,
    /// One group.
    Detail,
    /// All stacks as a picture.
    Flame,
    /// What has grown between marks.
    Generations,
}

/// A row that is selected, and the first one that is seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) at: usize,
    pub(super) first: usize,
}

/// State of the live view.
#[derive(Debug)]
pub struct App {
    pub(super) shown: Option<Reading>,
    /// The process, and what is being done, until there is a first reading.
    pub(super) starting: Option<(ProcessInfo, &'static str)>,
    /// How much of what is shown has whole stacks: all stacks are looked at for it.
    pub(super) coverage: Coverage,
    /// What other layers of memory hold.
    pub(super) beside: Option<String>,
    /// What the program has mapped, where mappings alone are recorded.
    pub(super) mapped: Option<AllocStats>,
    /// The newest reading while paused.
    held_back: Option<Reading>,
    pub(super) paused: bool,
    /// First line of the help, while it is shown.
    pub(super) help: Option<usize>,
    pub(super) message: Option<String>,
    /// What the user has been asked to confirm.
    asked: Option<Wish>,
    pub(super) theme: Theme,
    pub(super) view: View,
    pub(super) table: Table,
    pub(super) detail: Detail,
    pub(super) flame: Flame,
    /// Live bytes over the session, also while paused.
    pub(super) history: Series,
    /// A filter is being typed.
    pub(super) typing: bool,
    pub(super) cursor: Cursor,
    /// The selection stays at its row when the order changes; until it is moved it stays at the first place.
    pub(super) follows_row: bool,
    /// The row selected in the generations.
    pub(super) growth_cursor: Cursor,
    pub(super) size: (u16, u16),
    /// What the live blocks that are looked at are like; how often something else has been looked at.
    pub(super) blocks: Option<BlockSummary>,
    pub(super) looks: u64,
    /// Blocks of each group that were allocated between the compared marks and still live.
    pub(super) survivors: Vec<u64>,
    /// Raised with all that groups and their numbers follow from.
    version: u64,
    /// What the parts that are dear to make were made of.
    made_of: Option<MadeOf>,
}

/// What the members of the selected group, and the view's own picture of them, follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MadeOf {
    version: u64,
    view: View,
    group: Option<u32>,
    measure: Measure,
    compared: (usize, usize),
    marks: u32,
}

impl App {
    /// A view that waits for its first reading, on a terminal of so many columns and lines.
    #[must_use]
    pub fn new(sort: Order, namer: SiteNamer, theme: Theme, size: (u16, u16)) -> Self {
        Self {
            shown: None,
            starting: None,
            coverage: Coverage::default(),
            beside: None,
            mapped: None,
            held_back: None,
            paused: false,
            help: None,
            message: None,
            asked: None,
            theme,
            view: View::Table,
            table: Table::new(sort, namer),
            detail: Detail::default(),
            flame: Flame::default(),
            history: Series::default(),
            typing: false,
            cursor: Cursor::default(),
            follows_row: false,
            growth_cursor: Cursor::default(),
            size,
            blocks: None,
            looks: 0,
            survivors: Vec::new(),
            version: 0,
            made_of: None,
        }
    }

    /// Shows a process that is about to be traced.
    pub fn begin(&mut self, process: ProcessInfo) {
        self.starting = Some((process, ""));
    }

    /// Says what is being done until the first reading.
    pub const fn set_doing(&mut self, doing: &'static str) {
        if let Some((_, said)) = &mut self.starting {
            *said = doing;
        }
    }

    /// Shows a new reading, or keeps it for later while paused.
    pub fn update(&mut self, reading: Reading) {
        let live =
            mapped_alone(&reading.profile).map_or(reading.profile.totals.current_bytes, |mapped| mapped.live_bytes());
        self.history.push(live);
        if self.paused {
            self.held_back = Some(reading);
        } else {
            self.show(reading);
        }
    }

    /// Takes lines and inlined functions that were looked up for locations that [`Self::wanted_locations`] gave.
    pub fn update_symbols(&mut self, symbols: Arc<SymbolTable>, asked: &BTreeSet<Location>) {
        if let Some(held_back) = &mut self.held_back {
            held_back.symbols = Arc::clone(&symbols);
        }
        let Some(shown) = &mut self.shown else { return };
        shown.symbols = symbols;
        self.keeping_selection(|app| {
            if let Some(shown) = &app.shown {
                app.table.lines_known(asked, shown);
                app.table.rename_tree(app.flame.tree_mut(), asked, shown);
            }
        });
        self.look_closer();
    }

    /// What was recorded is gone: it was cleared, or the process runs another program.
    pub fn forget(&mut self) {
        self.held_back = None;
        // Nothing is left to be held.
        self.paused = false;
        self.table.forget();
        self.flame.forget();
        self.history = Series::default();
        self.version += 1;
        self.look_elsewhere();
        self.detail.begin();
        self.cursor = Cursor::default();
        self.follows_row = false;
    }

    /// Id of the process that is shown.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.shown.as_ref().map(|shown| shown.profile.process.pid)
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
        let mut asked = None;
        if !matches!(action, Action::Resize { .. }) {
            self.message = None;
            asked = self.asked.take();
        }
        match action {
            Action::Quit => return Some(Request::Quit),
            Action::Suspend => return Some(Request::Suspend),
            Action::Redraw => return Some(Request::Redraw),
            Action::Snapshot => return Some(Request::Ask(Wish::Snapshot)),
            Action::ResetPeak => return Some(Request::Ask(Wish::ResetPeak)),
            Action::Clear if asked == Some(Wish::Clear) => return Some(Request::Ask(Wish::Clear)),
            Action::Clear => {
                self.asked = Some(Wish::Clear);
                self.set_message("c again forgets what was recorded; any other key does not");
            }
            Action::Export => return self.shown.is_some().then_some(Request::Export),
            Action::Sort(order) => self.sort_by(order),
            Action::SortNext(turn) => self.sort_by(self.next_order(turn)),
            Action::Reverse => self.keeping_selection(|app| {
                app.table.reversed = !app.table.reversed;
                app.table.rank();
            }),
            Action::Group(turn) => self.group(turn),
            Action::ToggleThreads => self.toggle_threads(),
            Action::NextDomain => self.show_next_domain(),
            Action::TogglePause => self.toggle_pause(),
            Action::ToggleHelp => self.help = if self.help.is_some() { None } else { Some(0) },
            Action::Select(step) => self.select(step),
            Action::Open => self.open(),
            Action::Back => self.back(),
            Action::Right => self.sideways(true),
            Action::Left => self.sideways(false),
            Action::Pane(turn) if self.view == View::Detail => self.detail.next_pane(turn.is_forward()),
            Action::Pane(_) => {}
            Action::ToggleFlame => self.toggle_view(View::Flame),
            Action::ToggleMeasure => self.flame.turn_measure(),
            Action::Mark => self.mark(),
            Action::ToggleGenerations => self.toggle_view(View::Generations),
            Action::From(turn) => self.table.marks.move_from(turn.is_forward()),
            Action::To(turn) => self.table.marks.move_to(turn.is_forward()),
            Action::Filter => self.typing = true,
            Action::EndFilter => self.typing = false,
            Action::Type(_) | Action::Erase | Action::EraseAll => self.filter(|filter| action.edit(filter)),
            Action::Click { column, line } => self.click(column, line),
            Action::Resize { width, height } => self.size = (width, height),
        }
        self.look_closer();
        None
    }

    /// The selected group.
    pub(super) fn selected_group(&self) -> Option<u32> {
        self.table.order().get(self.cursor.at).copied()
    }

    /// The order after or before. What is exact has no error to be sorted by.
    fn next_order(&self, turn: Turn) -> Order {
        let step = |order: Order| order.step_among(COLUMNS.len(), turn.is_forward());
        let next = step(self.table.sort);
        if next == Order::Column(ERROR) && !self.shows_estimates() { step(next) } else { next }
    }

    /// Whether numbers are estimates.
    pub(super) fn shows_estimates(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.profile.sample_bytes.is_some())
    }

    pub(super) fn sort_by(&mut self, order: Order) {
        let same = order == self.table.sort;
        self.keeping_selection(|app| {
            app.table.reversed = same && !app.table.reversed;
            app.table.sort = order;
            app.table.rank();
        });
    }

    fn toggle_pause(&mut self) {
        self.paused = !self.paused;
        if let Some(reading) = self.held_back.take() {
            self.show(reading);
        }
    }

    fn toggle_view(&mut self, view: View) {
        self.help = None;
        self.view = if self.view == view { View::Table } else { view };
    }

    fn show(&mut self, reading: Reading) {
        self.coverage = reading.profile.coverage();
        self.mapped = mapped_alone(&reading.profile);
        self.beside = report::header::beside(&reading.profile.samples).map(|(_, text)| text);
        self.keeping_selection(|app| app.table.read(&reading));
        self.shown = Some(reading);
        self.starting = None;
        self.look_closer();
    }

    fn mark(&mut self) {
        if self.shown.is_none() {
            return;
        }
        let mut number = 0;
        self.keeping_selection(|app| number = app.table.mark());
        let gone = if self.table.marks.all().len() == MOST_MARKS { "; only the last dozen is kept" } else { "" };
        self.message = Some(format!("mark {number}: ΔMark counts from here; G shows what grows{gone}"));
    }

    pub(super) fn filter(&mut self, change: impl FnOnce(&mut String)) {
        let mut filter = self.table.filter().to_owned();
        change(&mut filter);
        self.keeping_selection(|app| app.table.set_filter(filter));
    }

    /// Does something that changes the order; the selection stays at its row, or at the first place.
    pub(super) fn keeping_selection(&mut self, change: impl FnOnce(&mut Self)) {
        let stack = self.selected_group().and_then(|group| self.table.any_stack(group));
        change(self);
        self.version += 1;
        let group = stack.filter(|_| self.follows_row).and_then(|stack| self.table.group_of(stack));
        let place = group.and_then(|group| self.table.order().iter().position(|other| *other == group));
        let last = self.table.order().len().saturating_sub(1);
        self.cursor.at = if self.follows_row { place.unwrap_or(self.cursor.at).min(last) } else { 0 };
    }

    /// Brings what the view shows of the selection up to date, and what is seen to where the selection is.
    fn look_closer(&mut self) {
        let made_of = MadeOf {
            version: self.version,
            view: self.view,
            group: self.selected_group(),
            measure: self.flame.measure,
            compared: self.table.marks.compared(),
            marks: self.table.marks.count(),
        };
        if self.made_of != Some(made_of) {
            let before = self.made_of.replace(made_of);
            if before.is_none_or(|before| (before.view, before.marks) != (made_of.view, made_of.marks)) {
                self.look_elsewhere();
            }
            self.make();
            self.survivors = self.find_survivors();
        }
        let rows = self.rows();
        self.cursor.first = visible_from(self.cursor.first, self.cursor.at, self.table.order().len(), rows);
        let grown = self.table.growth.len();
        let cursor = &mut self.growth_cursor;
        cursor.at = cursor.at.min(grown.saturating_sub(1));
        cursor.first = visible_from(cursor.first, cursor.at, grown, rows);
    }

    fn make(&mut self) {
        self.detail.members = self.selected_group().map(|group| self.table.members(group)).unwrap_or_default();
        let Some(shown) = &self.shown else { return };
        match self.view {
            View::Detail => self.detail.make_tree(&self.table, shown),
            View::Flame => self.flame.make(&mut self.table, shown),
            View::Generations => self.table.find_growth(),
            View::Table => {}
        }
    }

    /// Rows that the view has room for.
    pub(super) fn rows(&self) -> usize {
        Areas::of_size(self.size, self).rows()
    }
}

/// First visible row: near `offset`, with `selected` visible, and no space below the last row that rows could fill.
pub(super) fn visible_from(offset: usize, selected: usize, count: usize, rows: usize) -> usize {
    let lowest = (selected + 1).saturating_sub(rows.max(1));
    let highest = selected.min(count.saturating_sub(rows)).max(lowest);
    offset.clamp(lowest, highest)
}

/// What the program has mapped, where there is no block beside it: a process's totals are of blocks.
fn mapped_alone(profile: &Profile) -> Option<AllocStats> {
    let samples = &profile.samples;
    (main_domain(samples) == Domain::Mmap).then(|| sum_of_domain(samples, Domain::Mmap))
}
