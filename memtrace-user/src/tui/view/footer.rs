//! The last line: the filter while it is typed, a message when there is one, else the most useful keys.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::super::{
    App, Theme,
    keys::{KEYS, Keys},
};
use crate::report::{elide, escape::escape, units};

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    frame.render_widget(line(app, usize::from(area.width)), area);
}

fn line<'a>(app: &App, width: usize) -> Line<'a> {
    if app.typing {
        let counts = (app.table.order().len(), app.table.count_all());
        return filter(app.table.filter(), counts, width, &app.theme);
    }
    if let Some(message) = &app.message {
        return self::message(message, width);
    }
    let ended = app.shown.as_ref().is_some_and(|shown| shown.profile.process.exited);
    let mut line = keys(&KEYS, width, &app.theme);
    if ended && line.width() + 24 <= width {
        line.spans.push(Span::styled("this is its last state", app.theme.dim));
    }
    line
}

/// What has been said, until the next key.
pub(in crate::tui) fn message<'a>(message: &str, width: usize) -> Line<'a> {
    Line::raw(elide::end(&escape(message), width))
}

/// The most useful keys, as many as there is room for.
pub(in crate::tui) fn keys<'a>(keys: &Keys, width: usize, theme: &Theme) -> Line<'a> {
    let mut line = Line::default();
    for binding in keys.bindings() {
        let Some(hint) = binding.hint else { continue };
        let key = binding.shown.split(' ').next().unwrap_or_default();
        let spans = [Span::styled(key, theme.title), Span::raw(format!(" {hint}  "))];
        if line.width() + spans.iter().map(Span::width).sum::<usize>() > width + 2 {
            break;
        }
        line.spans.extend(spans);
    }
    line
}

/// The end of the filter is seen, as that is where it is typed. Behind it, how many rows it leaves of how many.
pub(in crate::tui) fn filter<'a>(filter: &str, (left, all): (usize, usize), width: usize, theme: &Theme) -> Line<'a> {
    let found = format!("  {left} of {}", units::count(all as u64));
    let text = escape(filter).into_owned();
    let room = width.saturating_sub(elide::width(&found) + 2);
    let skipped = elide::width(&text).saturating_sub(room);
    let text: String = text.chars().skip(skipped).collect();
    Line::from(vec![Span::styled("/", theme.title), Span::raw(format!("{text}█")), Span::styled(found, theme.dim)])
}
