//! Which region of the screen lies where, by its size and the view alone: the state asks too, to know how far a page is.

use ratatui::layout::{Constraint, Layout, Rect};

use super::{
    super::{App, app::View},
    detail, generations, header,
};

/// Screens lower than this have no room for what is said of the selected row below the table.
const LOWEST_WITH_SELECTED: u16 = 16;

/// The regions. One that has no room has no lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tui) struct Areas {
    pub(super) header: Rect,
    /// All between header and footer.
    pub(super) body: Rect,
    /// The rows that one can move in, with the line of titles above them.
    pub(super) list: Rect,
    /// The heaviest stack, below the table.
    pub(super) stack: Rect,
    pub(super) footer: Rect,
}

impl Areas {
    pub(in crate::tui) fn of_size((width, height): (u16, u16), app: &App) -> Self {
        Self::of(Rect::new(0, 0, width, height), app)
    }

    pub(super) fn of(screen: Rect, app: &App) -> Self {
        let header = header::height(screen, app);
        let [header, body, footer] = regions(screen, header);
        let above = |lines: u16| {
            let lines = lines.min(body.height);
            Rect { y: body.y + lines, height: body.height - lines, ..body }
        };
        let (list, stack) = match app.view {
            View::Table => with_selected(screen, body, app.table.order().len()).into(),
            View::Detail => (above(detail::head_height(body, app)), Rect::ZERO),
            View::Generations => (above(generations::head_height(body, app)), Rect::ZERO),
            View::Flame => (body, Rect::ZERO),
        };
        Self { header, body, list, stack, footer }
    }

    /// Rows that there is room for, below their titles.
    pub(in crate::tui) fn rows(&self) -> usize {
        usize::from(self.list.height.saturating_sub(1))
    }
}

/// Header, what is between, and footer.
pub(in crate::tui) fn regions(screen: Rect, header: u16) -> [Rect; 3] {
    Layout::vertical([Constraint::Length(header), Constraint::Min(2), Constraint::Length(1)]).areas(screen)
}

/// A table of so many rows, and below it what is said of the selected one: that gets two fifths and whatever the table
/// leaves over, or nothing on a low screen.
pub(in crate::tui) fn with_selected(screen: Rect, body: Rect, rows: usize) -> [Rect; 2] {
    let table = u16::try_from(rows.max(1) + 1).unwrap_or(u16::MAX);
    let below = (body.height * 2 / 5).max(body.height.saturating_sub(table));
    let below = if screen.height < LOWEST_WITH_SELECTED { 0 } else { below };
    Layout::vertical([Constraint::Min(2), Constraint::Length(below)]).areas(body)
}
