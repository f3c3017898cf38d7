//! The rows. Only those on the screen are made, however many there are.

use std::fmt::Write as _;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::super::{
    app::MachineApp,
    columns::{COLUMNS, Column, LOST},
};
use crate::{
    profile::MachineProcess,
    report::{elide, escape::escape, machine, units},
    tui::{
        app::visible_from,
        columns::{Order, WIDE},
    },
};

/// The screen must have so many columns for users.
const USER_FROM: usize = 90;
/// The same for containers.
const CONTAINER_FROM: usize = 100;
const USER: usize = 10;
const PID: usize = 8;

/// The columns that there is room for, with their widths.
fn shown(app: &MachineApp, width: usize) -> Vec<(usize, &'static Column, usize)> {
    let has_lost = app.shown.as_ref().is_some_and(|machine| machine.processes.iter().any(|process| process.lost() > 0));
    let is_shown = |(index, column): &(usize, &Column)| {
        let is_sorted = app.sort == Order::Column(*index);
        is_sorted || if *index == LOST { has_lost } else { width >= column.from_width }
    };
    let size = |column: &Column| if width >= WIDE { column.widths.1 } else { column.widths.0 };
    COLUMNS.iter().enumerate().filter(is_shown).map(|(index, column)| (index, column, size(column))).collect()
}

pub(super) fn render(frame: &mut Frame, area: Rect, app: &MachineApp) {
    let width = usize::from(area.width);
    let columns = shown(app, width);
    let mut rows = area.rows();
    if let Some(row) = rows.next() {
        frame.render_widget(titles(&columns, app, width), row);
    }
    let Some(machine) = &app.shown else { return };
    let capacity = usize::from(area.height.saturating_sub(1));
    let first = visible_from(app.cursor.first, app.cursor.at, app.order.len(), capacity);
    for (row, (place, index)) in rows.zip(app.order.iter().enumerate().skip(first)) {
        frame.render_widget(line(&machine.processes[*index], place == app.cursor.at, &columns, width), row);
        if place == app.cursor.at {
            frame.buffer_mut().set_style(row, app.theme.selected);
        }
    }
    if app.order.is_empty() && area.height > 1 {
        let row = Rect { y: area.y + 1, height: 1, ..area };
        let text = if app.filter.is_empty() {
            "  no process is traced".into()
        } else {
            format!("  none of {} processes has `{}` in its name", machine.processes.len(), escape(&app.filter))
        };
        frame.render_widget(Line::styled(elide::end(&text, width), app.theme.dim), row);
    }
}

/// The sorted column carries a mark, and so does the selected row: neither is told by its style alone.
fn titles<'a>(columns: &[(usize, &'static Column, usize)], app: &MachineApp, width: usize) -> Line<'a> {
    let mark = if app.reversed { "▲" } else { "▼" };
    let mut spans = vec![Span::raw(" ")];
    for (index, column, size) in columns {
        let is_sorted = app.sort == Order::Column(*index);
        let title = if is_sorted { format!("{mark}{}", column.title) } else { column.title.into() };
        let style = if is_sorted { app.theme.sorted } else { app.theme.title };
        spans.push(Span::raw(" ".repeat(size.saturating_sub(elide::width(&title)))));
        spans.extend([Span::styled(title, style), Span::raw(" ")]);
    }
    spans.push(Span::styled(format!("{:>PID$} ", "PID"), app.theme.title));
    if width >= USER_FROM {
        spans.push(Span::styled(format!("{:USER$} ", "User"), app.theme.title));
    }
    let by_name = app.sort == Order::Name;
    let title = format!("{}Process", if by_name { mark } else { "" });
    spans.push(Span::styled(title, if by_name { app.theme.sorted } else { app.theme.title }));
    if !app.filter.is_empty() {
        let all = app.shown.as_ref().map_or(0, |machine| machine.processes.len());
        let text = format!(" /{} ({} of {})", escape(&app.filter), app.order.len(), all);
        spans.push(Span::styled(text, app.theme.state));
    }
    Line::from(spans)
}

fn line<'a>(
    process: &MachineProcess,
    is_selected: bool,
    columns: &[(usize, &'static Column, usize)],
    width: usize,
) -> Line<'a> {
    let mut text = String::from(if is_selected { ">" } else { " " });
    for (_, column, size) in columns {
        let cell = (column.cell)(process);
        let cell = if width >= WIDE { cell } else { units::tight(&cell) };
        let _ = write!(text, "{cell:>size$} ");
    }
    let _ = write!(text, "{:>PID$} ", process.pid);
    if width >= USER_FROM {
        let user = elide::end(&escape(&process.user), USER);
        let _ = write!(text, "{user}{} ", " ".repeat(USER.saturating_sub(elide::width(&user))));
    }
    let container = process.container.as_deref().filter(|_| width >= CONTAINER_FROM);
    let container = container.map(|name| format!(" [{}]", escape(machine::short(name))));
    let container = container.unwrap_or_default();
    let room = width.saturating_sub(elide::width(&text) + elide::width(&container));
    Line::raw(elide::end(&format!("{text}{}{container}", elide::middle(&escape(&process.command), room)), width))
}

/// The column whose title lies there; right of all numbers is the name.
pub(super) fn title_at(app: &MachineApp, width: usize, column: usize) -> Option<Order> {
    let mut end = 1;
    for (index, _, size) in shown(app, width) {
        end += size + 1;
        if column < end {
            return Some(Order::Column(index));
        }
    }
    let before_name = PID + 1 + if width >= USER_FROM { USER + 1 } else { 0 };
    (column >= end + before_name).then_some(Order::Name)
}
