//! The flame view: outermost callers at the top, each part as wide as what was allocated through it.

use ratatui::{Frame, layout::Rect, text::Line};

use super::super::{
    App,
    flame::{Cell, Measure},
};
use crate::{
    profile::GroupBy,
    report::{
        elide,
        frames::SiteName,
        group_label::{Paths, label},
        units,
    },
};

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    let width = usize::from(area.width);
    let mut rows = area.rows();
    if let Some(row) = rows.next() {
        frame.render_widget(Line::styled(elide::end(&heading(app), width), app.theme.title), row);
    }
    let picture = picture(area);
    if app.flame.total() == 0 && picture.height > 0 {
        let row = Rect { height: 1, ..picture };
        frame.render_widget(
            Line::styled("  nothing to show: no memory is live, or none was allocated", app.theme.dim),
            row,
        );
        return;
    }
    let selected = app.flame.selected();
    for cell in app.flame.cells(usize::from(picture.width), usize::from(picture.height)) {
        draw(frame, picture, app, &cell, Some(cell.node) == selected);
    }
    if let Some(row) = area.rows().next_back().filter(|_| area.height > 2) {
        let text = selected.map_or_else(|| HINT.to_owned(), |node| said(app, node));
        frame.render_widget(Line::raw(elide::end(&text, width)), row);
    }
}

/// What the last line says while nothing is selected.
const HINT: &str = "↓ selects; Enter zooms in, Esc out; v shows live bytes or bytes a second";

/// The lines between heading and foot.
fn picture(area: Rect) -> Rect {
    let lines = if area.height > 2 { 2 } else { 1.min(area.height) };
    Rect { y: area.y + lines.min(1), height: area.height - lines, ..area }
}

/// The part at a column and line of the screen.
pub(super) fn at(app: &App, area: Rect, column: u16, line: u16) -> Option<u32> {
    let picture = picture(area);
    let line = usize::from(line.checked_sub(picture.y)?);
    let column = usize::from(column.checked_sub(picture.x)?);
    let cells = app.flame.cells(usize::from(picture.width), usize::from(picture.height));
    let holds = |cell: &Cell| cell.line == line && (cell.start..cell.start + cell.width).contains(&column);
    cells.into_iter().find(holds).map(|cell| cell.node)
}

fn heading(app: &App) -> String {
    let zoomed = app.flame.zoomed();
    let part = zoomed.map(|node| format!(", zoomed into {}", function(app, node).function)).unwrap_or_default();
    let domain = app.table.grouped().domain_among_others().map(|domain| format!(" in {}", domain.name()));
    let paused = if app.paused { ", paused" } else { "" };
    let domain = domain.unwrap_or_default();
    format!("Flame: {}{domain}{part}{paused}", amount(app, app.flame.total()))
}

fn function(app: &App, node: u32) -> SiteName {
    app.flame.name(node).map(|name| label(name, GroupBy::Function, Paths::Short)).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown with three digits")]
fn amount(app: &App, value: u64) -> String {
    match app.flame.measure {
        Measure::Live => format!("{} live", units::bytes(value)),
        Measure::Rate => {
            let seconds = app.table.seconds();
            let rate = if seconds > 0.0 { value as f64 / seconds } else { 0.0 };
            format!("{} allocated", units::byte_rate(rate))
        }
    }
}

/// All that a part says, on one line.
#[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn said(app: &App, node: u32) -> String {
    let value = app.flame.value(node);
    let share = value as f64 / app.flame.total().max(1) as f64;
    let name = function(app, node).fit(usize::MAX);
    format!("> {} {}  {name}", amount(app, value), units::percent(share))
}

/// A part begins with a bar, so that neighbours are told apart without colours as well.
fn draw(frame: &mut Frame, picture: Rect, app: &App, cell: &Cell, selected: bool) {
    let small = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
    let area =
        Rect { x: picture.x + small(cell.start), y: picture.y + small(cell.line), width: small(cell.width), height: 1 };
    let mark = if selected { "▶" } else { "▏" };
    let name = function(app, cell.node).function;
    let text = format!("{mark}{}", elide::end(&name, cell.width.saturating_sub(1)));
    let style = if selected { app.theme.selected } else { app.theme.flame[(cell.line + cell.index) % 2] };
    frame.render_widget(Line::raw(text), area);
    frame.buffer_mut().set_style(area, style);
}
