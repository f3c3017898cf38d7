//! Which region of the screen lies where, by its size alone: the state asks too, to know how far a page is.

use ratatui::layout::{Constraint, Layout, Rect};

use super::{super::App, header};

/// Screens lower than this have no room for a stack below the table.
const LOWEST_WITH_DETAIL: u16 = 16;

/// The regions. One that has no room has no lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tui) struct Areas {
    pub(super) header: Rect,
    pub(super) table: Rect,
    pub(super) detail: Rect,
    pub(super) footer: Rect,
}

impl Areas {
    pub(in crate::tui) fn of_size((width, height): (u16, u16), app: &App) -> Self {
        Self::of(Rect::new(0, 0, width, height), app)
    }

    pub(super) fn of(screen: Rect, app: &App) -> Self {
        let header = header::height(screen, app);
        let detail = if screen.height < LOWEST_WITH_DETAIL { 0 } else { detail_height(screen.height - header, app) };
        let regions =
            [Constraint::Length(header), Constraint::Min(2), Constraint::Length(detail), Constraint::Length(1)];
        let [header, table, detail, footer] = Layout::vertical(regions).areas(screen);
        Self { header, table, detail, footer }
    }

    /// Call sites that the table has room for, below its titles.
    pub(in crate::tui) fn rows(&self) -> usize {
        usize::from(self.table.height.saturating_sub(1))
    }
}

/// Two fifths, and whatever the table leaves over.
fn detail_height(room: u16, app: &App) -> u16 {
    let table = u16::try_from(app.sites().len().max(1) + 1).unwrap_or(u16::MAX);
    let footer = 1;
    (room * 2 / 5).max(room.saturating_sub(footer).saturating_sub(table))
}
