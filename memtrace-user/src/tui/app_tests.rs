//! What the live view does by itself, without a screen.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{
    action::{Action, Move, Request, Turn, Wish},
    app::{App, View, visible_from},
    detail::Pane,
    heading::Order,
    keys,
    reading::Reading,
    theme::Theme,
};
use crate::profile::{
    SiteNamer, SortBy,
    fixture::{self, Scene},
};

fn app() -> App {
    App::new(SortBy::LiveBytes.into(), SiteNamer::default(), Theme::monochrome(), (80, 24))
}

/// A reading so many seconds after the beginning, of one block of 8 bytes a count.
fn reading_at(seconds: u64, sites: &[(&str, u64)]) -> Reading {
    let mut scene = Scene::default();
    // One order of mentioning, so that a site has one location in every reading.
    for name in ["a@app", "b@app", "c@app", "d@app"] {
        scene.location(name);
    }
    for (name, blocks) in sites {
        scene.sample(&[name], *blocks, 8, 0);
    }
    let profile = crate::profile::Profile { elapsed: Duration::from_secs(seconds), ..scene.profile() };
    Reading { profile: Arc::new(profile), symbols: Arc::new(scene.symbols) }
}

fn reading(sites: &[(&str, u64)]) -> Reading {
    reading_at(1, sites)
}

fn typical() -> Reading {
    let (profile, symbols) = fixture::typical();
    Reading { profile: profile.into(), symbols: symbols.into() }
}

/// The names of the rows, in order.
fn names(app: &App) -> Vec<String> {
    app.table
        .order()
        .iter()
        .map(|group| super::view::name_of(app.table.group(*group), app.table.by()).function)
        .collect()
}

fn selected(app: &App) -> Option<String> {
    names(app).get(app.cursor.at).cloned()
}

/// The selection stays at the first place until it is moved; then it stays at its row.
#[test]
fn selection_follows_its_row_once_moved() {
    let mut app = app();
    app.update(reading(&[("a@app", 3), ("b@app", 2), ("c@app", 1)]));
    app.update(reading(&[("a@app", 1), ("b@app", 2), ("c@app", 3)]));
    assert_eq!(selected(&app).as_deref(), Some("c"));
    app.apply(Action::Select(Move::Down));
    app.apply(Action::Select(Move::Down));
    app.update(reading(&[("a@app", 9), ("b@app", 2), ("c@app", 3)]));
    assert_eq!((selected(&app).as_deref(), app.cursor.at), (Some("a"), 0));
    app.apply(Action::Select(Move::First));
    app.update(reading(&[("a@app", 1), ("b@app", 2)]));
    assert_eq!(selected(&app).as_deref(), Some("b"));
}

/// Fewer rows than the selection's place leave the last one selected.
#[test]
fn selection_stays_in_range() {
    let mut app = app();
    app.update(reading(&[("a@app", 3), ("b@app", 2), ("c@app", 1)]));
    app.apply(Action::Select(Move::Last));
    app.update(reading(&[("a@app", 3)]));
    assert_eq!(selected(&app).as_deref(), Some("a"));
    app.update(reading(&[]));
    assert_eq!(selected(&app), None);
    app.apply(Action::Select(Move::Down));
}

/// A pause holds the numbers; going on shows the newest reading at once.
#[test]
fn pause_holds_and_goes_on_with_the_newest() {
    let mut app = app();
    app.update(reading(&[("a@app", 1)]));
    app.apply(Action::TogglePause);
    app.update(reading(&[("b@app", 1)]));
    app.update(reading(&[("c@app", 1)]));
    assert_eq!(selected(&app).as_deref(), Some("a"));
    app.apply(Action::TogglePause);
    assert_eq!(selected(&app).as_deref(), Some("c"));
}

/// Another order takes effect at once, paused or not; asked for twice, it is turned around.
#[test]
fn sorting_reorders_at_once() {
    let mut app = app();
    app.update(typical());
    app.apply(Action::TogglePause);
    app.apply(Action::Sort(SortBy::FreedBytes.into()));
    assert_eq!(selected(&app).as_deref(), Some("buffer"));
    let order = names(&app);
    app.apply(Action::Sort(SortBy::FreedBytes.into()));
    assert!(names(&app).iter().rev().eq(&order));
    app.apply(Action::Sort(Order::Name));
    assert!(names(&app).is_sorted_by_key(|name| name == "[no stack]"), "{:?}", names(&app));
}

