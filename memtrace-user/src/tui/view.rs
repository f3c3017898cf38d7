//! Draws the state of the live view, and keeps none of its own. One region of the screen, one file.

pub(super) mod detail;
mod flame;
pub(super) mod footer;
mod generations;
pub(super) mod header;
pub(super) mod help;
pub(super) mod hit;
pub(super) mod layout;
pub(super) mod rows;
mod sparkline;
mod stack;
mod table;
#[cfg(test)]
mod tests;
pub(super) mod titles;

use layout::Areas;
use ratatui::{Frame, Terminal, backend::TestBackend};

use super::{App, app::View};

#[cfg(test)]
pub(super) use table::name as name_of;

/// The screen as plain text, on one of this size; empty lines at the end are left out.
pub(super) fn text(app: &App, size: (u16, u16)) -> String {
    let mut terminal = match Terminal::new(TestBackend::new(size.0, size.1)) {
        Ok(terminal) => terminal,
        Err(never) => match never {},
    };
    if let Err(never) = terminal.draw(|frame| render(frame, app)) {
        match never {}
    }
    let buffer = terminal.backend().buffer();
    let lines = buffer.content().chunks(usize::from(size.0).max(1)).map(|cells| {
        let line: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    });
    let mut lines: Vec<String> = lines.collect();
    // The keys are of no use on paper.
    lines.pop();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Draws everything.
pub fn render(frame: &mut Frame, app: &App) {
    let areas = Areas::of(frame.area(), app);
    header::render(frame, areas.header, app);
    match app.view {
        View::Table => {
            table::render(frame, areas.list, app);
            stack::render(frame, areas.stack, app);
        }
        View::Detail => detail::render(frame, &areas, app),
        View::Flame => flame::render(frame, areas.body, app),
        View::Generations => generations::render(frame, &areas, app),
    }
    footer::render(frame, areas.footer, app);
    if let Some(first) = app.help {
        help::render(frame, app, first);
    }
}
