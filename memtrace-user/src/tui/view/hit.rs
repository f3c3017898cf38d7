//! What lies where on the screen: the other way round from drawing, for the mouse.

use super::{
    super::{
        App,
        app::{View, visible_from},
        heading::Order,
    },
    flame,
    layout::Areas,
    table,
};

/// What the mouse can be pressed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::tui) enum Hit {
    /// A title of the table.
    Title(Order),
    /// A row of the table.
    Row(usize),
    /// A line of the tree of callers.
    TreeLine(usize),
    /// A row of the generations.
    Growth(usize),
    /// A part of the flame view.
    Flame(u32),
}

/// What lies at a column and line of a screen of this size.
pub(in crate::tui) fn at(app: &App, size: (u16, u16), (column, line): (u16, u16)) -> Option<Hit> {
    let areas = Areas::of_size(size, app);
    if app.view == View::Flame {
        return flame::at(app, areas.body, column, line).map(Hit::Flame);
    }
    let list = areas.list;
    let below = usize::from(line.checked_sub(list.y)?);
    if line >= list.y + list.height {
        return None;
    }
    let Some(row) = below.checked_sub(1) else {
        return (app.view == View::Table).then(|| table::title_at(app, size.0, column)).flatten().map(Hit::Title);
    };
    let place = |first: usize, at: usize, count: usize| {
        let row = visible_from(first, at, count, areas.rows()) + row;
        (row < count).then_some(row)
    };
    match app.view {
        View::Table => place(app.cursor.first, app.cursor.at, app.table.order().len()).map(Hit::Row),
        View::Detail => {
            let count = app.detail.lines.len();
            (app.detail.pane == super::super::detail::Pane::Callers)
                .then(|| place(super::detail::first(app, areas.rows()), app.detail.at, count))
                .flatten()
                .map(Hit::TreeLine)
        }
        View::Generations => {
            let cursor = app.growth_cursor;
            place(cursor.first, cursor.at, app.table.growth.len()).map(Hit::Growth)
        }
        View::Flame => None,
    }
}