/// A message stays until the next key, not until the terminal is resized.
#[test]
fn message_goes_with_the_next_key() {
    let mut app = app();
    app.set_message("hello");
    app.apply(Action::Resize { width: 40, height: 10 });
    assert_eq!(app.message.as_deref(), Some("hello"));
    app.apply(Action::ToggleHelp);
    assert_eq!(app.message, None);
}

/// Rates are what was allocated since the reading before, over the time between the two.
#[test]
fn rates_are_of_the_last_interval() {
    let mut app = app();
    app.update(reading_at(10, &[("a@app", 100)]));
    app.update(reading_at(12, &[("a@app", 130), ("b@app", 8)]));
    let rate = |name: &str| {
        let place = names(&app).iter().position(|other| other == name).expect("a row");
        app.table.row(app.table.order()[place]).rates
    };
    assert!((rate("a").allocated_blocks - 15.0).abs() < 1e-9);
    assert!((rate("b").allocated_bytes - 32.0).abs() < 1e-9);
}

/// Since a mark, growth counts from there; a site that grew in every generation comes first, whatever another grew by.
#[test]
fn growing_sites_come_first() {
    let mut app = app();
    app.update(reading(&[("a@app", 10), ("b@app", 10), ("c@app", 5)]));
    app.apply(Action::Mark);
    app.update(reading(&[("a@app", 12), ("b@app", 100), ("c@app", 4)]));
    app.apply(Action::Mark);
    app.update(reading(&[("a@app", 15), ("b@app", 90), ("c@app", 4)]));
    let change = |app: &App, place: usize| app.table.row(app.table.order()[place]).change.blocks;
    assert_eq!([change(&app, 0), change(&app, 1), change(&app, 2)], [-10, 3, 0]);
    app.apply(Action::ToggleGenerations);
    app.apply(Action::From(Turn::Backward));
    let rows = |app: &App| {
        let name = |group| super::view::name_of(app.table.group(group), app.table.by()).function;
        let rows = app.table.growth.iter();
        rows.map(|row| (name(row.group), row.growth.blocks, row.growing)).collect::<Vec<_>>()
    };
    assert_eq!(rows(&app), [("a".into(), 5, true), ("b".into(), 80, false), ("c".into(), -1, false)]);
    app.apply(Action::To(Turn::Backward));
    assert_eq!(rows(&app), [("b".into(), 90, false), ("a".into(), 2, false), ("c".into(), -1, false)]);
}

/// A filter is typed letter by letter and takes effect with each; Esc drops it, Enter keeps it.
#[test]
fn a_filter_takes_effect_as_it_is_typed() {
    let mut app = app();
    app.update(typical());
    let all = names(&app).len();
    app.apply(Action::Filter);
    assert_eq!(app.input(), keys::Input::Text);
    for character in "ROWSD".chars() {
        app.apply(Action::Type(character));
    }
    // The module's name has it, in small letters.
    assert_eq!(names(&app), ["vec_grow", "node_new", "buffer"]);
    app.apply(Action::EraseAll);
    assert_eq!(names(&app).len(), all);
    for character in "buffed".chars() {
        app.apply(Action::Type(character));
    }
    assert_eq!(names(&app).len(), 0);
    app.apply(Action::Erase);
    app.apply(Action::Erase);
    assert_eq!(names(&app), ["buffer"]);
    app.apply(Action::EndFilter);
    assert_eq!((app.input(), app.table.filter()), (keys::Input::Commands, "buff"));
    app.apply(Action::Back);
    assert_eq!(names(&app).len(), all);
}

