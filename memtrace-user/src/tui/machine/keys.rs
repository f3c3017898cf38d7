//! The keys of the table of processes: one table that drives them, the help page and the footer.

use crossterm::event::KeyCode;

use super::{
    super::{
        action::{Action, Move, Turn},
        heading::Order,
        keys::{Binding, Keys, bind, char_key, ctrl, hinted, key},
    },
    columns::headings,
};

/// Every key, in the order of the help page. (A digit sorts by the column that has it in the table of columns.)
#[rustfmt::skip]
pub(super) const BINDINGS: &[Binding] = &[
    hinted(bind(&[char_key('q'), ctrl('c')], "q Ctrl-C", Action::Quit, "detach and quit; from a process back to this table"), "quit"),
    hinted(bind(&[char_key('?'), key(KeyCode::F(1))], "? F1", Action::ToggleHelp, "show or hide this help"), "help"),
    hinted(bind(&[key(KeyCode::Enter)], "Enter", Action::Open, "the call sites of the selected process, in a live view"), "open"),
    bind(&[key(KeyCode::Esc), key(KeyCode::Backspace)], "Esc", Action::Back, "hide the help, drop the filter"),
    bind(&[key(KeyCode::Up), char_key('k')], "↑ k", Action::Select(Move::Up), "one up"),
    bind(&[key(KeyCode::Down), char_key('j')], "↓ j", Action::Select(Move::Down), "one down"),
    bind(&[key(KeyCode::PageUp), ctrl('b')], "PgUp", Action::Select(Move::PageUp), "a screen up"),
    bind(&[key(KeyCode::PageDown), ctrl('f')], "PgDn", Action::Select(Move::PageDown), "a screen down"),
    bind(&[key(KeyCode::Home)], "Home", Action::Select(Move::First), "to the first, and stay there"),
    bind(&[key(KeyCode::End)], "End", Action::Select(Move::Last), "to the last"),
    hinted(bind(&[char_key('>')], ">", Action::SortNext(Turn::Forward), "sort by the next column"), "sort"),
    bind(&[char_key('<')], "<", Action::SortNext(Turn::Backward), "sort by the previous column"),
    bind(&[char_key('r')], "r", Action::Reverse, "turn the order around"),
    hinted(bind(&[char_key('/')], "/", Action::Filter, "filter by a part of command, user or container; Esc drops it"), "filter"),
    hinted(bind(&[char_key(' ')], "Space", Action::TogglePause, "hold the numbers, or go on"), "pause"),
    bind(&[ctrl('z')], "Ctrl-Z", Action::Suspend, "suspend; tracing goes on"),
    bind(&[ctrl('l')], "Ctrl-L", Action::Redraw, "draw the screen anew"),
];

/// The keys of the table of processes.
pub const KEYS: Keys = Keys { bindings: BINDINGS, order_of: |digit| Order::of_key(headings(), digit) };

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crossterm::event::{Event, KeyEvent, KeyModifiers};

    use super::{
        super::{super::keys::Input, columns::COLUMNS},
        *,
    };

    /// Every key of the table does what its line says, and no key stands twice.
    #[test]
    fn every_key_does_what_its_line_says() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            for (code, modifiers) in binding.keys() {
                assert!(seen.insert((*code, *modifiers)), "{} is bound twice", binding.shown);
                let event = Event::Key(KeyEvent::new(*code, *modifiers));
                assert_eq!(KEYS.action_for_event(&event, Input::Commands), Some(binding.action));
            }
        }
        for (index, column) in COLUMNS.iter().enumerate() {
            let event = Event::Key(KeyEvent::new(KeyCode::Char(column.heading.key), KeyModifiers::NONE));
            assert_eq!(KEYS.action_for_event(&event, Input::Commands), Some(Action::Sort(Order::Column(index))));
        }
    }
}
