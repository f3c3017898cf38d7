//! Draws the state of the live view, and keeps none of its own. One region of the screen, one file.

mod detail;
mod footer;
mod header;
mod help;
pub(super) mod layout;
mod table;
#[cfg(test)]
mod tests;

use layout::Areas;
use ratatui::Frame;

use super::App;

/// Draws everything.
pub fn render(frame: &mut Frame, app: &App) {
    let areas = Areas::of(frame.area(), app);
    header::render(frame, areas.header, app);
    table::render(frame, areas.table, app);
    detail::render(frame, areas.detail, app);
    footer::render(frame, areas.footer, app);
    if app.help {
        help::render(frame, app);
    }
}
