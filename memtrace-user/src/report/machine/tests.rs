//! Reports on made-up machines.

use std::collections::HashMap;

use insta::assert_snapshot;

use super::*;
use crate::{
    profile::{RankingOptions, SiteNamer, fixture, machine_fixture},
    report::{TextOptions, elide},
};

type Sites = HashMap<ProcessKey, (Arc<Profile>, Ranking)>;

/// The sites of [`fixture::typical`], as if they were those of the first process.
fn sites() -> (Sites, SymbolTable) {
    let (profile, symbols) = fixture::typical();
    let options = RankingOptions { top: Some(3), ..RankingOptions::default() };
    let ranking = Ranking::of(&profile, &symbols, &SiteNamer::default(), &options);
    (HashMap::from([(ProcessKey(1), (Arc::new(profile), ranking))]), symbols)
}

fn text(machine: &Machine, order: ProcessOrder, top: usize, width: Option<usize>) -> String {
    let (sites, symbols) = sites();
    let report = MachineReport { machine, order, top, sites: &sites, symbols: &symbols };
    let mut out = Vec::new();
    write(&mut out, &report, TextOptions { width }).expect("memory takes every write");
    String::from_utf8(out).expect("the report is UTF-8")
}

/// Each process has a line, and those that are known their largest sites below it.
#[test]
fn typical() {
    assert_snapshot!(text(&machine_fixture::typical(), ProcessOrder::Live, 10, None));
}

/// Nothing is wider than the terminal; another order, and few processes.
#[test]
fn first_two_by_growth_on_80_columns() {
    let text = text(&machine_fixture::typical(), ProcessOrder::Growth, 2, Some(80));
    assert!(text.lines().all(|line| elide::width(line) <= 80));
    assert_snapshot!(text);
}

/// What could not be recorded has a column, and is said at the head.
#[test]
fn losses() {
    assert_snapshot!(text(&machine_fixture::with_losses(), ProcessOrder::Live, 1, Some(100)));
}

/// Nobody is traced.
#[test]
fn empty() {
    assert_snapshot!(text(&machine_fixture::of(Vec::new()), ProcessOrder::Live, 10, None));
}

/// Names cannot drive a terminal, in neither form.
#[test]
fn names_are_escaped() {
    let mut machine = machine_fixture::typical();
    for process in &mut machine.processes {
        process.command = "evil\u{1b}[2J\r\nLosses  none".into();
        process.user = "\u{202e}toor".into();
        process.container = Some("\u{9b}31m".into());
    }
    let text = text(&machine, ProcessOrder::Live, 10, None);
    let (sites, symbols) = sites();
    let report =
        MachineReport { machine: &machine, order: ProcessOrder::Live, top: 10, sites: &sites, symbols: &symbols };
    for out in [text, json(&report)] {
        assert!(!out.contains(['\u{1b}', '\u{9b}', '\u{202e}', '\r']), "{out}");
    }
}

/// One line, which reads back as it was.
#[test]
fn json_is_one_line() {
    let (sites, symbols) = sites();
    let machine = machine_fixture::with_losses();
    let report =
        MachineReport { machine: &machine, order: ProcessOrder::Rate, top: 2, sites: &sites, symbols: &symbols };
    let line = json(&report);
    assert_eq!(line.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_snapshot!(serde_json::to_string_pretty(&value).expect("JSON"));
}
