//! The keys of the live view: one table that drives them, the help page and the footer.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

use super::{
    action::{Action, Move, Turn},
    columns::headings,
    heading::Order,
};

/// A key with the modifiers that matter.
pub(super) type Key = (KeyCode, KeyModifiers);

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

impl Binding {
    /// The keys.
    #[cfg(test)]
    pub(super) const fn keys(&self) -> &'static [Key] {
        self.keys
    }
}

/// The keys of a view.
#[derive(Debug)]
pub struct Keys {
    /// Keys that are bound, in the order of the help page; some stand in every view.
    pub(super) groups: &'static [&'static [Binding]],
    /// The order that a digit sorts by.
    pub(super) order_of: fn(char) -> Option<Order>,
}

/// Whether keys are commands or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Commands.
    Commands,
    /// A filter is typed.
    Text,
}

pub(super) const fn key(code: KeyCode) -> Key {
    (code, KeyModifiers::NONE)
}

pub(super) const fn char_key(character: char) -> Key {
    key(KeyCode::Char(character))
}

pub(super) const fn ctrl(character: char) -> Key {
    (KeyCode::Char(character), KeyModifiers::CONTROL)
}

pub(super) const fn bind(keys: &'static [Key], shown: &'static str, action: Action, help: &'static str) -> Binding {
    Binding { keys, shown, action, help, hint: None }
}

pub(super) const fn hinted(binding: Binding, hint: &'static str) -> Binding {
    Binding { hint: Some(hint), ..binding }
}

/// Keys that move the selection, in every view.
#[rustfmt::skip]
pub(super) const MOVING: &[Binding] = &[
    bind(&[key(KeyCode::Up), char_key('k')], "↑ k", Action::Select(Move::Up), "one up"),
    bind(&[key(KeyCode::Down), char_key('j')], "↓ j", Action::Select(Move::Down), "one down"),
    bind(&[key(KeyCode::PageUp), ctrl('b')], "PgUp", Action::Select(Move::PageUp), "a screen up"),
    bind(&[key(KeyCode::PageDown), ctrl('f')], "PgDn", Action::Select(Move::PageDown), "a screen down"),
    bind(&[key(KeyCode::Home)], "Home", Action::Select(Move::First), "to the first, and stay there"),
    bind(&[key(KeyCode::End)], "End", Action::Select(Move::Last), "to the last"),
];

/// Keys that change the order of the rows, in every view.
#[rustfmt::skip]
pub(super) const SORTING: &[Binding] = &[
    hinted(bind(&[char_key('>')], ">", Action::SortNext(Turn::Forward), "sort by the next column"), "sort"),
    bind(&[char_key('<')], "<", Action::SortNext(Turn::Backward), "sort by the previous column"),
    bind(&[char_key('r')], "r", Action::Reverse, "turn the order around"),
];

/// Keys for the terminal's sake, in every view.
#[rustfmt::skip]
pub(super) const TERMINAL: &[Binding] = &[
    bind(&[ctrl('z')], "Ctrl-Z", Action::Suspend, "suspend; tracing goes on"),
    bind(&[ctrl('l')], "Ctrl-L", Action::Redraw, "draw the screen anew"),
];

