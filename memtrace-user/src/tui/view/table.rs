//! The ranked call sites. Only the rows on the screen are made, however many sites there are.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{super::app::visible_from, layout::Areas};
use crate::{
    profile::{Site, SortBy},
    report::{elide, frames::SiteName, units},
    tui::{App, app::Shown},
};

/// One column of numbers.
struct Column {
    title: &'static str,
    width: usize,
    /// Columns that the screen must have for it.
    from_width: usize,
    /// It holds the number of this order, and is shown on any screen when sorted by it.
    order: Option<SortBy>,
    cell: fn(&Site) -> String,
}

/// One line a column, from left to right; the site's name takes what is left.
#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column { title: "Live", width: 10, from_width: 0, order: Some(SortBy::LiveBytes), cell: |site| units::bytes(site.stats.live_bytes()) },
    Column { title: "Blocks", width: 10, from_width: 60, order: Some(SortBy::LiveBlocks), cell: |site| units::count(site.stats.live_blocks()) },
    Column { title: "Average", width: 9, from_width: 75, order: None, cell: |site| units::bytes(site.stats.average_bytes()) },
    Column { title: "Allocated", width: 10, from_width: 100, order: Some(SortBy::AllocatedBytes), cell: |site| units::bytes(site.stats.allocated_bytes) },
    Column { title: "Allocs", width: 11, from_width: 120, order: Some(SortBy::AllocatedBlocks), cell: |site| units::count(site.stats.allocated_blocks) },
    Column { title: "Freed", width: 10, from_width: 140, order: Some(SortBy::FreedBytes), cell: |site| units::bytes(site.stats.freed_bytes) },
    Column { title: "Share", width: 6, from_width: 35, order: None, cell: |site| units::percent(site.share) },
    Column { title: "Sum", width: 6, from_width: 70, order: None, cell: |site| units::percent(site.running_share) },
];

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    let columns = columns_for(usize::from(area.width), app.sort);
    let mut rows = area.rows();
    if let Some(row) = rows.next() {
        frame.render_widget(titles(&columns, app), row);
    }
    let Some(shown) = &app.shown else { return };
    let sites = &shown.ranking.sites;
    let capacity = Areas::of(frame.area(), app).rows();
    let first = visible_from(app.offset, app.selected, sites.len(), capacity);
    for (row, (index, site)) in rows.zip(sites.iter().enumerate().skip(first)) {
        let line = site_line(site, shown, &columns, usize::from(area.width), index == app.selected);
        frame.render_widget(line, row);
        if index == app.selected {
            frame.buffer_mut().set_style(row, app.theme.selected);
        }
    }
    if sites.is_empty() && area.height > 1 {
        let row = Rect { y: area.y + 1, height: 1, ..area };
        frame.render_widget(Line::styled("  nothing allocated since tracing began", app.theme.dim), row);
    }
}

fn columns_for(width: usize, sort: SortBy) -> Vec<&'static Column> {
    COLUMNS.iter().filter(|column| width >= column.from_width || column.order == Some(sort)).collect()
}

/// The sorted column carries a mark, and so does the selected row: neither is told by its style alone.
fn titles<'a>(columns: &[&Column], app: &App) -> Line<'a> {
    let mut spans = vec![Span::raw(" ")];
    for column in columns {
        let is_sorted = column.order == Some(app.sort);
        let title = if is_sorted { format!("▼{}", column.title) } else { column.title.into() };
        let style = if is_sorted { app.theme.sorted } else { app.theme.title };
        spans.push(Span::raw(" ".repeat(column.width.saturating_sub(elide::width(&title)))));
        spans.extend([Span::styled(title, style), Span::raw(" ")]);
    }
    spans.push(Span::styled(" Call site", app.theme.title));
    Line::from(spans)
}

fn site_line<'a>(site: &Site, shown: &Shown, columns: &[&Column], width: usize, selected: bool) -> Line<'a> {
    let cells = columns.iter().map(|column| format!("{:>1$} ", (column.cell)(site), column.width));
    let mark = if selected { ">" } else { " " };
    let numbers = format!("{mark}{} ", cells.collect::<String>());
    let name = SiteName::of(site.location, &shown.ranking, &shown.reading.symbols, &shown.reading.profile.modules);
    let room = width.saturating_sub(elide::width(&numbers));
    Line::raw(format!("{numbers}{}", name.fit(room)))
}
