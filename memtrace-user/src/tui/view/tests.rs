//! Every screen as text, and what its styles must say.

use std::sync::Arc;

use insta::assert_snapshot;
use ratatui::{
    Terminal,
    backend::TestBackend,
    style::{Color, Modifier},
};

use super::{super::*, render};
use crate::profile::{
    Profile, SiteNamer, SortBy, SymbolTable,
    fixture::{self, Scene},
};

type Screen = Terminal<TestBackend>;

fn app_with((profile, symbols): (Profile, SymbolTable), size: (u16, u16), theme: Theme) -> App {
    let mut app = App::new(SortBy::LiveBytes, SiteNamer::default(), theme, size);
    app.update(Reading { profile: Arc::new(profile), symbols: Arc::new(symbols) });
    app
}

fn screen(app: &App, (width, height): (u16, u16)) -> Screen {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen in memory");
    terminal.draw(|frame| render(frame, app)).expect("memory takes every drawing");
    terminal
}

fn draw(profile: (Profile, SymbolTable), size: (u16, u16), actions: &[Action]) -> Screen {
    let mut app = app_with(profile, size, Theme::colour());
    for action in actions {
        app.apply(*action);
    }
    screen(&app, size)
}

/// More sites than any screen has lines.
fn many_sites() -> (Profile, SymbolTable) {
    let mut scene = Scene::default();
    scene.process.command = "many".into();
    for index in 0..200 {
        scene.sample(&[&format!("site_{index:03}@app"), "main@app"], 200 - index, 100, 0);
    }
    (scene.profile(), scene.symbols)
}

/// Before the first reading the screen says what it waits for.
#[test]
fn waiting() {
    let app = App::new(SortBy::LiveBytes, SiteNamer::default(), Theme::colour(), (60, 8));
    assert_snapshot!(screen(&app, (60, 8)).backend());
}

/// A process that has allocated nothing yet.
#[test]
fn empty() {
    assert_snapshot!(draw(fixture::empty(), (80, 24), &[]).backend());
}

/// The size that every terminal has.
#[test]
fn typical_80x24() {
    assert_snapshot!(draw(fixture::typical(), (80, 24), &[]).backend());
}

/// More room shows more columns.
#[test]
fn typical_120x30() {
    assert_snapshot!(draw(fixture::typical(), (120, 30), &[]).backend());
}

/// A corner of a screen still tells which site holds most.
#[test]
fn typical_40x10() {
    assert_snapshot!(draw(fixture::typical(), (40, 10), &[]).backend());
}

/// Losses are on the screen, whatever its size.
#[test]
fn losses() {
    assert_snapshot!(draw(fixture::with_losses(), (80, 24), &[]).backend());
    assert_snapshot!(draw(fixture::with_losses(), (40, 10), &[]).backend());
}

/// The last state of a process that has ended stays, and says so.
#[test]
fn exited() {
    assert_snapshot!(draw(fixture::exited(), (80, 24), &[]).backend());
}

/// A pause is said; so is the order, by the mark of its column, on a screen that had no room for the column.
#[test]
fn paused_and_sorted_by_allocated_blocks() {
    let actions = [Action::Sort(SortBy::AllocatedBlocks), Action::TogglePause];
    assert_snapshot!(draw(fixture::typical(), (80, 24), &actions).backend());
}

/// The keys, with room and without.
#[test]
fn help() {
    assert_snapshot!(draw(fixture::typical(), (80, 24), &[Action::ToggleHelp]).backend());
    assert_snapshot!(draw(fixture::typical(), (40, 10), &[Action::ToggleHelp]).backend());
}

/// Another site selected, its stack below.
#[test]
fn second_site_selected() {
    assert_snapshot!(draw(fixture::typical(), (80, 24), &[Action::Select(action::Move::Down)]).backend());
}

/// The last of many sites: the table is scrolled to its end.
#[test]
fn scrolled_to_the_end() {
    assert_snapshot!(draw(many_sites(), (80, 24), &[Action::Select(action::Move::Last)]).backend());
}

/// Names cannot drive the terminal.
#[test]
fn hostile_names() {
    assert_snapshot!(draw(fixture::hostile(), (80, 24), &[]).backend());
}

/// Any size is drawn without a panic, with help and without, also one that the state has not been told of.
#[test]
fn any_size_is_drawn() {
    for width in [0, 1, 2, 7, 19, 40, 300] {
        for height in [0, 1, 2, 3, 5, 9, 17, 100] {
            let mut app = app_with(fixture::with_losses(), (80, 24), Theme::colour());
            app.apply(Action::Select(action::Move::Last));
            screen(&app, (width, height));
            app.apply(Action::Resize { width, height });
            app.apply(Action::ToggleHelp);
            screen(&app, (width, height));
        }
    }
}

/// Without colours none is ever set, as crossterm would reset the modifiers with it; the selection and losses are
/// still told apart by modifiers.
#[test]
fn monochrome_sets_no_colour() {
    let app = app_with(fixture::with_losses(), (80, 24), Theme::monochrome());
    let terminal = screen(&app, (80, 24));
    let cells = terminal.backend().buffer().content();
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(cells.iter().any(|cell| cell.modifier.contains(Modifier::REVERSED)));
}

/// Losses stand out in colour as well.
#[test]
fn losses_are_highlighted() {
    let terminal = draw(fixture::with_losses(), (80, 24), &[]);
    let red: String = terminal
        .backend()
        .buffer()
        .content()
        .iter()
        .filter(|cell| cell.fg == Color::Red)
        .map(ratatui::buffer::Cell::symbol)
        .collect();
    assert!(red.contains("LOSSES 1,204"), "{red}");
}

/// Every key leads to a screen, from every kind of profile.
#[test]
fn every_key_leads_to_a_screen() {
    for profile in [fixture::empty, fixture::typical, many_sites] {
        let mut app = app_with(profile(), (80, 24), Theme::colour());
        for binding in keys::BINDINGS {
            let request = app.apply(binding.action);
            let expected = match binding.action {
                Action::Quit => Some(Request::Quit),
                Action::Suspend => Some(Request::Suspend),
                Action::Redraw => Some(Request::Redraw),
                Action::Snapshot => Some(Request::Ask(Wish::Snapshot)),
                Action::ResetPeak => Some(Request::Ask(Wish::ResetPeak)),
                _ => None,
            };
            assert_eq!(request, expected, "{}", binding.shown);
            screen(&app, (80, 24));
        }
        assert!(!app.help, "the help was opened and closed again");
    }
}
