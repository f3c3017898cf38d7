//! Every screen as text, and what its styles must say.

use std::{sync::Arc, time::Duration};

use insta::assert_snapshot;
use ratatui::{
    Terminal,
    backend::TestBackend,
    style::{Color, Modifier},
};

use super::{super::*, render};
use crate::profile::{
    BlockSummary, Profile, SiteNamer, SortBy, SymbolTable,
    fixture::{self, Scene},
};

type Screen = Terminal<TestBackend>;

fn app_with((mut profile, symbols): (Profile, SymbolTable), size: (u16, u16), theme: Theme) -> App {
    let mut app = App::new(SortBy::LiveBytes.into(), SiteNamer::default(), theme, size);
    // Nearly all blocks of what has freed most were short-lived.
    let most = profile.samples.iter_mut().max_by_key(|sample| sample.stats.freed_blocks);
    if let Some(sample) = most {
        sample.stats.short_lived_blocks = sample.stats.freed_blocks - sample.stats.freed_blocks / 1_000;
    }
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
    let app = App::new(SortBy::LiveBytes.into(), SiteNamer::default(), Theme::colour(), (60, 8));
    assert_snapshot!(screen(&app, (60, 8)).backend());
}

/// While the process is attached to, what is known of it is there already, and keys lead nowhere they should not.
#[test]
fn starting() {
    let size = (80, 24);
    let mut app = App::new(SortBy::LiveBytes.into(), SiteNamer::default(), Theme::colour(), size);
    let (profile, _) = fixture::typical();
    app.begin(profile.process);
    app.set_doing("loading BPF programs");
    assert_snapshot!(screen(&app, size).backend());
    assert_snapshot!(screen(&app, (40, 10)).backend());
    for binding in KEYS.bindings() {
        app.apply(binding.action);
        screen(&app, size);
    }
}

/// Layers of memory are shown one at a time, side by side only as rows without a sum.
#[test]
fn layers_of_memory() {
    let group = Action::Group(Turn::Backward);
    for (index, actions) in
        [vec![], vec![Action::NextDomain], vec![group], vec![Action::NextDomain, Action::ToggleFlame]]
            .into_iter()
            .enumerate()
    {
        let screen = draw(fixture::with_mappings(), (80, 24), &actions);
        assert_snapshot!(format!("layers-{index}"), screen.backend());
    }
    assert_snapshot!(draw(fixture::with_mappings(), (40, 10), &[Action::NextDomain]).backend());
}

/// Where mappings alone are recorded, the head is of these.
#[test]
fn mappings_alone() {
    let (mut profile, symbols) = fixture::with_mappings();
    profile.samples.retain(|sample| sample.domain != crate::profile::Domain::Malloc);
    profile.stack_ids.truncate(profile.samples.len());
    profile.totals = crate::profile::ProcessTotals::default();
    assert_snapshot!(draw((profile, symbols), (80, 24), &[]).backend());
}

