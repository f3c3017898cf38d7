//! Rows that one can move in, below their titles. Only those on the screen are made, however many there are.

use ratatui::{Frame, layout::Rect, text::Line};

use crate::{
    report::elide,
    tui::{
        app::{Cursor, visible_from},
        theme::Theme,
    },
};

/// Draws the titles and as many of the rows as there is room for; `line` makes that at a place.
pub(in crate::tui) fn render<'a>(
    frame: &mut Frame,
    area: Rect,
    theme: &Theme,
    titles: Line<'a>,
    (cursor, count): (Cursor, usize),
    line: impl Fn(usize) -> Line<'a>,
) {
    let mut rows = area.rows();
    if let Some(row) = rows.next() {
        frame.render_widget(titles, row);
    }
    let first = visible_from(cursor.first, cursor.at, count, usize::from(area.height.saturating_sub(1)));
    for (row, place) in rows.zip(first..count) {
        frame.render_widget(line(place), row);
        if place == cursor.at {
            frame.buffer_mut().set_style(row, theme.selected);
        }
    }
}

/// Says below the titles why there is no row.
pub(in crate::tui) fn nothing(frame: &mut Frame, area: Rect, theme: &Theme, reason: &str) {
    if area.height > 1 {
        let row = Rect { y: area.y + 1, height: 1, ..area };
        frame.render_widget(Line::styled(elide::end(reason, usize::from(area.width)), theme.dim), row);
    }
}
