//! Styles by what they mean. Sixteen ANSI colours, so that the terminal's own theme applies; a colour never says what
//! the text does not say as well.

use ratatui::style::{Color, Modifier, Style};

/// The styles of the live view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Names of numbers.
    pub label: Style,
    /// Column titles.
    pub title: Style,
    /// The title of the column that is sorted by.
    pub sorted: Style,
    /// The selected row.
    pub selected: Style,
    /// Losses, which must not be overlooked.
    pub alarm: Style,
    /// States that explain why numbers do not move: paused, ended.
    pub state: Style,
    /// What is of less interest: module names, notes.
    pub dim: Style,
    /// The frame that names the selected site.
    pub site: Style,
    /// Parts of the flame view, by turns.
    pub flame: [Style; 2],
}

impl Theme {
    /// By the environment: a `NO_COLOR` that is not empty switches colours off (<https://no-color.org>).
    #[must_use]
    pub fn from_env() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if no_color { Self::monochrome() } else { Self::colour() }
    }

    /// Bold, dim and reversed text alone. crossterm 0.29 honours `NO_COLOR` by writing colour changes without
    /// parameters, which the terminal takes for a reset of everything: so no colour may be set at all.
    #[must_use]
    pub fn monochrome() -> Self {
        let plain = Style::new();
        Self {
            label: plain.add_modifier(Modifier::DIM),
            title: plain.add_modifier(Modifier::BOLD),
            sorted: plain.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
            selected: plain.add_modifier(Modifier::REVERSED),
            alarm: plain.add_modifier(Modifier::BOLD | Modifier::REVERSED),
            state: plain.add_modifier(Modifier::REVERSED),
            dim: plain.add_modifier(Modifier::DIM),
            site: plain.add_modifier(Modifier::BOLD),
            flame: [plain.add_modifier(Modifier::REVERSED), plain],
        }
    }

    /// The same with colours.
    #[must_use]
    pub fn colour() -> Self {
        let base = Self::monochrome();
        Self {
            label: Style::new().fg(Color::Cyan),
            sorted: base.sorted.fg(Color::Green),
            alarm: base.alarm.fg(Color::Red),
            state: base.state.fg(Color::Yellow),
            flame: [Style::new().fg(Color::Black).bg(Color::Yellow), Style::new().fg(Color::Black).bg(Color::Green)],
            ..base
        }
    }
}
