//! The keys of the live view: one table that drives them, the help page and the footer.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::action::{Action, Move};
use crate::profile::SortBy;

/// A key with the modifiers that matter.
type Key = (KeyCode, KeyModifiers);

/// One action: the keys for it, how they are written, what they do.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// Any of these.
    keys: &'static [Key],
    /// How the keys are written.
    pub shown: &'static str,
    /// What they do.
    pub action: Action,
    /// What they do, in words.
    pub help: &'static str,
    /// A word for the footer, when it is worth its place there.
    pub hint: Option<&'static str>,
}

const fn key(code: KeyCode) -> Key {
    (code, KeyModifiers::NONE)
}

const fn char_key(character: char) -> Key {
    key(KeyCode::Char(character))
}

const fn ctrl(character: char) -> Key {
    (KeyCode::Char(character), KeyModifiers::CONTROL)
}

const fn bind(keys: &'static [Key], shown: &'static str, action: Action, help: &'static str) -> Binding {
    Binding { keys, shown, action, help, hint: None }
}

const fn hinted(binding: Binding, hint: &'static str) -> Binding {
    Binding { hint: Some(hint), ..binding }
}

/// Every key, in the order of the help page.
#[rustfmt::skip]
pub const BINDINGS: &[Binding] = &[
    hinted(bind(&[char_key('q'), ctrl('c')], "q Ctrl-C", Action::Quit, "detach and quit"), "quit"),
    hinted(bind(&[char_key('?'), char_key('h')], "? h", Action::ToggleHelp, "show or hide this help"), "help"),
    bind(&[key(KeyCode::Esc)], "Esc", Action::CloseHelp, "hide this help"),
    hinted(bind(&[char_key('>')], ">", Action::SortNext, "sort by the next number"), "sort"),
    bind(&[char_key('<')], "<", Action::SortPrevious, "sort by the previous number"),
    bind(&[char_key('1')], "1", Action::Sort(SortBy::LiveBytes), "sort by live bytes"),
    bind(&[char_key('2')], "2", Action::Sort(SortBy::LiveBlocks), "sort by live blocks"),
    bind(&[char_key('3')], "3", Action::Sort(SortBy::AllocatedBytes), "sort by allocated bytes"),
    bind(&[char_key('4')], "4", Action::Sort(SortBy::AllocatedBlocks), "sort by allocated blocks"),
    bind(&[char_key('5')], "5", Action::Sort(SortBy::FreedBytes), "sort by freed bytes"),
    hinted(bind(&[char_key(' ')], "Space", Action::TogglePause, "hold the numbers, or go on"), "pause"),
    hinted(bind(&[char_key('s')], "s", Action::Snapshot, "write a snapshot"), "snapshot"),
    bind(&[char_key('c')], "c", Action::Clear, "forget what was recorded"),
    bind(&[char_key('p')], "p", Action::ResetPeak, "make what is live the peak"),
    bind(&[key(KeyCode::Up), char_key('k')], "↑ k", Action::Select(Move::Up), "select the call site above"),
    bind(&[key(KeyCode::Down), char_key('j')], "↓ j", Action::Select(Move::Down), "select the call site below"),
    bind(&[key(KeyCode::PageUp), ctrl('b')], "PgUp", Action::Select(Move::PageUp), "a screen up"),
    bind(&[key(KeyCode::PageDown), ctrl('f')], "PgDn", Action::Select(Move::PageDown), "a screen down"),
    bind(&[key(KeyCode::Home), char_key('g')], "Home g", Action::Select(Move::First), "to the first, and stay there"),
    bind(&[key(KeyCode::End), char_key('G')], "End G", Action::Select(Move::Last), "to the last"),
    bind(&[ctrl('z')], "Ctrl-Z", Action::Suspend, "suspend; tracing goes on"),
    bind(&[ctrl('l')], "Ctrl-L", Action::Redraw, "draw the screen anew"),
];

/// What a key does, if anything.
#[must_use]
pub fn action_for(event: KeyEvent) -> Option<Action> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    // Shift is part of a character already; some terminals report it as well.
    let modifiers = event.modifiers - KeyModifiers::SHIFT;
    let found = BINDINGS.iter().find(|binding| binding.keys.contains(&(event.code, modifiers)));
    found.map(|binding| binding.action)
}

/// What an event of the terminal does, if anything: keys, and changes of its size.
#[must_use]
pub fn action_for_event(event: &Event) -> Option<Action> {
    match event {
        Event::Key(key) => action_for(*key),
        Event::Resize(width, height) => Some(Action::Resize { width: *width, height: *height }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Every key of the table does what its line says, with shift reported and without; no key stands twice.
    #[test]
    fn every_key_does_what_its_line_says() {
        let mut seen = HashSet::new();
        for binding in BINDINGS {
            for (code, modifiers) in binding.keys {
                assert!(seen.insert((*code, *modifiers)), "{} is bound twice", binding.shown);
                for shift in [KeyModifiers::NONE, KeyModifiers::SHIFT] {
                    assert_eq!(action_for(KeyEvent::new(*code, *modifiers | shift)), Some(binding.action));
                }
            }
        }
    }

    /// Keys that are not bound, keys with other modifiers and the release of a key do nothing.
    #[test]
    fn other_keys_do_nothing() {
        assert_eq!(action_for(KeyEvent::new(KeyCode::F(5), KeyModifiers::NONE)), None);
        assert_eq!(action_for(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT)), None);
        let release = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(action_for(release), None);
    }

    /// Every order has a digit.
    #[test]
    fn every_order_has_a_key() {
        for order in SortBy::all() {
            assert!(BINDINGS.iter().any(|binding| binding.action == Action::Sort(order)), "{}", order.label());
        }
    }

    /// A new size of the terminal is an action too.
    #[test]
    fn resize_is_an_action() {
        assert_eq!(action_for_event(&Event::Resize(40, 10)), Some(Action::Resize { width: 40, height: 10 }));
    }
}