/// Every grouping keeps the sum, and the selection stays with its memory.
#[test]
fn groupings_keep_sum_and_selection() {
    let mut app = app();
    app.update(typical());
    app.apply(Action::Select(Move::Down));
    let sum = |app: &App| app.table.order().iter().map(|group| app.table.row(*group).stats).sum();
    let all: crate::profile::AllocStats = sum(&app);
    for step in 0..7 {
        app.apply(Action::Group(Turn::Forward));
        assert_eq!(sum(&app), all, "{:?}", app.table.by());
        assert!(step > 0 || selected(&app).as_deref() == Some("node_new"));
    }
}

/// Enter leads to the detail and back by Esc; panes go round.
#[test]
fn detail_is_entered_and_left() {
    let mut app = app();
    app.apply(Action::Open);
    assert_eq!(app.view, View::Table, "nothing to open yet");
    app.update(typical());
    app.apply(Action::Open);
    assert_eq!((app.view, app.detail.pane), (View::Detail, Pane::Callers));
    for pane in [Pane::Stack, Pane::Sizes, Pane::Source, Pane::Callers] {
        app.apply(Action::Pane(Turn::Forward));
        assert_eq!(app.detail.pane, pane);
    }
    app.apply(Action::Back);
    assert_eq!(app.view, View::Table);
}

/// Callers that part are folded until they are unfolded, and what is folded shows the same sum.
#[test]
fn callers_fold_and_unfold() {
    let mut app = app();
    app.update(typical());
    app.apply(Action::Open);
    let lines = |app: &App| app.detail.lines.len();
    let before = lines(&app);
    assert!(before >= 3, "{:#?}", app.detail.lines);
    app.apply(Action::Left);
    assert_eq!(lines(&app), 1);
    app.apply(Action::Right);
    assert_eq!(lines(&app), before);
    app.apply(Action::Select(Move::Down));
    app.apply(Action::Select(Move::Down));
    app.apply(Action::Open);
    assert!(lines(&app) > before);
    app.apply(Action::Left);
    assert_eq!((lines(&app), app.detail.at), (before, 2));
    app.apply(Action::Left);
    assert_eq!(app.detail.at, 1, "folding what is folded leads to the caller's line above");
}

/// After an exec nothing of the old program is left, marks neither.
#[test]
fn forgetting_leaves_nothing() {
    let mut app = app();
    app.update(reading(&[("a@app", 3)]));
    app.apply(Action::Mark);
    app.forget();
    app.update(reading_at(1, &[("b@app", 1)]));
    assert_eq!(names(&app), ["b"]);
    assert_eq!(app.table.row(app.table.order()[0]).change.blocks, 1);
    assert!(app.table.marks.all().is_empty());
}

/// What was recorded is forgotten only when asked for twice in a row.
#[test]
fn clearing_is_asked_twice() {
    let mut app = app();
    assert_eq!(app.apply(Action::Clear), None);
    assert!(app.message.is_some());
    assert_eq!(app.apply(Action::Clear), Some(Request::Ask(Wish::Clear)));
    assert_eq!(app.apply(Action::Clear), None);
    app.apply(Action::ToggleHelp);
    assert_eq!(app.apply(Action::Clear), None);
}

/// Only what is on the screen, and a bundle of sites, is worth looking up; what has been looked up is not asked again.
#[test]
fn wanted_locations_are_bounded() {
    let mut app = app();
    app.apply(Action::Resize { width: 40, height: 10 });
    let mut scene = Scene::default();
    for index in 0..2_000 {
        scene.sample(&[&format!("f{index}@app"), "main@app"], 5_000 - index, 8, 0);
    }
    app.update(Reading { profile: Arc::new(scene.profile()), symbols: Arc::new(scene.symbols.clone()) });
    let mut asked = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let wanted = app.wanted_locations();
        assert!(wanted.len() <= 300, "{}", wanted.len());
        assert!(wanted.contains(&scene.location("f0@app")) && wanted.contains(&scene.location("main@app")));
        app.update_symbols(Arc::new(scene.symbols.clone()), &wanted);
        asked.extend(wanted);
    }
    assert_eq!(asked.len(), 2_001);
}