/// Every key, in the order of the help page. (A digit sorts by the column that has it in the table of columns.)
#[rustfmt::skip]
const BINDINGS: &[&[Binding]] = &[
    &[
        hinted(bind(&[char_key('q'), ctrl('c')], "q Ctrl-C", Action::Quit, "detach and quit"), "quit"),
        hinted(bind(&[char_key('?'), key(KeyCode::F(1))], "? F1", Action::ToggleHelp, "show or hide this help"), "help"),
        hinted(bind(&[key(KeyCode::Enter)], "Enter", Action::Open, "look closer: detail, unfold, zoom in"), "open"),
        bind(&[key(KeyCode::Esc), key(KeyCode::Backspace)], "Esc", Action::Back, "back: zoom out, leave a view, drop the filter"),
    ],
    MOVING,
    &[
        bind(&[key(KeyCode::Right), char_key('l')], "→ l", Action::Right, "unfold; in the flame view to the right"),
        bind(&[key(KeyCode::Left), char_key('h')], "← h", Action::Left, "fold; in the flame view to the left"),
        bind(&[key(KeyCode::Tab)], "Tab", Action::Pane(Turn::Forward), "detail: next of callers, stack, sizes, source"),
        bind(&[key(KeyCode::BackTab)], "Shift-Tab", Action::Pane(Turn::Backward), "detail: the one before"),
    ],
    SORTING,
    &[
        hinted(bind(&[char_key('g')], "g", Action::Group(Turn::Forward), "group by line, function, file, module, thread, …"), "group"),
        bind(&[ctrl('g')], "Ctrl-G", Action::Group(Turn::Backward), "the grouping before"),
        bind(&[char_key('t')], "t", Action::ToggleThreads, "split threads, or merge them"),
        bind(&[char_key('d')], "d", Action::NextDomain, "the next layer of memory: blocks, mappings, …"),
        hinted(bind(&[char_key('/')], "/", Action::Filter, "filter by a part of the name; Esc drops it"), "filter"),
        hinted(bind(&[char_key(' ')], "Space", Action::TogglePause, "hold the numbers, or go on"), "pause"),
        hinted(bind(&[char_key('s')], "s", Action::Snapshot, "write a snapshot"), "snapshot"),
        bind(&[char_key('c')], "c", Action::Clear, "forget what was recorded"),
        bind(&[char_key('p')], "p", Action::ResetPeak, "make what is live the peak"),
        hinted(bind(&[char_key('m')], "m", Action::Mark, "mark: ΔMark counts from here, a generation begins"), "mark"),
        bind(&[char_key('G')], "G", Action::ToggleGenerations, "generations: what has grown between two marks"),
        bind(&[char_key(']')], "]", Action::From(Turn::Forward), "generations: compare from a later mark"),
        bind(&[char_key('[')], "[", Action::From(Turn::Backward), "generations: compare from an earlier mark"),
        bind(&[char_key('}')], "}", Action::To(Turn::Forward), "generations: compare to a later mark"),
        bind(&[char_key('{')], "{", Action::To(Turn::Backward), "generations: compare to an earlier mark"),
        hinted(bind(&[char_key('f')], "f", Action::ToggleFlame, "flame view of all stacks"), "flame"),
        bind(&[char_key('v')], "v", Action::ToggleMeasure, "flame view: live bytes, or bytes allocated a second"),
        bind(&[char_key('e')], "e", Action::Export, "write what is shown to files"),
    ],
    TERMINAL,
];

/// Keys while a filter is typed; characters are its text.
const TYPING: &[(Key, Action)] = &[
    (key(KeyCode::Enter), Action::EndFilter),
    (key(KeyCode::Esc), Action::Back),
    (key(KeyCode::Backspace), Action::Erase),
    (ctrl('h'), Action::Erase),
    (ctrl('u'), Action::EraseAll),
    (ctrl('c'), Action::Quit),
    (ctrl('z'), Action::Suspend),
    (key(KeyCode::Up), Action::Select(Move::Up)),
    (key(KeyCode::Down), Action::Select(Move::Down)),
];

/// The keys of the view of call sites.
pub const KEYS: Keys = Keys { groups: BINDINGS, order_of: |digit| Order::of_key(headings(), digit) };

impl Keys {
    /// Every key, in the order of the help page.
    pub(super) fn bindings(&self) -> impl Iterator<Item = &'static Binding> {
        self.groups.iter().copied().flatten()
    }

    /// What an event of the terminal does, if anything: keys, the mouse, and changes of the terminal's size.
    #[must_use]
    pub fn action_for_event(&self, event: &Event, input: Input) -> Option<Action> {
        match event {
            Event::Key(key) => self.action_for(*key, input),
            Event::Mouse(mouse) => action_for_mouse(*mouse),
            Event::Resize(width, height) => Some(Action::Resize { width: *width, height: *height }),
            _ => None,
        }
    }

    fn action_for(&self, event: KeyEvent, input: Input) -> Option<Action> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        // Shift is part of a character already; some terminals report it as well.
        let pressed = (event.code, event.modifiers - KeyModifiers::SHIFT);
        match (input, pressed) {
            (Input::Text, (KeyCode::Char(character), KeyModifiers::NONE)) => Some(Action::Type(character)),
            (Input::Text, pressed) => TYPING.iter().find(|(key, _)| *key == pressed).map(|(_, action)| *action),
            (Input::Commands, pressed) => {
                let order = match pressed {
                    (KeyCode::Char(digit), KeyModifiers::NONE) => (self.order_of)(digit).map(Action::Sort),
                    _ => None,
                };
                let bound = || self.bindings().find(|binding| binding.keys.contains(&pressed));
                order.or_else(|| bound().map(|binding| binding.action))
            }
        }
    }
}

