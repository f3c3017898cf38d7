//! The last line: a message when there is one, else the most useful keys.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::super::{App, keys::BINDINGS};
use crate::report::{elide, escape::escape};

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    frame.render_widget(line(app, usize::from(area.width)), area);
}

fn line<'a>(app: &App, width: usize) -> Line<'a> {
    let ended = app.shown.as_ref().is_some_and(|shown| shown.reading.profile.process.exited);
    if let Some(message) = &app.message {
        return Line::raw(elide::end(&escape(message), width));
    }
    let mut line = Line::default();
    for binding in BINDINGS {
        let Some(hint) = binding.hint else { continue };
        let key = binding.shown.split(' ').next().unwrap_or_default();
        line.spans.extend([Span::styled(key, app.theme.title), Span::raw(format!(" {hint}  "))]);
    }
    if ended && line.width() + 24 <= width {
        line.spans.push(Span::styled("this is its last state", app.theme.dim));
    }
    line
}
