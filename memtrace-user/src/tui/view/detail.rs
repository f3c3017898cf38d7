//! The heaviest stack of the selected call site.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Borders},
};

use super::super::{App, app::Shown};
use crate::{
    profile::Site,
    report::{
        elide, sites,
        stack::{self, StackLine},
        units,
    },
};

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    let (Some(shown), Some(site)) = (&app.shown, app.selected_site()) else { return };
    let width = usize::from(area.width);
    let title = elide::end(&title(site, app), width.saturating_sub(1));
    let block = Block::new().borders(Borders::TOP).title(Span::styled(title, app.theme.title));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    for (row, line) in inner.rows().zip(lines(site, shown, app, width, usize::from(inner.height))) {
        frame.render_widget(line, row);
    }
}

fn title(site: &Site, app: &App) -> String {
    let place = format!("Site {} of {}", units::count(app.selected as u64 + 1), units::count(app.sites().len() as u64));
    let amount = |stats| sites::amount(app.sort, app.sort.value(stats));
    match &site.stacks[..] {
        [] => format!(" {place} "),
        [only] => format!(" {place}: one stack, {} ", amount(&only.stats)),
        [heaviest, ..] => format!(
            " {place}: heaviest of {} stacks, {} of {} ",
            units::count(site.stacks.len() as u64),
            amount(&heaviest.stats),
            amount(&site.stats)
        ),
    }
}

/// The stack; when it is higher than its room, its first lines and how many are left.
fn lines<'a>(site: &Site, shown: &Shown, app: &App, width: usize, height: usize) -> Vec<Line<'a>> {
    let (symbols, modules) = (&shown.reading.symbols, &shown.reading.profile.modules);
    let mut all: Vec<_> = stack::heaviest(site, &shown.ranking, symbols, modules)
        .iter()
        .map(|line| stack_line(line, app, width))
        .collect();
    if all.len() > height {
        let left = all.len() - height.saturating_sub(1);
        all.truncate(height.saturating_sub(1));
        all.push(Line::styled(format!("  … {left} more lines"), app.theme.dim));
    }
    all
}

fn stack_line<'a>(line: &StackLine, app: &App, width: usize) -> Line<'a> {
    let mark = if line.names_site { "> " } else { "  " };
    let text = format!("{mark}{}", elide::middle(&line.text, width.saturating_sub(2)));
    match line {
        StackLine { names_site: true, .. } => Line::styled(text, app.theme.site),
        StackLine { is_note: true, .. } => Line::styled(text, app.theme.dim),
        _ => Line::raw(text),
    }
}
