//! The heaviest stack of the selected row, below the table.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Borders},
};

use super::super::App;
use crate::{
    profile::{AllocStats, SiteStack},
    report::{
        elide,
        stack::{self, StackLine},
        units,
    },
};

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    if area.height == 0 || app.selected_group().is_none() {
        return;
    }
    let width = usize::from(area.width);
    let title = elide::end(&title(app), width.saturating_sub(1));
    let block = Block::new().borders(Borders::TOP).title(Span::styled(title, app.theme.title));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    for (row, line) in inner.rows().zip(lines(app, width, usize::from(inner.height))) {
        frame.render_widget(line, row);
    }
}

fn title(app: &App) -> String {
    let members = &app.detail.members;
    let noun = app.table.by().noun(1);
    let count = app.table.order().len() as u64;
    let place = format!("{noun} {} of {}", units::count(app.cursor.at as u64 + 1), units::count(count));
    let Some(heaviest) = members.first().map(|stack| app.table.stack(*stack).1) else { return format!(" {place} ") };
    let amount = amount(heaviest);
    if members.len() == 1 {
        return format!(" {place}: one stack, {amount} ");
    }
    format!(" {place}: heaviest of {} stacks, {amount} ", units::count(members.len() as u64))
}

/// What lives, or, where nothing does, what was allocated.
pub(super) fn amount(stats: &AllocStats) -> String {
    if stats.live_blocks() > 0 {
        return format!("{} live", units::bytes(stats.live_bytes()));
    }
    format!("{} allocated", units::bytes(stats.allocated_bytes))
}

/// The stack; when it is higher than its room, its first lines and how many are left.
fn lines<'a>(app: &App, width: usize, height: usize) -> Vec<Line<'a>> {
    let mut all: Vec<_> = stack_lines(app).iter().map(|line| stack_line(line, app, width)).collect();
    if all.len() > height {
        let left = all.len() - height.saturating_sub(1);
        all.truncate(height.saturating_sub(1));
        all.push(Line::styled(format!("  … {left} more lines"), app.theme.dim));
    }
    all
}

/// The heaviest stack of the selected row, whole.
pub(super) fn stack_lines(app: &App) -> Vec<StackLine> {
    let (Some(shown), Some(stack)) = (&app.shown, app.detail.members.first()) else { return Vec::new() };
    let (known, stats) = app.table.stack(*stack);
    let stack = SiteStack { stack: known.stack.clone(), end: known.end, stats: *stats };
    stack::lines(&stack, known.site, &app.table.grouped().namer, &shown.symbols, &shown.profile.modules)
}

pub(super) fn stack_line<'a>(line: &StackLine, app: &App, width: usize) -> Line<'a> {
    let mark = if line.names_site { "> " } else { "  " };
    let text = format!("{mark}{}", elide::middle(&line.text, width.saturating_sub(2)));
    match line {
        StackLine { names_site: true, .. } => Line::styled(text, app.theme.site),
        StackLine { is_note: true, .. } => Line::styled(text, app.theme.dim),
        _ => Line::raw(text),
    }
}
