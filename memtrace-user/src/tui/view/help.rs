//! The keys, from the table that drives them, and what the columns mean.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use super::super::{
    App, Theme,
    columns::headings,
    heading::Heading,
    keys::{KEYS, Keys},
};

/// Columns of the keys.
const WIDTH: usize = 9;

/// How many lines there are.
pub(in crate::tui) fn lines() -> usize {
    all().count()
}

fn all() -> impl Iterator<Item = (String, &'static str)> {
    let notes = [
        ("Sum".to_owned(), "part of the total down to this row"),
        ("Mouse".to_owned(), "a row selects, again opens; a title sorts; right goes back"),
        ("K M G".to_owned(), "powers of 1024"),
        ("10 ms".to_owned(), "by the kernel's clock: give or take a tick of it"),
    ];
    entries(&KEYS, headings()).chain(notes)
}

/// Each key and column of a view, and what it does or means.
pub(in crate::tui) fn entries(
    keys: &Keys,
    headings: impl Iterator<Item = &'static Heading>,
) -> impl Iterator<Item = (String, &'static str)> {
    let keys = keys.bindings().map(|binding| (binding.shown.to_owned(), binding.help));
    keys.chain(headings.map(|heading| (format!("{} {}", heading.key, heading.title), heading.meaning)))
}

pub(super) fn render(frame: &mut Frame, app: &App, first: usize) {
    page(frame, &app.theme, first, all());
}

/// A page of keys and what they do, from a line on.
pub(in crate::tui) fn page(
    frame: &mut Frame,
    theme: &Theme,
    first: usize,
    entries: impl Iterator<Item = (String, &'static str)>,
) {
    let lines: Vec<Line> = entries
        .map(|(key, text)| {
            Line::from(vec![Span::styled(format!(" {key:WIDTH$}"), theme.title), Span::raw(format!(" {text} "))])
        })
        .collect();
    let area = centred(frame.area(), &lines);
    let room = usize::from(area.height.saturating_sub(2));
    let first = first.min(lines.len().saturating_sub(room));
    let title = if room < lines.len() {
        format!(" Keys: {}–{} of {}, ↑ ↓ ", first + 1, first + room, lines.len())
    } else {
        " Keys ".into()
    };
    frame.render_widget(Clear, area);
    let shown: Vec<Line> = lines.into_iter().skip(first).collect();
    frame.render_widget(Paragraph::new(shown).block(Block::bordered().title(title)), area);
}

/// A box around the lines in the middle of the screen, or the screen when that is smaller.
fn centred(screen: Rect, lines: &[Line]) -> Rect {
    let fit = |length: usize, most: u16| u16::try_from(length + 2).unwrap_or(most).min(most);
    let width = fit(lines.iter().map(Line::width).max().unwrap_or(0), screen.width);
    let height = fit(lines.len(), screen.height);
    Rect::new(screen.x + (screen.width - width) / 2, screen.y + (screen.height - height) / 2, width, height)
}
