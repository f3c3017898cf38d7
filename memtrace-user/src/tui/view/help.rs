//! The keys, from the table that drives them.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use super::super::{App, keys::BINDINGS};

/// Columns of the keys.
const KEYS: usize = 9;

pub(super) fn render(frame: &mut Frame, app: &App) {
    let lines: Vec<Line> = BINDINGS
        .iter()
        .map(|binding| {
            Line::from(vec![
                Span::styled(format!(" {:KEYS$}", binding.shown), app.theme.title),
                Span::raw(format!(" {} ", binding.help)),
            ])
        })
        .collect();
    let area = centred(frame.area(), &lines);
    let room = usize::from(area.height.saturating_sub(2));
    let title = if room < lines.len() { format!(" Keys: {room} of {} ", lines.len()) } else { " Keys ".into() };
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(title)), area);
}

/// A box around the lines in the middle of the screen, or the screen when that is smaller.
fn centred(screen: Rect, lines: &[Line]) -> Rect {
    let fit = |length: usize, most: u16| u16::try_from(length + 2).unwrap_or(most).min(most);
    let width = fit(lines.iter().map(Line::width).max().unwrap_or(0), screen.width);
    let height = fit(lines.len(), screen.height);
    Rect::new(screen.x + (screen.width - width) / 2, screen.y + (screen.height - height) / 2, width, height)
}
