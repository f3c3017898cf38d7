//! One group closely: its numbers, how it has gone, and one of callers, stack, sizes and source.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{
    header::items_line,
    layout::Areas,
    sparkline::sparkline,
    stack::{stack_line, stack_lines},
    table::name,
};
use crate::{
    profile::{BlockSummary, Domain, GroupBy, SortBy},
    report::{
        elide,
        escape::escape,
        group_label::{Paths, label},
        groups_text::signed,
        units,
    },
    tui::{
        App,
        app::visible_from,
        detail::{Fold, PANES, Pane, TreeLine},
    },
};

/// Lower bodies leave the history and the ages out.
const LOWEST_WITH_ALL: u16 = 12;

/// Lines above the pane's title.
pub(super) fn head_height(body: Rect, _app: &App) -> u16 {
    if body.height < LOWEST_WITH_ALL { 2 } else { 4 }
}

pub(super) fn render(frame: &mut Frame, areas: &Areas, app: &App) {
    let width = usize::from(areas.body.width);
    let head = Rect { height: areas.body.height - areas.list.height, ..areas.body };
    for (row, line) in head.rows().zip(head_lines(app, width)) {
        frame.render_widget(line, row);
    }
    let mut rows = areas.list.rows();
    if let Some(row) = rows.next() {
        frame.render_widget(titles(app), row);
    }
    let lines = pane_lines(app, width);
    let first = first(app, areas.rows());
    for (row, (index, line)) in rows.zip(lines.into_iter().enumerate().skip(first)) {
        frame.render_widget(line, row);
        if app.detail.pane == Pane::Callers && index == app.detail.at {
            frame.buffer_mut().set_style(row, app.theme.selected);
        }
    }
}

/// Index of the first line of the pane that is seen: the selected one of the tree is in the middle where it can be.
pub(super) fn first(app: &App, rows: usize) -> usize {
    let at = app.detail.at;
    visible_from(at.saturating_sub(rows / 2), at, count_lines(app), rows)
}

/// Lines of the pane.
pub(in crate::tui) fn count_lines(app: &App) -> usize {
    match app.detail.pane {
        Pane::Callers => app.detail.lines.len(),
        _ => pane_lines(app, 80).len(),
    }
}

fn head_lines<'a>(app: &App, width: usize) -> Vec<Line<'a>> {
    let Some(group) = app.selected_group() else { return vec![Line::raw("nothing is selected")] };
    let row = app.table.row(group);
    let title = name(app.table.group(group), app.table.by()).fit(width);
    let items = [
        ("Live", units::bytes(row.stats.live_bytes())),
        ("Blocks", units::count(row.stats.live_blocks())),
        ("ΔMark", signed(SortBy::LiveBytes, row.change.bytes.into())),
        (
            "Allocating",
            format!("{} {}", units::rate(row.rates.allocated_blocks), units::byte_rate(row.rates.allocated_bytes)),
        ),
        ("Short-lived", units::percent(row.short_lived())),
        (
            "Allocated",
            format!(
                "{} in {}",
                units::bytes(row.stats.allocated_bytes),
                units::counted(row.stats.allocated_blocks, "block")
            ),
        ),
    ];
    let history = app.table.history.of(&app.detail.members);
    let most = history.iter().copied().max().unwrap_or(0);
    let greatest = format!(" most {}", units::bytes(most));
    let room = width.saturating_sub(elide::width(&greatest) + 8);
    let history = vec![
        Span::styled("History ", app.theme.label),
        Span::raw(sparkline(&history, room)),
        Span::styled(greatest, app.theme.dim),
    ];
    vec![
        Line::styled(title, app.theme.site),
        items_line(&items, width, &app.theme),
        Line::from(history),
        items_line(&ages(app), width, &app.theme),
    ]
}

fn ages(app: &App) -> Vec<(&'static str, String)> {
    if let Some(layer) = layer_without_blocks(app) {
        return vec![("Ages", format!("not known of {layer}"))];
    }
    let Some(blocks) = &app.blocks else { return vec![("Ages", "of the live blocks: being looked at".into())] };
    let (Some(oldest), Some(median)) = (blocks.oldest, blocks.median) else {
        return vec![("Ages", "no live block".into())];
    };
    let mut items = vec![
        ("Oldest live block", units::duration(oldest)),
        ("median", units::duration(median)),
        ("of", units::count(blocks.blocks)),
    ];
    if !app.table.marks.all().is_empty() {
        let since = blocks.survivors.values().filter_map(|counts| counts.last()).sum();
        items.push(("allocated since the mark", units::count(since)));
    }
    items
}

/// The layer of memory that the selected row is of, where it is not made of blocks: only these are looked through.
fn layer_without_blocks(app: &App) -> Option<&'static str> {
    let stack = app.detail.members.first()?;
    let domain = app.table.stack(*stack).0.domain;
    (!domain.is_beside(Domain::Malloc)).then(|| domain.name())
}

