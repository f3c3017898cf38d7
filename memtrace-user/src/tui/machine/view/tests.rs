//! Every screen as text, and what its styles must say.

use std::sync::Arc;

use insta::assert_snapshot;
use ratatui::{Terminal, backend::TestBackend, style::Modifier};

use super::{super::*, Areas, render};
use crate::{
    profile::{Machine, ProcessKey, ProcessOrder, fixture, machine_fixture},
    tui::{Action, Move, Order, Request, Theme, Turn},
};

type Screen = Terminal<TestBackend>;

fn app(machine: Machine, size: (u16, u16)) -> MachineApp {
    let mut app = MachineApp::new(ProcessOrder::Live, Theme::colour(), size);
    app.update(Arc::new(machine));
    app
}

fn screen(app: &MachineApp) -> Screen {
    let mut terminal = Terminal::new(TestBackend::new(app.size.0, app.size.1)).expect("a screen in memory");
    terminal.draw(|frame| render(frame, app)).expect("memory takes every drawing");
    terminal
}

/// The typical machine, with the call sites of its first process.
fn with_sites(size: (u16, u16)) -> MachineApp {
    let mut app = app(machine_fixture::typical(), size);
    let (profile, symbols) = fixture::typical();
    app.update_sites(ProcessKey(1), Arc::new(profile), Arc::new(symbols));
    app
}

/// Before the first reading the screen says what it waits for.
#[test]
fn waiting() {
    assert_snapshot!(screen(&MachineApp::new(ProcessOrder::Live, Theme::colour(), (60, 8))).backend());
}

/// Nobody is selected.
#[test]
fn empty() {
    assert_snapshot!(screen(&app(machine_fixture::of(Vec::new()), (80, 24))).backend());
}

/// The size that every terminal has; below the table the selected process's call sites.
#[test]
fn typical_80x24() {
    assert_snapshot!(screen(&with_sites((80, 24))).backend());
}

/// More room shows more columns.
#[test]
fn typical_140x30() {
    assert_snapshot!(screen(&with_sites((140, 30))).backend());
}

/// A corner of a screen still tells which process holds most.
#[test]
fn typical_40x10() {
    assert_snapshot!(screen(&with_sites((40, 10))).backend());
}

/// Losses are on the screen, whatever its size, with a column of whose they are.
#[test]
fn losses() {
    assert_snapshot!(screen(&app(machine_fixture::with_losses(), (80, 24))).backend());
    assert_snapshot!(screen(&app(machine_fixture::with_losses(), (40, 10))).backend());
}

/// The help has every key and column.
#[test]
fn help() {
    let mut app = app(machine_fixture::typical(), (90, 40));
    app.apply(Action::ToggleHelp);
    assert_snapshot!(screen(&app).backend());
}

/// More processes than lines: the selected one is always seen.
#[test]
fn selection_stays_on_the_screen() {
    let processes = (0..500_u32).map(|number| {
        let mut process = machine_fixture::process(&format!("worker-{number}"), 500 - u64::from(number), 0, 0, 0);
        (process.key, process.pid) = (ProcessKey(u64::from(number)), number);
        process
    });
    let mut app = app(machine_fixture::of(processes.collect()), (80, 24));
    app.apply(Action::Select(Move::Last));
    let text = format!("{:?}", screen(&app).backend().buffer());
    assert!(text.contains("worker-499") && !text.contains("worker-1 "));
    let buffer = screen(&app);
    let reversed = buffer.backend().buffer().content().iter().filter(|cell| cell.modifier.contains(Modifier::REVERSED));
    assert_eq!(reversed.count(), 80);
}

/// The selection stays at its process while the order changes; a filter leaves what has the text in its name.
#[test]
fn selection_follows_its_process() {
    let mut app = app(machine_fixture::typical(), (80, 24));
    app.apply(Action::Select(Move::Down));
    let selected = app.wanted_process();
    app.apply(Action::Sort(Order::Column(1)));
    assert_eq!(app.wanted_process(), selected);
    app.apply(Action::SortNext(Turn::Forward));
    assert_eq!(app.wanted_process(), selected);
    for character in "NGINX".chars() {
        app.apply(Action::Type(character));
    }
    assert_eq!(app.order.len(), 1);
    app.apply(Action::Back);
    assert_eq!(app.order.len(), 6);
}

/// Enter opens the selected process once, as a second click on its row does; while paused, numbers stand still.
#[test]
fn processes_are_opened() {
    let mut app = app(machine_fixture::typical(), (80, 24));
    assert_eq!(app.apply(Action::Open), None);
    assert_eq!((app.take_opened(), app.take_opened()), (Some(ProcessKey(1)), None));
    let table = Areas::of_app(&app).table;
    app.apply(Action::Click { column: 3, line: table.y + 1 });
    assert_eq!(app.take_opened(), Some(ProcessKey(1)));
    app.apply(Action::Click { column: 3, line: table.y });
    assert!(app.reversed, "a click on the title of the sorted column");
    app.apply(Action::TogglePause);
    app.update(Arc::new(machine_fixture::of(Vec::new())));
    assert_eq!(app.order.len(), 6);
    assert!(!app.runs(ProcessKey(1)), "the newest reading is known all the same");
    app.apply(Action::TogglePause);
    assert_eq!((app.order.len(), app.apply(Action::Quit)), (0, Some(Request::Quit)));
}

/// Names cannot drive the terminal.
#[test]
fn names_are_escaped() {
    let mut machine = machine_fixture::typical();
    machine.processes[0].command = "evil\u{1b}[2J".into();
    machine.processes[0].user = "\u{202e}toor".into();
    let text = format!("{:?}", screen(&app(machine, (80, 24))).backend().buffer());
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
}