/// What a click hits is what a key would: a title sorts, a row is selected and then opened, the right button goes back.
#[test]
fn clicks_do_what_keys_do() {
    let mut app = app();
    app.update(typical());
    // Titles stand in the line below the header, of six lines.
    app.apply(Action::Click { column: 22, line: 5 });
    assert_eq!(app.table.sort, SortBy::LiveBlocks.into());
    app.apply(Action::Click { column: 78, line: 5 });
    assert_eq!(app.table.sort, Order::Name);
    app.apply(Action::Click { column: 30, line: 7 });
    assert_eq!((app.cursor.at, app.view), (1, View::Table));
    app.apply(Action::Click { column: 30, line: 7 });
    assert_eq!(app.view, View::Detail);
    app.apply(Action::Back);
    app.apply(Action::ToggleFlame);
    app.apply(Action::Click { column: 0, line: 6 });
    assert!(app.flame.selected().is_some() && app.flame.zoomed().is_none());
    app.apply(Action::Click { column: 0, line: 6 });
    assert!(app.flame.zoomed().is_some());
}

/// Every key does something that can be seen or is asked of the loop, somewhere.
#[test]
fn every_key_has_an_effect() {
    let with_threads = || {
        let mut scene = Scene::default();
        for (thread, name) in ["a@app", "b@app"].into_iter().enumerate() {
            let thread = crate::profile::ThreadIndex(u32::try_from(thread).expect("small"));
            scene.sample(&[name, "f@app", "main@app"], 10, 8, 0).thread = Some(thread);
            scene.sample(&[name, "g@app", "main@app"], 9, 8, 0).thread = Some(thread);
        }
        let thread = |tid| crate::profile::TracedThread { tid, name: "worker".into() };
        let profile = crate::profile::Profile { threads: vec![thread(7), thread(8)], ..scene.profile() };
        Reading { profile: Arc::new(profile), symbols: Arc::new(scene.symbols) }
    };
    let views: [&[Action]; 7] = [
        &[],
        &[Action::Open],
        &[Action::ToggleFlame, Action::Select(Move::Down), Action::Select(Move::Down)],
        &[Action::ToggleFlame, Action::Select(Move::Down), Action::Select(Move::Down), Action::Right],
        &[Action::Mark, Action::Mark, Action::Mark, Action::ToggleGenerations, Action::From(Turn::Backward)],
        &[
            Action::Mark,
            Action::Mark,
            Action::ToggleGenerations,
            Action::From(Turn::Backward),
            Action::To(Turn::Backward),
        ],
        &[Action::Select(Move::Last), Action::Filter],
    ];
    for binding in keys::KEYS.bindings() {
        let has_effect = views.iter().any(|view| {
            let mut app = app();
            app.update(with_threads());
            for action in *view {
                app.apply(*action);
            }
            let before = super::view::text(&app, (80, 24)) + &format!("{:?}{:?}", app.input(), app.message);
            let request = app.apply(binding.action);
            request.is_some_and(|request| {
                matches!(
                    request,
                    Request::Quit | Request::Suspend | Request::Redraw | Request::Export | Request::Ask(_)
                )
            }) || super::view::text(&app, (80, 24)) + &format!("{:?}{:?}", app.input(), app.message) != before
        });
        assert!(has_effect, "{}: {}", binding.shown, binding.help);
    }
}

/// The CSV file has every row, whatever the screen has room for, with numbers as they are.
#[test]
fn export_has_every_row() {
    let mut app = app();
    app.update(typical());
    let csv = String::from_utf8(app.to_csv().expect("memory takes it")).expect("UTF-8");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let live: u64 = reader.records().map(|record| record.expect("a row")[0].parse::<u64>().expect("a number")).sum();
    assert_eq!(live, app.shown.as_ref().expect("a reading").profile.totals.current_bytes);
    assert_eq!(csv.lines().count(), app.table.order().len() + 1);
    insta::assert_snapshot!(app.to_text());
}

proptest! {
    /// The selection is always visible and no line is left empty that a row could fill.
    #[test]
    fn selection_is_visible(offset in 0..60_usize, selected in 0..50_usize, more in 0..50_usize, rows in 1..30_usize) {
        let count = selected + 1 + more;
        let first = visible_from(offset, selected, count, rows);
        prop_assert!((first..first + rows).contains(&selected));
        prop_assert!(first == 0 || first + rows <= count);
    }
}