/// In every view it is said that the process has ended, and what was lost, on a small screen too.
#[test]
fn ends_and_losses_in_every_view() {
    let views = [("detail", Action::Open), ("flame", Action::ToggleFlame), ("generations", Action::ToggleGenerations)];
    for (name, view) in views {
        assert_snapshot!(format!("exited-{name}"), draw(fixture::exited(), (80, 24), &[view]).backend());
        assert_snapshot!(format!("losses-{name}"), draw(fixture::with_losses(), (40, 10), &[view]).backend());
        assert_snapshot!(format!("empty-{name}"), draw(fixture::empty(), (60, 16), &[view]).backend());
    }
    let none = [typed("no such thing"), vec![Action::EndFilter, Action::ToggleGenerations]].concat();
    assert_snapshot!("filtered-generations", draw(fixture::typical(), (60, 16), &none).backend());
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

/// Estimates are said to be some, each with how far it may be off.
#[test]
fn estimates() {
    let (mut profile, symbols) = fixture::typical();
    profile.sample_bytes = Some(512 << 10);
    for sample in &mut profile.samples {
        sample.stats.allocated_variance = u128::from(sample.stats.allocated_bytes) << 17;
        sample.stats.freed_variance = u128::from(sample.stats.freed_bytes) << 17;
    }
    profile.totals.stats.allocated_variance = u128::from(profile.totals.stats.allocated_bytes) << 17;
    profile.totals.stats.freed_variance = u128::from(profile.totals.stats.freed_bytes) << 17;
    assert_snapshot!(draw((profile, symbols), (80, 24), &[]).backend());
}

/// Of several processes the head speaks of all; only what the kernel counts is of the one that is named.
#[test]
fn several_processes() {
    assert_snapshot!(draw(fixture::family(), (80, 24), &[]).backend());
}

/// A pause is said; so is the order, by the mark of its column, on a screen that had no room for the column.
#[test]
fn paused_and_sorted_by_allocated_blocks() {
    let actions = [Action::Sort(SortBy::AllocatedBlocks.into()), Action::Reverse, Action::TogglePause];
    assert_snapshot!(draw(fixture::typical(), (80, 24), &actions).backend());
}

/// Grouped by module, and by function on a wide screen with every column.
#[test]
fn groupings() {
    let group = Action::Group(Turn::Forward);
    assert_snapshot!(draw(fixture::typical(), (80, 24), &[group, group, group]).backend());
    assert_snapshot!(draw(fixture::typical(), (210, 24), &[group]).backend());
}

fn typed(filter: &str) -> Vec<Action> {
    std::iter::once(Action::Filter).chain(filter.chars().map(Action::Type)).collect()
}

/// A filter while it is typed, and one that nothing matches, afterwards.
#[test]
fn filters() {
    assert_snapshot!(draw(fixture::typical(), (80, 24), &typed("node")).backend());
    let none = [typed("no such thing"), vec![Action::EndFilter]].concat();
    assert_snapshot!(draw(fixture::typical(), (80, 24), &none).backend());
}

/// Every pane of the detail, with room and without.
#[test]
fn detail() {
    for (index, size) in [(80, 24), (80, 24), (80, 24), (80, 24), (40, 10)].into_iter().enumerate() {
        let pane = Action::Pane(Turn::Forward);
        let mut app = app_with(fixture::typical(), size, Theme::colour());
        for action in [vec![Action::Open], vec![pane; index % 4]].concat() {
            app.apply(action);
        }
        let mut blocks = BlockSummary { blocks: 137, ..BlockSummary::default() };
        blocks.sizes[BlockSummary::class(65_536)] = 130;
        blocks.sizes[BlockSummary::class(1_000)] = 7;
        blocks.oldest = Some(Duration::from_secs(62));
        blocks.median = Some(Duration::from_millis(3_200));
        let (asked, _) = app.wanted_blocks().expect("the detail asks for blocks");
        app.set_blocks(asked, blocks);
        if let Some((file, line)) = app.wanted_source() {
            let lines = (line - 2..=line + 2).map(|number| (number, format!("    line {number}\u{1b}[2J"))).collect();
            app.set_source(SourceText { file, line, lines });
        }
        assert_snapshot!(format!("detail-{index}"), screen(&app, size).backend());
    }
}

/// What is not known yet, or not at hand, is said so.
#[test]
fn detail_without_blocks_and_source() {
    let sizes = [Action::Open, Action::Pane(Turn::Forward), Action::Pane(Turn::Forward)];
    assert_snapshot!(draw(fixture::no_symbols(), (60, 18), &sizes).backend());
    let source = [Action::Open, Action::Pane(Turn::Backward)];
    assert_snapshot!(draw(fixture::no_symbols(), (60, 18), &source).backend());
}

/// All stacks, one zoomed into, bytes a second without any, a small screen.
#[test]
fn flame() {
    let down = Action::Select(Move::Down);
    assert_snapshot!(draw(fixture::typical(), (80, 24), &[Action::ToggleFlame]).backend());
    let zoomed = [Action::ToggleFlame, down, down, down, down, Action::Open, down];
    assert_snapshot!(draw(fixture::typical(), (80, 24), &zoomed).backend());
    assert_snapshot!(draw(fixture::typical(), (80, 24), &[Action::ToggleFlame, Action::ToggleMeasure]).backend());
    assert_snapshot!(draw(fixture::typical(), (40, 10), &[Action::ToggleFlame]).backend());
}

/// Three generations; one site has grown in both that are compared.
#[test]
fn generations() {
    let mut scene = Scene::default();
    let mut app = app_with((scene.profile(), scene.symbols.clone()), (80, 24), Theme::colour());
    for step in 1..=3 {
        scene.samples.clear();
        scene.sample(&["cache_put@app@cache.c:12", "main@app"], 1_000 * step, 64, 0);
        scene.sample(&["load@app@load.c:7", "main@app"], if step == 2 { 9_000 } else { 5_000 }, 100, 0);
        scene.sample(&["settled@app", "main@app"], 77, 100, 0);
        let profile = Profile { elapsed: Duration::from_secs(10 * step), ..scene.profile() };
        app.update(Reading { profile: Arc::new(profile), symbols: Arc::new(scene.symbols.clone()) });
        if step < 3 {
            app.apply(Action::Mark);
        }
    }
    app.apply(Action::ToggleGenerations);
    app.apply(Action::From(Turn::Backward));
    let (asked, query) = app.wanted_blocks().expect("the generations ask for blocks");
    assert_eq!(query.moments, [0, 10, 20].map(Duration::from_secs));
    let survivors = [(1, vec![3_000, 2_100, 1_000])].into();
    app.set_blocks(asked, BlockSummary { survivors, ..BlockSummary::default() });
    assert_snapshot!(screen(&app, (80, 24)).backend());
    app.apply(Action::Resize { width: 40, height: 10 });
    assert_snapshot!(screen(&app, (40, 10)).backend());
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
    assert_snapshot!(draw(fixture::typical(), (80, 24), &[Action::Select(Move::Down)]).backend());
}

/// The last of many sites: the table is scrolled to its end.
#[test]
fn scrolled_to_the_end() {
    assert_snapshot!(draw(many_sites(), (80, 24), &[Action::Select(Move::Last)]).backend());
}

/// Names cannot drive the terminal.
#[test]
fn hostile_names() {
    assert_snapshot!(draw(fixture::hostile(), (80, 24), &[]).backend());
}

/// Any size is drawn without a panic, in every view, with help and without, also one that the state has not been told of.
#[test]
fn any_size_is_drawn() {
    let views = [Action::ToggleHelp, Action::Open, Action::ToggleFlame, Action::ToggleGenerations, Action::Filter];
    for width in [0, 1, 2, 7, 19, 40, 300] {
        for height in [0, 1, 2, 3, 5, 9, 17, 100] {
            for view in views {
                let mut app = app_with(fixture::with_losses(), (80, 24), Theme::colour());
                app.apply(Action::Mark);
                app.apply(Action::Select(Move::Last));
                screen(&app, (width, height));
                app.apply(Action::Resize { width, height });
                app.apply(view);
                for _ in 0..4 {
                    app.apply(Action::Pane(Turn::Forward));
                    app.apply(Action::Select(Move::Down));
                    app.apply(Action::Click { column: width / 2, line: height / 2 });
                    screen(&app, (width, height));
                }
            }
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

/// Every key leads to a screen, from every view and with every kind of profile.
#[test]
fn every_key_leads_to_a_screen() {
    for profile in [fixture::empty, fixture::typical, many_sites] {
        for view in [None, Some(Action::Open), Some(Action::ToggleFlame), Some(Action::ToggleGenerations)] {
            let mut app = app_with(profile(), (80, 24), Theme::colour());
            if let Some(action) = view {
                app.apply(action);
            }
            for binding in KEYS.bindings() {
                app.apply(binding.action);
                screen(&app, (80, 24));
            }
        }
    }
}

/// A thousand keys at random never lead anywhere without a screen.
#[test]
fn any_keys_lead_to_a_screen() {
    let mut app = app_with(fixture::typical(), (80, 24), Theme::colour());
    let keys: Vec<_> = KEYS.bindings().collect();
    let mut state = 12_345_u64;
    for _ in 0..1_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let index = usize::try_from(state >> 33).expect("31 bits") % keys.len();
        app.apply(keys[index].action);
        if state >> 60 == 0 {
            app.update(Reading { profile: Arc::new(many_sites().0), symbols: Arc::new(many_sites().1) });
        }
        screen(&app, (80, 24));
    }
}
