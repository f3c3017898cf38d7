//! Everything the live view shows, and how it changes. Knows no terminal.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    action::{Action, Move, Request, Turn, Wish},
    columns::Order,
    detail::{Detail, Pane, SourceText},
    flame::{Flame, Measure, Step},
    history::Series,
    keys::Input,
    marks::MOST as MOST_MARKS,
    table::Table,
    theme::Theme,
    view::{
        hit::{self, Hit},
        layout::Areas,
    },
};
use crate::profile::{BlockQuery, BlockSummary, GroupBy, Location, Profile, SiteNamer, SymbolTable, TracedThread};

/// One reading of the process with the names known so far.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What was read.
    pub profile: Arc<Profile>,
    /// Names of its locations.
    pub symbols: Arc<SymbolTable>,
}

impl Reading {
    /// The threads that are told apart.
    pub(super) fn threads(&self) -> &[TracedThread] {
        &self.profile.threads
    }
}

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
    follows_row: bool,
    /// The row selected in the generations.
    pub(super) growth_cursor: Cursor,
    size: (u16, u16),
    /// What the live blocks that are looked at are like; how often something else has been looked at.
    pub(super) blocks: Option<BlockSummary>,
    looks: u64,
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

    /// Shows a new reading, or keeps it for later while paused.
    pub fn update(&mut self, reading: Reading) {
        self.history.push(reading.profile.totals.current_bytes);
        if self.paused {
            self.held_back = Some(reading);
        } else {
            self.show(reading);
        }
    }

    /// Takes lines and inlined functions that were looked up for locations that [`Self::wanted_locations`] gave.
    pub fn update_symbols(&mut self, symbols: Arc<SymbolTable>, asked: impl IntoIterator<Item = Location>) {
        if let Some(held_back) = &mut self.held_back {
            held_back.symbols = Arc::clone(&symbols);
        }
        if let Some(shown) = &mut self.shown {
            shown.symbols = symbols;
        }
        self.keeping_selection(|app| app.table.lines_known(asked, app.shown.as_ref()));
        self.look_closer();
    }

    /// What was recorded is gone: it was cleared, or the process runs another program.
    pub fn forget(&mut self) {
        self.held_back = None;
        self.table.forget();
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

    /// What is asked of the live blocks, if anything, and a number that is another whenever something else is looked at.
    #[must_use]
    pub fn wanted_blocks(&self) -> Option<(u64, BlockQuery)> {
        let moments = self.table.marks.moments();
        let stacks = match self.view {
            View::Detail => Some(self.table.ids(&self.detail.members)),
            View::Generations => None,
            View::Table | View::Flame => return None,
        };
        Some((self.looks, BlockQuery { stacks, moments }))
    }

    /// Whether nothing is known yet of the blocks that [`Self::wanted_blocks`] asks for.
    #[must_use]
    pub const fn lacks_blocks(&self) -> bool {
        self.blocks.is_none()
    }

    /// Takes in what the live blocks of [`Self::wanted_blocks`] are like.
    pub fn set_blocks(&mut self, asked: u64, blocks: BlockSummary) {
        if asked == self.looks {
            self.blocks = Some(blocks);
            self.survivors = self.find_survivors();
        }
    }

    fn find_survivors(&self) -> Vec<u64> {
        let blocks = self.blocks.as_ref().filter(|_| self.view == View::Generations);
        blocks.map(|blocks| self.table.survivors(&blocks.survivors)).unwrap_or_default()
    }

    /// Something else is looked at: what is known of blocks is of no use for it.
    fn look_elsewhere(&mut self) {
        self.looks += 1;
        self.blocks = None;
        self.survivors.clear();
    }

    /// The line whose source is asked for, as long as it is not known.
    #[must_use]
    pub fn wanted_source(&self) -> Option<(String, u32)> {
        if self.view != View::Detail || self.detail.pane != Pane::Source {
            return None;
        }
        let (file, line) = self.source_line()?;
        let is_known = self.detail.source.as_ref().is_some_and(|text| text.file == file && text.line == line);
        (!is_known).then_some((file, line))
    }

    /// Takes in the text around a line.
    pub fn set_source(&mut self, source: SourceText) {
        self.detail.source = Some(source);
    }

    /// Source line of the selected group.
    pub(super) fn source_line(&self) -> Option<(String, u32)> {
        let shown = self.shown.as_ref()?;
        let stack = self.table.stack(*self.detail.members.first()?).0;
        let source = self.table.namer.frame(stack.site?, &shown.symbols)?.source.as_ref()?;
        (source.line > 0).then(|| (source.file.to_string(), source.line))
    }

    /// The locations on the screen, whose lines are worth looking up, and some more whose rows may turn out to be one.
    #[must_use]
    pub fn wanted_locations(&mut self) -> BTreeSet<Location> {
        let rows = self.rows();
        let visible = self.table.order().iter().skip(self.cursor.first).take(rows);
        let heaviest = |group: &u32| self.table.any_stack(*group).and_then(|stack| self.table.stack(stack).0.site);
        let mut wanted: BTreeSet<Location> = visible.filter_map(heaviest).collect();
        let members = if self.view == View::Detail { 32 } else { 1 };
        for stack in self.detail.members.iter().take(members) {
            wanted.extend(self.table.stack(*stack).0.stack.iter().copied());
        }
        wanted.extend(self.table.without_lines());
        wanted
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
            Action::SortNext(turn) => self.sort_by(self.table.sort.step(turn.is_forward())),
            Action::Reverse => self.keeping_selection(|app| {
                app.table.reversed = !app.table.reversed;
                app.table.rank();
            }),
            Action::Group(turn) => self.group(turn),
            Action::ToggleThreads => self.toggle_threads(),
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
            Action::Type(character) => self.filter(|filter| filter.push(character)),
            Action::Erase => self.filter(|filter| {
                filter.pop();
            }),
            Action::EraseAll => self.filter(String::clear),
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

    fn sort_by(&mut self, order: Order) {
        let same = order == self.table.sort;
        self.keeping_selection(|app| {
            app.table.reversed = same && !app.table.reversed;
            app.table.sort = order;
            app.table.rank();
        });
    }

    fn group(&mut self, turn: Turn) {
        self.keeping_selection(|app| app.table.group_by_next(turn.is_forward(), app.shown.as_ref()));
        if self.table.by() == GroupBy::Thread && !self.table.knows_threads() {
            self.message = Some("threads are not told apart in this session".into());
        }
    }

    fn toggle_threads(&mut self) {
        if !self.table.knows_threads() {
            self.message = Some("threads are not told apart in this session".into());
            return;
        }
        let split = !self.table.splits_threads();
        self.keeping_selection(|app| app.table.set_split_threads(split, app.shown.as_ref()));
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
        self.keeping_selection(|app| app.table.read(&reading));
        self.shown = Some(reading);
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

    fn filter(&mut self, change: impl FnOnce(&mut String)) {
        let mut filter = self.table.filter().to_owned();
        change(&mut filter);
        self.keeping_selection(|app| app.table.set_filter(filter));
    }

    /// Does something that changes the order; the selection stays at its row, or at the first place.
    fn keeping_selection(&mut self, change: impl FnOnce(&mut Self)) {
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
            View::Flame => self.flame.make(&self.table, shown),
            View::Generations => self.table.find_growth(),
            View::Table => {}
        }
    }

    fn select(&mut self, step: Move) {
        let page = self.rows();
        if let Some(first) = &mut self.help {
            *first = step.from(*first, page, super::view::help::lines());
            return;
        }
        match self.view {
            View::Table => {
                self.cursor.at = step.from(self.cursor.at, page, self.table.order().len());
                self.follows_row = step != Move::First;
            }
            View::Detail => {
                let count = super::view::detail::count_lines(self);
                self.detail.at = step.from(self.detail.at, page, count);
            }
            View::Flame => self.flame.step(match step {
                Move::Up | Move::WheelUp | Move::PageUp | Move::First => Step::Out,
                _ => Step::In,
            }),
            View::Generations => {
                self.growth_cursor.at = step.from(self.growth_cursor.at, page, self.table.growth.len());
            }
        }
    }

    fn open(&mut self) {
        match self.view {
            _ if self.help.is_some() => {}
            View::Table if self.selected_group().is_some() => {
                self.follows_row = true;
                self.look_elsewhere();
                self.detail.begin();
                self.view = View::Detail;
            }
            View::Table => {}
            View::Detail => self.detail.turn(),
            View::Flame => self.flame.zoom_in(),
            View::Generations => self.open_grown(),
        }
    }

    /// From a row of the generations to its detail.
    fn open_grown(&mut self) {
        let Some(row) = self.table.growth.get(self.growth_cursor.at) else { return };
        let place = self.table.order().iter().position(|group| *group == row.group);
        if let Some(place) = place {
            self.cursor.at = place;
            self.follows_row = true;
            self.look_elsewhere();
            self.detail.begin();
            self.view = View::Detail;
        }
    }

    fn back(&mut self) {
        if self.help.take().is_some() {
            return;
        }
        match self.view {
            View::Flame if !self.typing && self.flame.zoom_out() => {}
            View::Table => {
                self.typing = false;
                self.filter(String::clear);
            }
            _ if self.typing => {
                self.typing = false;
                self.filter(String::clear);
            }
            _ => self.view = View::Table,
        }
    }

    fn sideways(&mut self, right: bool) {
        match self.view {
            View::Detail => self.detail.fold(right),
            View::Flame => self.flame.step(if right { Step::Right } else { Step::Left }),
            View::Table | View::Generations => {}
        }
    }

    fn click(&mut self, column: u16, line: u16) {
        if self.help.take().is_some() {
            return;
        }
        match hit::at(self, self.size, (column, line)) {
            Some(Hit::Title(order)) => self.sort_by(order),
            Some(Hit::Row(row)) if row == self.cursor.at => self.open(),
            Some(Hit::Row(row)) => {
                self.cursor.at = row;
                self.follows_row = true;
            }
            Some(Hit::TreeLine(line)) if line == self.detail.at => self.detail.turn(),
            Some(Hit::TreeLine(line)) => self.detail.at = line,
            Some(Hit::Growth(row)) if row == self.growth_cursor.at => self.open_grown(),
            Some(Hit::Growth(row)) => self.growth_cursor.at = row,
            Some(Hit::Flame(way)) => {
                if way == self.flame.selected_way() {
                    self.flame.zoom_in();
                }
                self.flame.select(&way);
            }
            None => {}
        }
    }

    /// Rows that the view has room for.
    fn rows(&self) -> usize {
        Areas::of_size(self.size, self).rows()
    }
}

/// First visible row: near `offset`, with `selected` visible, and no space below the last row that rows could fill.
pub(super) fn visible_from(offset: usize, selected: usize, count: usize, rows: usize) -> usize {
    let lowest = (selected + 1).saturating_sub(rows.max(1));
    let highest = selected.min(count.saturating_sub(rows)).max(lowest);
    offset.clamp(lowest, highest)
}
