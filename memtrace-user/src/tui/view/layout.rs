//! Which region of the screen lies where, by its size and the view alone: the state asks too, to know how far a page is.

use ratatui::layout::{Constraint, Layout, Rect};

use super::{
    super::{App, app::View},
    detail, generations, header,
};

/// Screens lower than this have no room for a stack below the table.
const LOWEST_WITH_STACK: u16 = 16;

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
        let regions = [Constraint::Length(header), Constraint::Min(2), Constraint::Length(1)];
        let [header, body, footer] = Layout::vertical(regions).areas(screen);
        let above = |lines: u16| {
            let lines = lines.min(body.height);
            Rect { y: body.y + lines, height: body.height - lines, ..body }
        };
        let (list, stack) = match app.view {
            View::Table => {
                let stack = if screen.height < LOWEST_WITH_STACK { 0 } else { stack_height(body.height, app) };
                let [list, stack] = Layout::vertical([Constraint::Min(2), Constraint::Length(stack)]).areas(body);
                (list, stack)
            }
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

/// Two fifths, and whatever the table leaves over.
fn stack_height(room: u16, app: &App) -> u16 {
    let table = u16::try_from(app.table.order().len().max(1) + 1).unwrap_or(u16::MAX);
    (room * 2 / 5).max(room.saturating_sub(table))
}