/// The pane that is shown is in brackets, not told by its style alone.
fn titles<'a>(app: &App) -> Line<'a> {
    let mut spans = Vec::new();
    for (pane, title) in PANES {
        let (text, style) = if pane == app.detail.pane {
            (format!("[{title}]"), app.theme.sorted)
        } else {
            (format!(" {title} "), app.theme.title)
        };
        spans.extend([Span::styled(text, style), Span::raw(" ")]);
    }
    spans.push(Span::styled("Tab", app.theme.dim));
    Line::from(spans)
}

fn pane_lines<'a>(app: &App, width: usize) -> Vec<Line<'a>> {
    match app.detail.pane {
        Pane::Callers => tree(app, width),
        Pane::Stack => stack_lines(app).iter().map(|line| stack_line(line, app, width)).collect(),
        Pane::Sizes => sizes(app, width),
        Pane::Source => source(app, width),
    }
}

fn tree<'a>(app: &App, width: usize) -> Vec<Line<'a>> {
    let sort = app.detail.tree_sort();
    let total = app.detail.lines.first().map_or(0, |line| sort.value(&line.stats)).max(1);
    let lines = app.detail.lines.iter().enumerate();
    lines.map(|(index, line)| Line::raw(tree_line(line, index == app.detail.at, sort, total, width))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn tree_line(line: &TreeLine, selected: bool, sort: SortBy, total: u64, width: usize) -> String {
    let value = sort.value(&line.stats);
    let fold = match line.fold {
        Fold::Leaf => ' ',
        Fold::Folded => '+',
        Fold::Unfolded => '-',
    };
    let mark = if selected { '>' } else { ' ' };
    let indent = 2 * line.depth.min(width / 8);
    let share = units::percent((value as f64 / total as f64).min(1.0));
    let numbers = format!("{mark}{:>10} {share:>6} {:indent$}{fold} ", units::bytes(value), "");
    let room = width.saturating_sub(elide::width(&numbers));
    match &line.name {
        Some(name) => format!("{numbers}{}", label(name, GroupBy::Line, Paths::Short).fit(room)),
        None => format!("{numbers}{}", elide::end("… smaller ones together", room)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "bars of some columns"
)]
fn sizes<'a>(app: &App, width: usize) -> Vec<Line<'a>> {
    if let Some(layer) = layer_without_blocks(app) {
        return vec![Line::styled(format!("sizes are not known of {layer}"), app.theme.dim)];
    }
    let Some(blocks) = &app.blocks else {
        return vec![Line::styled("the live blocks are being looked at", app.theme.dim)];
    };
    let used = || (0..blocks.sizes.len()).filter(|class| blocks.sizes[*class] > 0);
    let (Some(first), Some(last)) = (used().next(), used().next_back()) else {
        return vec![Line::styled("no live block", app.theme.dim)];
    };
    let most = blocks.sizes.iter().copied().max().unwrap_or(1).max(1);
    let room = width.saturating_sub(34);
    let line = |class: usize| {
        let (least, greatest) = BlockSummary::bounds(class);
        let range = if least == greatest {
            units::bytes(least)
        } else {
            format!("{} – {}", units::tight(&units::bytes(least)), units::tight(&units::bytes(greatest)))
        };
        let count = blocks.sizes[class];
        let bar = "█".repeat((count as f64 / most as f64 * room as f64).ceil() as usize);
        Line::raw(elide::end(&format!("{range:>19} {:>12} {bar}", units::count(count)), width))
    };
    let note =
        Line::styled(elide::end("sizes of the live blocks; freed ones are not part of it", width), app.theme.dim);
    (first..=last).map(line).chain([note]).collect()
}

fn source<'a>(app: &App, width: usize) -> Vec<Line<'a>> {
    let Some((file, line)) = app.source_line() else {
        return vec![Line::styled("no source line is known here: the file has no debug information", app.theme.dim)];
    };
    let place = Line::styled(elide::middle(&escape(&format!("{file}:{line}")), width), app.theme.title);
    let Some(text) = app.detail.source.as_ref().filter(|text| text.line == line && text.file == file) else {
        return vec![place];
    };
    if text.lines.is_empty() {
        return vec![place, Line::styled("the file is not at hand", app.theme.dim)];
    }
    let shown = text.lines.iter().map(|(number, text)| {
        let mark = if *number == line { ">" } else { " " };
        let text = elide::end(&format!("{mark}{number:>6}  {}", escape(text)), width);
        if *number == line { Line::styled(text, app.theme.site) } else { Line::raw(text) }
    });
    std::iter::once(place).chain(shown).collect()
}
