//! The ranked groups.

use std::fmt::Write as _;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{rows, titles::Titles};
use crate::{
    profile::{GroupBy, LiveGroup},
    report::{
        elide,
        escape::escape,
        frames::SiteName,
        group_label::{Paths, label},
        units,
    },
    tui::{
        App,
        columns::{COLUMNS, ERROR, RowNumbers, headings},
        heading::{Headings, Order, Shown},
    },
};

/// Columns of the running share.
const SUM: usize = 6;

/// The screen must have so many columns for the running share.
const SUM_FROM: usize = 70;

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    let width = usize::from(area.width);
    let columns = Columns::of(width, app);
    let order = app.table.order();
    let line = |place: usize| line(order[place], place, &columns, app, width);
    rows::render(frame, area, &app.theme, titles(&columns, app), (app.cursor, order.len()), line);
    if order.is_empty() && app.shown.is_some() {
        rows::nothing(frame, area, &app.theme, &nothing(app));
    }
}

fn nothing(app: &App) -> String {
    if app.table.filter().is_empty() {
        return "  nothing allocated since tracing began".into();
    }
    let (by, count) = (app.table.by(), app.table.count_all());
    format!(
        "  none of {} {} has `{}` in its name",
        units::count(count as u64),
        by.noun(count),
        escape(app.table.filter())
    )
}

/// The columns that there is room for.
struct Columns {
    headings: Headings,
    sum: bool,
}

impl Columns {
    fn of(width: usize, app: &App) -> Self {
        let is_left_out = |index| index == ERROR && !app.shows_estimates();
        let headings = Headings::of(headings(), width, app.table.sort, is_left_out);
        Self { headings, sum: width >= SUM_FROM }
    }

    /// A number in its column; a count that is too long is said in thousands.
    fn cell(&self, shown: &Shown, row: &RowNumbers) -> String {
        let column = &COLUMNS[shown.index];
        let text = self.headings.fit((column.cell)(row));
        if elide::width(&text) <= shown.width { text } else { scaled((column.value)(row)) }
    }
}

/// The column whose title lies there.
pub(super) fn title_at(app: &App, width: u16, column: u16) -> Option<Order> {
    let columns = Columns::of(usize::from(width), app);
    columns.headings.at(usize::from(column), if columns.sum { SUM + 1 } else { 0 })
}

/// `12.3M` for 12,345,678: thousands, not powers of 1024, as it is a count.
fn scaled(value: f64) -> String {
    let units = ["", "k", "M", "G", "T", "P", "E"];
    let mut rest = value;
    let mut unit = 0;
    while rest.abs() >= 999.5 && unit + 1 < units.len() {
        rest /= 1000.0;
        unit += 1;
    }
    format!("{rest:.1}{}", units[unit])
}

fn titles<'a>(columns: &Columns, app: &App) -> Line<'a> {
    let titles = Titles { sort: app.table.sort, reversed: app.table.reversed, theme: &app.theme };
    let mut spans = titles.numbers(&columns.headings);
    if columns.sum {
        spans.push(Span::styled(format!("{:>SUM$} ", "Sum"), app.theme.title));
    }
    spans.extend([Span::raw(" "), titles.title(Order::Name, app.table.by().title())]);
    let domain = app.table.grouped().domain_among_others().filter(|_| app.table.by() != GroupBy::Domain);
    spans.extend(domain.map(|domain| Span::styled(format!(" in {} (d)", domain.name()), app.theme.state)));
    if !app.table.filter().is_empty() {
        let (found, all) = (app.table.order().len() as u64, app.table.count_all() as u64);
        let text = format!(" /{} ({} of {})", escape(app.table.filter()), units::count(found), units::count(all));
        spans.push(Span::styled(text, app.theme.state));
    }
    Line::from(spans)
}

fn line<'a>(group: u32, place: usize, columns: &Columns, app: &App, width: usize) -> Line<'a> {
    let row = app.table.row(group);
    let cell = |shown: &Shown| format!("{:>1$} ", columns.cell(shown, row), shown.width);
    // The selected row is not told by its style alone.
    let mark = if place == app.cursor.at { ">" } else { " " };
    let mut numbers = format!("{mark}{}", columns.headings.shown.iter().map(cell).collect::<String>());
    if columns.sum {
        let _ = write!(numbers, "{:>SUM$} ", app.table.running(place).map(units::percent).unwrap_or_default());
    }
    numbers.push(' ');
    let room = width.saturating_sub(elide::width(&numbers));
    Line::raw(format!("{numbers}{}", name(app.table.group(group), app.table.by()).fit(room)))
}

/// How a group is called; its thread, where threads are split, stands before it.
pub(in crate::tui) fn name(group: &LiveGroup, by: GroupBy) -> SiteName {
    let name = label(&group.name, by, Paths::Short);
    match &group.thread {
        None => name,
        Some((thread, tid)) => SiteName { function: format!("{} ({tid}): {}", escape(thread), name.function), ..name },
    }
}

#[cfg(test)]
mod tests {
    use super::scaled;

    /// Long counts are said in thousands.
    #[test]
    fn long_counts_are_scaled() {
        assert_eq!([scaled(12_345_678.0), scaled(999_999.0), scaled(-1500.0)], ["12.3M", "1.0M", "-1.5k"]);
    }
}
