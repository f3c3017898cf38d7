//! Everything the live view shows, and how it changes. Knows no terminal.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    action::{Action, Move, Request, Wish},
    theme::Theme,
    view::layout::Areas,
};
use crate::profile::{Location, Profile, Ranking, RankingOptions, Site, SiteNamer, SortBy, SymbolTable};

/// One reading of the process with the names known so far.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What was read.
    pub profile: Arc<Profile>,
    /// Names of its locations.
    pub symbols: Arc<SymbolTable>,
}

/// A reading and its ranking, as shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) reading: Reading,
    pub(super) ranking: Ranking,
}

/// State of the live view.
#[derive(Debug)]
pub struct App {
    pub(super) shown: Option<Shown>,
    /// The newest reading while paused.
    held_back: Option<Reading>,
    pub(super) sort: SortBy,
    pub(super) paused: bool,
    pub(super) help: bool,
    pub(super) message: Option<String>,
    /// What the user has been asked to confirm.
    asked: Option<Wish>,
    pub(super) theme: Theme,
    /// Index of the selected site; valid whenever there is any site.
    pub(super) selected: usize,
    /// The selection stays at its site when the order changes; until it is moved it stays at the first place.
    follows_site: bool,
    /// Index of the first site on the screen.
    pub(super) offset: usize,
    size: (u16, u16),
    namer: SiteNamer,
}

impl App {
    /// A view that waits for its first reading, on a terminal of so many columns and lines.
    #[must_use]
    pub fn new(sort: SortBy, namer: SiteNamer, theme: Theme, size: (u16, u16)) -> Self {
        Self {
            shown: None,
            held_back: None,
            sort,
            paused: false,
            help: false,
            message: None,
            asked: None,
            theme,
            selected: 0,
            follows_site: false,
            offset: 0,
            size,
            namer,
        }
    }

    /// Shows a new reading, or keeps it for later while paused.
    pub fn update(&mut self, reading: Reading) {
        if self.paused {
            self.held_back = Some(reading);
        } else {
            self.show(reading);
        }
    }

    /// Takes lines and inlined functions that were looked up for what is shown. Sites and their order stay: they hang
    /// on the names of physical functions, which must come with the reading.
    pub fn update_symbols(&mut self, symbols: Arc<SymbolTable>) {
        if let Some(held_back) = &mut self.held_back {
            held_back.symbols = Arc::clone(&symbols);
        }
        if let Some(shown) = &mut self.shown {
            shown.reading.symbols = symbols;
        }
    }

    /// Says something on the last line, until the next key.
    pub fn set_message(&mut self, message: impl Into<String>) {
        self.message = Some(message.into());
    }

    /// The locations on the screen, whose lines are worth looking up: the visible sites and the selected one's stack.
    #[must_use]
    pub fn shown_locations(&self) -> BTreeSet<Location> {
        let visible = self.sites().iter().skip(self.offset).take(self.rows());
        let names = visible.filter_map(|site| site.location);
        names.chain(self.selected_site().into_iter().flat_map(Site::shown_locations)).collect()
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
            Action::Sort(sort) => self.sort_by(sort),
            Action::SortNext => self.sort_by(self.sort.next()),
            Action::SortPrevious => self.sort_by(self.sort.previous()),
            Action::TogglePause => self.toggle_pause(),
            Action::ToggleHelp => self.help = !self.help,
            Action::CloseHelp => self.help = false,
            Action::Select(step) => self.select(step),
            Action::Resize { width, height } => self.size = (width, height),
        }
        self.scroll();
        None
    }

    pub(super) fn sites(&self) -> &[Site] {
        self.shown.as_ref().map_or(&[], |shown| &shown.ranking.sites)
    }

    pub(super) fn selected_site(&self) -> Option<&Site> {
        self.sites().get(self.selected)
    }

    fn sort_by(&mut self, sort: SortBy) {
        self.sort = sort;
        if let Some(shown) = self.shown.take() {
            self.show(shown.reading);
        }
    }

    fn toggle_pause(&mut self) {
        self.paused = !self.paused;
        if let Some(reading) = self.held_back.take() {
            self.show(reading);
        }
    }

    fn show(&mut self, reading: Reading) {
        let site = self.selected_site().map(|site| site.location).filter(|_| self.follows_site);
        let options = RankingOptions { sort: self.sort, top: None };
        let ranking = Ranking::of(&reading.profile, &reading.symbols, &self.namer, &options);
        let same_site = site.and_then(|site| ranking.sites.iter().position(|other| other.location == site));
        self.selected = same_site.unwrap_or(self.selected).min(ranking.sites.len().saturating_sub(1));
        self.shown = Some(Shown { reading, ranking });
        self.scroll();
    }

    fn select(&mut self, step: Move) {
        let last = self.sites().len().saturating_sub(1);
        let page = self.rows().max(1);
        self.selected = match step {
            Move::Up => self.selected.saturating_sub(1),
            Move::Down => self.selected + 1,
            Move::PageUp => self.selected.saturating_sub(page),
            Move::PageDown => self.selected + page,
            Move::First => 0,
            Move::Last => last,
        }
        .min(last);
        self.follows_site = step != Move::First;
    }

    /// Call sites that the screen has room for.
    fn rows(&self) -> usize {
        Areas::of_size(self.size, self).rows()
    }

    /// Moves the visible part so that it holds the selection and leaves no empty lines at its end.
    fn scroll(&mut self) {
        self.offset = visible_from(self.offset, self.selected, self.sites().len(), self.rows());
    }
}