fn action_for_mouse(mouse: MouseEvent) -> Option<Action> {
    match mouse.kind {
        MouseEventKind::Down(MouseButton::Left) => Some(Action::Click { column: mouse.column, line: mouse.row }),
        MouseEventKind::Down(MouseButton::Right) => Some(Action::Back),
        MouseEventKind::ScrollUp => Some(Action::Select(Move::WheelUp)),
        MouseEventKind::ScrollDown => Some(Action::Select(Move::WheelDown)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::columns::COLUMNS, *};

    /// Every key of the table does what its line says, with shift reported and without; no key stands twice, and none is
    /// a digit, as those sort.
    #[test]
    fn every_key_does_what_its_line_says() {
        let mut seen = HashSet::new();
        for binding in KEYS.bindings() {
            for (code, modifiers) in binding.keys {
                assert!(seen.insert((*code, *modifiers)), "{} is bound twice", binding.shown);
                for shift in [KeyModifiers::NONE, KeyModifiers::SHIFT] {
                    let event = KeyEvent::new(*code, *modifiers | shift);
                    assert_eq!(KEYS.action_for(event, Input::Commands), Some(binding.action));
                }
            }
        }
    }

    /// Every column has a digit that sorts by it.
    #[test]
    fn every_column_has_a_key() {
        for (index, column) in COLUMNS.iter().enumerate() {
            let event = KeyEvent::new(KeyCode::Char(column.heading.key), KeyModifiers::NONE);
            assert_eq!(KEYS.action_for(event, Input::Commands), Some(Action::Sort(Order::Column(index))));
        }
    }

    /// While a filter is typed, characters are text, and the keys that end it do so.
    #[test]
    fn characters_are_text_while_a_filter_is_typed() {
        for character in ['q', '/', '1', 'é', ' '] {
            let event = KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE);
            assert_eq!(KEYS.action_for(event, Input::Text), Some(Action::Type(character)));
        }
        for ((code, modifiers), action) in TYPING {
            assert_eq!(KEYS.action_for(KeyEvent::new(*code, *modifiers), Input::Text), Some(*action));
        }
    }

    /// Keys that are not bound, keys with other modifiers and the release of a key do nothing.
    #[test]
    fn other_keys_do_nothing() {
        assert_eq!(KEYS.action_for(KeyEvent::new(KeyCode::F(5), KeyModifiers::NONE), Input::Commands), None);
        assert_eq!(KEYS.action_for(KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT), Input::Commands), None);
        let release = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(KEYS.action_for(release, Input::Commands), None);
    }

    /// A new size of the terminal and the mouse are actions too; moving the mouse is none.
    #[test]
    fn resize_and_mouse_are_actions() {
        let action = |event| KEYS.action_for_event(&event, Input::Commands);
        assert_eq!(action(Event::Resize(40, 10)), Some(Action::Resize { width: 40, height: 10 }));
        let mouse = |kind| Event::Mouse(MouseEvent { kind, column: 3, row: 4, modifiers: KeyModifiers::NONE });
        for (kind, expected) in [
            (MouseEventKind::Down(MouseButton::Left), Some(Action::Click { column: 3, line: 4 })),
            (MouseEventKind::Down(MouseButton::Right), Some(Action::Back)),
            (MouseEventKind::ScrollDown, Some(Action::Select(Move::WheelDown))),
            (MouseEventKind::ScrollUp, Some(Action::Select(Move::WheelUp))),
            (MouseEventKind::Moved, None),
        ] {
            assert_eq!(action(mouse(kind)), expected);
        }
    }
}
