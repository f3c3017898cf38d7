//! The keys of the table of processes: one table that drives them, the help page and the footer.

use crossterm::event::KeyCode;

use super::{
    super::{
        action::Action,
        heading::Order,
        keys::{Binding, Keys, MOVING, SORTING, TERMINAL, bind, char_key, ctrl, hinted, key},
    },
    columns::headings,
};

/// Every key, in the order of the help page. (A digit sorts by the column that has it in the table of columns.)
#[rustfmt::skip]
const BINDINGS: &[&[Binding]] = &[
    &[
        hinted(bind(&[char_key('q'), ctrl('c')], "q Ctrl-C", Action::Quit, "detach and quit; from a process back to this table"), "quit"),
        hinted(bind(&[char_key('?'), key(KeyCode::F(1))], "? F1", Action::ToggleHelp, "show or hide this help"), "help"),
        hinted(bind(&[key(KeyCode::Enter)], "Enter", Action::Open, "the call sites of the selected process, in a live view"), "open"),
        bind(&[key(KeyCode::Esc), key(KeyCode::Backspace)], "Esc", Action::Back, "hide the help, drop the filter"),
    ],
    MOVING,
    SORTING,
    &[
        hinted(bind(&[char_key('/')], "/", Action::Filter, "filter by a part of command, user or container; Esc drops it"), "filter"),
        hinted(bind(&[char_key(' ')], "Space", Action::TogglePause, "hold the numbers, or go on"), "pause"),
    ],
    TERMINAL,
];

/// The keys of the table of processes.
pub const KEYS: Keys = Keys { groups: BINDINGS, order_of: |digit| Order::of_key(headings(), digit) };

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
        for binding in KEYS.bindings() {
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
