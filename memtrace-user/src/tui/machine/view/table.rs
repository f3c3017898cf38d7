//! The rows.

use std::fmt::Write as _;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::super::{
    app::MachineApp,
    columns::{COLUMNS, LOST, headings},
};
use crate::{
    profile::MachineProcess,
    report::{elide, escape::escape, machine},
    tui::{
        heading::{Headings, Order},
        view::{rows, titles::Titles},
    },
};

/// The screen must have so many columns for users.
const USER_FROM: usize = 90;
/// The same for containers.
const CONTAINER_FROM: usize = 100;
const USER: usize = 10;
const PID: usize = 8;

/// The columns that there is room for; that of losses, when there are any.
fn shown(app: &MachineApp, width: usize) -> Headings {
    let has_lost = app.shown.as_ref().is_some_and(|machine| machine.processes.iter().any(|process| process.lost() > 0));
    Headings::of(headings(), width, app.sort, |index| index == LOST && !has_lost)
}

pub(super) fn render(frame: &mut Frame, area: Rect, app: &MachineApp) {
    let width = usize::from(area.width);
    let columns = shown(app, width);
    let line = |place| match app.process(place) {
        Some(process) => line(process, place == app.cursor.at, &columns, width),
        None => Line::default(),
    };
    rows::render(frame, area, &app.theme, titles(&columns, app, width), (app.cursor, app.order.len()), line);
    let Some(machine) = app.shown.as_ref().filter(|_| app.order.is_empty()) else { return };
    let text = if app.filter.is_empty() {
        "  no process is traced".into()
    } else {
        format!("  none of {} processes has `{}` in its name", machine.processes.len(), escape(&app.filter))
    };
    rows::nothing(frame, area, &app.theme, &text);
}

fn titles<'a>(columns: &Headings, app: &MachineApp, width: usize) -> Line<'a> {
    let titles = Titles { sort: app.sort, reversed: app.reversed, theme: &app.theme };
    let mut spans = titles.numbers(columns);
    spans.push(Span::styled(format!("{:>PID$} ", "PID"), app.theme.title));
    if width >= USER_FROM {
        spans.push(Span::styled(format!("{:USER$} ", "User"), app.theme.title));
    }
    spans.push(titles.title(Order::Name, "Process"));
    if !app.filter.is_empty() {
        let all = app.shown.as_ref().map_or(0, |machine| machine.processes.len());
        let text = format!(" /{} ({} of {})", escape(&app.filter), app.order.len(), all);
        spans.push(Span::styled(text, app.theme.state));
    }
    Line::from(spans)
}

fn line<'a>(process: &MachineProcess, is_selected: bool, columns: &Headings, width: usize) -> Line<'a> {
    // The selected row is not told by its style alone.
    let mut text = String::from(if is_selected { ">" } else { " " });
    for shown in &columns.shown {
        let _ = write!(text, "{:>1$} ", columns.fit((COLUMNS[shown.index].cell)(process)), shown.width);
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

/// The column whose title lies there.
pub(super) fn title_at(app: &MachineApp, width: usize, column: usize) -> Option<Order> {
    let before_name = PID + 1 + if width >= USER_FROM { USER + 1 } else { 0 };
    shown(app, width).at(column, before_name)
}
