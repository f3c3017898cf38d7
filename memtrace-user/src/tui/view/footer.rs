//! The last line: the filter while it is typed, a message when there is one, else the most useful keys.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::super::{App, keys::BINDINGS};
use crate::report::{elide, escape::escape, units};

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    frame.render_widget(line(app, usize::from(area.width)), area);
}

fn line<'a>(app: &App, width: usize) -> Line<'a> {
    if app.typing {
        return filter(app, width);
    }
    if let Some(message) = &app.message {
        return Line::raw(elide::end(&escape(message), width));
    }
    let ended = app.shown.as_ref().is_some_and(|shown| shown.profile.process.exited);
    let mut line = Line::default();
    for binding in BINDINGS {
        let Some(hint) = binding.hint else { continue };
        let key = binding.shown.split(' ').next().unwrap_or_default();
        let spans = [Span::styled(key, app.theme.title), Span::raw(format!(" {hint}  "))];
        if line.width() + spans.iter().map(Span::width).sum::<usize>() > width + 2 {
            break;
        }
        line.spans.extend(spans);
    }
    if ended && line.width() + 24 <= width {
        line.spans.push(Span::styled("this is its last state", app.theme.dim));
    }
    line
}

/// The end of the filter is seen, as that is where it is typed.
fn filter<'a>(app: &App, width: usize) -> Line<'a> {
    let found = format!("  {} of {}", app.table.order().len(), units::count(app.table.count_all() as u64));
    let text = escape(app.table.filter()).into_owned();
    let room = width.saturating_sub(elide::width(&found) + 2);
    let skipped = elide::width(&text).saturating_sub(room);
    let text: String = text.chars().skip(skipped).collect();
    Line::from(vec![
        Span::styled("/", app.theme.title),
        Span::raw(format!("{text}█")),
        Span::styled(found, app.theme.dim),
    ])
}
