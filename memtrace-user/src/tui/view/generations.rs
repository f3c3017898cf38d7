//! What has grown between two marks.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{layout::Areas, rows, table::name};
use crate::{
    profile::SortBy,
    report::{elide, escape::escape, groups_text::signed, units},
    tui::{
        App,
        marks::{GroupGrowth, Growth},
    },
};

/// Narrower screens have growth in bytes and names alone.
const NARROW: usize = 60;

/// Lines above the rows: what is compared, and the newest generations.
pub(super) fn head_height(body: Rect, app: &App) -> u16 {
    let generations = u16::try_from(app.table.marks.now()).unwrap_or(u16::MAX);
    1 + generations.min(body.height / 3)
}

pub(super) fn render(frame: &mut Frame, areas: &Areas, app: &App) {
    let head = Rect { height: areas.body.height - areas.list.height, ..areas.body };
    for (row, line) in head.rows().zip(head_lines(app, usize::from(head.height), usize::from(head.width))) {
        frame.render_widget(line, row);
    }
    let width = usize::from(areas.list.width);
    let all = &app.table.growth;
    let line = |place: usize| line(&all[place], place == app.growth_cursor.at, app, width);
    rows::render(frame, areas.list, &app.theme, titles(app, width), (app.growth_cursor, all.len()), line);
    if all.is_empty() {
        let text = match app.table.filter() {
            "" => "  nothing has changed".to_owned(),
            filter => format!("  nothing with `{}` in its name has changed", escape(filter)),
        };
        rows::nothing(frame, areas.list, &app.theme, &text);
    }
}

fn titles<'a>(app: &App, width: usize) -> Line<'a> {
    let title = app.table.by().title();
    let titles = if width < NARROW {
        format!(" {:>11} {:>9}  {title}", "Growth", "")
    } else {
        format!(" {:>11} {:>10} {:>10} {:>11} {:>9}  {title}", "Growth", "Blocks", "Surviving", "Live now", "")
    };
    Line::styled(elide::end(&titles, width), app.theme.title)
}

fn head_lines<'a>(app: &App, height: usize, width: usize) -> Vec<Line<'a>> {
    let marks = &app.table.marks;
    let (from, to) = marks.compared();
    let to = if to == 0 { marks.now() } else { to };
    let domain = app.table.grouped().domain_among_others().map(|domain| format!(" in {}", domain.name()));
    let compared = format!("Growth{} from {} to {}", domain.unwrap_or_default(), point(app, from), point(app, to));
    let keys = "  m marks, [ ] and { } choose";
    let mut lines = vec![Line::from(vec![
        Span::styled(elide::end(&compared, width), app.theme.title),
        Span::styled(if elide::width(&compared) + keys.len() <= width { keys } else { "" }, app.theme.dim),
    ])];
    let all = app.table.generations();
    let skipped = all.len().saturating_sub(height.saturating_sub(1));
    for (index, growth) in all.iter().enumerate().skip(skipped) {
        let inside = if (from..to).contains(&index) { "│" } else { " " };
        let text = format!("{inside} {} to {}: {}", point(app, index), point(app, index + 1), said(growth));
        lines.push(Line::raw(elide::end(&text, width)));
    }
    lines
}

fn point(app: &App, index: usize) -> String {
    match index.checked_sub(1) {
        None => "the beginning".into(),
        Some(index) => match app.table.marks.all().get(index) {
            Some(mark) => format!("mark {} ({})", mark.number, units::duration(mark.at)),
            None => "now".into(),
        },
    }
}

fn bytes(growth: &Growth) -> String {
    signed(SortBy::LiveBytes, growth.bytes.into())
}

fn blocks(growth: &Growth) -> String {
    signed(SortBy::LiveBlocks, growth.blocks.into())
}

fn said(growth: &Growth) -> String {
    format!("{} in {} blocks", bytes(growth), blocks(growth))
}

fn line<'a>(row: &GroupGrowth, selected: bool, app: &App, width: usize) -> Line<'a> {
    let live = units::bytes(app.table.row(row.group).stats.live_bytes());
    let growing = if row.growing { "▲ growing" } else { "" };
    let mark = if selected { ">" } else { " " };
    let surviving = app.survivors.get(row.group as usize).map_or_else(|| "…".into(), |blocks| units::count(*blocks));
    let (bytes, blocks) = (bytes(&row.growth), blocks(&row.growth));
    let numbers = format!("{mark}{bytes:>11} {blocks:>10} {surviving:>10} {live:>11} {growing:>9}  ");
    let numbers = if width < NARROW { format!("{mark}{bytes:>11} {growing:>9}  ") } else { numbers };
    let room = width.saturating_sub(elide::width(&numbers));
    Line::raw(format!("{numbers}{}", name(app.table.group(row.group), app.table.by()).fit(room)))
}
