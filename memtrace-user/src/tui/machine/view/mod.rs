//! Draws the table of processes. Keeps no state.

mod header;
mod sites;
mod table;
#[cfg(test)]
mod tests;

use ratatui::{Frame, layout::Rect};

use super::{app::MachineApp, columns::headings, keys::KEYS};
use crate::tui::{
    heading::Order,
    view::{footer, help, layout},
};

/// What the mouse can be pressed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hit {
    /// A title.
    Title(Order),
    /// A row.
    Row(usize),
}

/// The regions of the screen.
struct Areas {
    header: Rect,
    /// The rows, with the line of titles above them.
    table: Rect,
    /// The call sites of the selected process, with a line that names it above them.
    sites: Rect,
    footer: Rect,
}

impl Areas {
    fn of(screen: Rect, app: &MachineApp) -> Self {
        let header = u16::try_from(header::lines(screen, app).len()).unwrap_or(u16::MAX).min(screen.height);
        let [header, body, footer] = layout::regions(screen, header);
        let [table, sites] = layout::with_selected(screen, body, app.order.len());
        Self { header, table, sites, footer }
    }

    fn of_app(app: &MachineApp) -> Self {
        Self::of(Rect::new(0, 0, app.size.0, app.size.1), app)
    }
}

/// Draws everything.
pub fn render(frame: &mut Frame, app: &MachineApp) {
    let areas = Areas::of(frame.area(), app);
    for (row, line) in areas.header.rows().zip(header::lines(frame.area(), app)) {
        frame.render_widget(line, row);
    }
    table::render(frame, areas.table, app);
    sites::render(frame, areas.sites, app);
    let width = usize::from(areas.footer.width);
    let line = if app.typing {
        let all = app.shown.as_ref().map_or(0, |machine| machine.processes.len());
        footer::filter(&app.filter, (app.order.len(), all), width, &app.theme)
    } else if let Some(message) = &app.message {
        footer::message(message, width)
    } else {
        footer::keys(&KEYS, width, &app.theme)
    };
    frame.render_widget(line, areas.footer);
    if let Some(first) = app.help {
        help::page(frame, &app.theme, first, help_page());
    }
}

fn help_page() -> impl Iterator<Item = (String, &'static str)> {
    let notes =
        [("Mouse".to_owned(), "a row selects, again opens; a title sorts"), ("K M G".to_owned(), "powers of 1024")];
    help::entries(&KEYS, headings()).chain(notes)
}

/// How many lines the help has.
pub(super) fn help_lines() -> usize {
    help_page().count()
}

/// Rows that there is room for.
pub(super) fn rows(app: &MachineApp) -> usize {
    usize::from(Areas::of_app(app).table.height.saturating_sub(1))
}

/// Call sites that there is room for.
pub(super) fn site_rows(app: &MachineApp) -> usize {
    usize::from(Areas::of_app(app).sites.height.saturating_sub(1))
}

/// What lies at a place of the screen.
pub(super) fn at(app: &MachineApp, (column, line): (u16, u16)) -> Option<Hit> {
    let table = Areas::of_app(app).table;
    let below = line.checked_sub(table.y).filter(|below| *below < table.height)?;
    let Some(row) = usize::from(below).checked_sub(1) else {
        return table::title_at(app, usize::from(table.width), usize::from(column)).map(Hit::Title);
    };
    let row = app.cursor.first + row;
    (row < app.order.len()).then_some(Hit::Row(row))
}
