//! The line of titles above a table. The sorted column carries a mark: it is not told by its style alone.

use ratatui::text::Span;

use crate::{
    report::elide,
    tui::{
        heading::{Headings, Order},
        theme::Theme,
    },
};

/// How the titles of a table look.
pub(in crate::tui) struct Titles<'a> {
    pub(in crate::tui) sort: Order,
    pub(in crate::tui) reversed: bool,
    pub(in crate::tui) theme: &'a Theme,
}

impl Titles<'_> {
    /// Those of numbers, each above the end of its column, with the blank at the start of the line.
    pub(in crate::tui) fn numbers<'a>(&self, headings: &Headings) -> Vec<Span<'a>> {
        let mut spans = vec![Span::raw(" ")];
        for shown in &headings.shown {
            let title = self.title(Order::Column(shown.index), shown.title);
            spans.push(Span::raw(" ".repeat(shown.width.saturating_sub(elide::width(&title.content)))));
            spans.extend([title, Span::raw(" ")]);
        }
        spans
    }

    /// A title with the mark, if it is what is sorted by.
    pub(in crate::tui) fn title<'a>(&self, order: Order, title: &'static str) -> Span<'a> {
        if order != self.sort {
            return Span::styled(title, self.theme.title);
        }
        let mark = if self.reversed { "▲" } else { "▼" };
        Span::styled(format!("{mark}{title}"), self.theme.sorted)
    }
}