/// First visible row: near `offset`, with `selected` visible, and no space below the last row that rows could fill.
pub(super) fn visible_from(offset: usize, selected: usize, count: usize, rows: usize) -> usize {
    let lowest = (selected + 1).saturating_sub(rows.max(1));
    let highest = selected.min(count.saturating_sub(rows)).max(lowest);
    offset.clamp(lowest, highest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::fixture::{self, Scene};

    fn app() -> App {
        App::new(SortBy::LiveBytes, SiteNamer::default(), Theme::monochrome(), (80, 24))
    }

    fn reading(sites: &[(&str, u64)]) -> Reading {
        let mut scene = Scene::default();
        // One order of mentioning, so that a site has one location in every reading.
        for name in ["a@app", "b@app", "c@app", "d@app"] {
            scene.location(name);
        }
        for (name, blocks) in sites {
            scene.sample(&[name], *blocks, 8, 0);
        }
        Reading { profile: Arc::new(scene.profile()), symbols: Arc::new(scene.symbols) }
    }

    fn selected(app: &App) -> Option<String> {
        let at = app.selected_site()?.location?;
        let frame = app.shown.as_ref()?.reading.symbols.frames(at).first()?;
        frame.function.as_deref().map(str::to_owned)
    }

    /// The selection stays at the first place until it is moved; then it stays at its site.
    #[test]
    fn selection_follows_its_site_once_moved() {
        let mut app = app();
        app.update(reading(&[("a@app", 3), ("b@app", 2), ("c@app", 1)]));
        app.update(reading(&[("a@app", 1), ("b@app", 2), ("c@app", 3)]));
        assert_eq!(selected(&app).as_deref(), Some("c"));
        app.apply(Action::Select(Move::Down));
        app.apply(Action::Select(Move::Down));
        app.update(reading(&[("a@app", 9), ("b@app", 2), ("c@app", 3)]));
        assert_eq!((selected(&app).as_deref(), app.selected), (Some("a"), 0));
        app.apply(Action::Select(Move::First));
        app.update(reading(&[("a@app", 1), ("b@app", 2)]));
        assert_eq!(selected(&app).as_deref(), Some("b"));
    }

    /// Fewer sites than the selection's place leave the last one selected.
    #[test]
    fn selection_stays_in_range() {
        let mut app = app();
        app.update(reading(&[("a@app", 3), ("b@app", 2), ("c@app", 1)]));
        app.apply(Action::Select(Move::Last));
        app.update(reading(&[("a@app", 3)]));
        assert_eq!(selected(&app).as_deref(), Some("a"));
        app.update(reading(&[]));
        assert_eq!(selected(&app), None);
        app.apply(Action::Select(Move::Down));
    }

    /// A pause holds the numbers; going on shows the newest reading at once.
    #[test]
    fn pause_holds_and_goes_on_with_the_newest() {
        let mut app = app();
        app.update(reading(&[("a@app", 1)]));
        app.apply(Action::TogglePause);
        app.update(reading(&[("b@app", 1)]));
        app.update(reading(&[("c@app", 1)]));
        assert_eq!(selected(&app).as_deref(), Some("a"));
        app.apply(Action::TogglePause);
        assert_eq!(selected(&app).as_deref(), Some("c"));
    }

    /// Another order takes effect at once, paused or not.
    #[test]
    fn sorting_reorders_at_once() {
        let mut app = app();
        app.update(Reading { profile: fixture::typical().0.into(), symbols: fixture::typical().1.into() });
        app.apply(Action::TogglePause);
        app.apply(Action::Sort(SortBy::FreedBytes));
        assert_eq!(selected(&app).as_deref(), Some("buffer"));
    }

    /// A message stays until the next key, not until the terminal is resized.
    #[test]
    fn message_goes_with_the_next_key() {
        let mut app = app();
        app.set_message("hello");
        app.apply(Action::Resize { width: 40, height: 10 });
        assert_eq!(app.message.as_deref(), Some("hello"));
        app.apply(Action::ToggleHelp);
        assert_eq!(app.message, None);
    }

    /// What was recorded is forgotten only when asked for twice in a row.
    #[test]
    fn clearing_is_asked_twice() {
        let mut app = app();
        assert_eq!(app.apply(Action::Clear), None);
        assert!(app.message.is_some());
        assert_eq!(app.apply(Action::Clear), Some(Request::Ask(Wish::Clear)));
        assert_eq!(app.apply(Action::Clear), None);
        app.apply(Action::ToggleHelp);
        assert_eq!(app.apply(Action::Clear), None);
    }

    /// Only what is on the screen is worth looking up.
    #[test]
    fn shown_locations_are_those_on_the_screen() {
        let mut app = app();
        app.apply(Action::Resize { width: 40, height: 10 });
        let mut scene = Scene::default();
        for index in 0..500 {
            scene.sample(&[&format!("f{index}@app"), "main@app"], 500 - index, 8, 0);
        }
        app.update(Reading { profile: Arc::new(scene.profile()), symbols: Arc::new(scene.symbols.clone()) });
        let shown = app.shown_locations();
        assert!(shown.len() <= 10, "{}", shown.len());
        assert!(shown.contains(&scene.location("f0@app")) && shown.contains(&scene.location("main@app")));
    }

    proptest! {
        /// The selection is always visible and no line is left empty that a row could fill.
        #[test]
        fn selection_is_visible(offset in 0..60_usize, selected in 0..50_usize, more in 0..50_usize, rows in 1..30_usize) {
            let count = selected + 1 + more;
            let first = visible_from(offset, selected, count, rows);
            prop_assert!((first..first + rows).contains(&selected));
            prop_assert!(first == 0 || first + rows <= count);
        }
    }
}
