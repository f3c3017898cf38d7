//! What the live view costs: `cargo xtask bench view`, or `cargo bench --package memtrace --bench view`.
//!
//! A made-up program of 50,000 call sites, 5,000 of which change from reading to reading, is shown on a screen of 120 by
//! 40. Times are CPU times, so other work on the machine matters little. What the session itself spends on a reading is
//! not part of it.

mod made_up;

use std::{fmt, sync::Arc, time::Duration};

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use made_up::{made, profile, timed};
use memtrace::{
    profile::{Modules, SiteNamer, SortBy, StackSample, SymbolTable},
    tui::{App, KEYS, Reading, Theme, view},
};
use ratatui::{Terminal, backend::TestBackend};

/// Call sites, and those of them that change from one reading to the next.
const SITES: usize = 50_000;
const CHANGING: usize = 5_000;

/// What is aimed at: part of one core at a reading a second, and the time that a key takes.
const MOST_SHARE: f64 = 0.10;
const MOST_TIME: Duration = Duration::from_millis(50);

/// Readings of which the mean is taken.
const READINGS: usize = 20;

const SIZE: (u16, u16) = (120, 40);

/// Views, and the keys that lead to them from the table.
const VIEWS: [(&str, &[KeyCode]); 5] = [
    ("table", &[]),
    ("table by module", &[KeyCode::Char('g'), KeyCode::Char('g'), KeyCode::Char('g')]),
    ("detail", &[KeyCode::Enter]),
    ("flame view", &[KeyCode::Char('f')]),
    ("generations", &[KeyCode::Char('m'), KeyCode::Char('m'), KeyCode::Char('G')]),
];

fn main() {
    println!("{SITES} call sites, {CHANGING} change from reading to reading; CPU time on a screen of {SIZE:?}\n");
    println!("{:18} {:>14} {:>12} {:>12}  slowest key", "view", "first reading", "a reading", "at 1 Hz");
    let mut slowest = Slowest::default();
    let mut greatest = 0.0_f64;
    for (name, way) in VIEWS {
        let mut scene = Scene::new();
        let mut screen = Screen::new();
        let reading = scene.reading();
        let ((), first) = timed(|| screen.read(reading));
        for code in way {
            slowest.take(name, *code, timed(|| screen.press(*code)).1);
        }
        let readings: Vec<Reading> = (0..READINGS).map(|_| scene.reading()).collect();
        let ((), all) = timed(|| readings.into_iter().for_each(|reading| screen.read(reading)));
        let mean = all / u32::try_from(READINGS).expect("few");
        let of_view = keys_of(&mut screen, name);
        let share = mean.as_secs_f64() * 100.0;
        greatest = greatest.max(mean.as_secs_f64());
        println!("{name:18} {:>11.1} ms {:>9.1} ms {share:>10.1} %  {of_view}", millis(first), millis(mean));
        slowest = slowest.max(of_view);
    }
    let verdict = |holds: bool| if holds { "holds" } else { "MISSED" };
    println!("\nslowest key of all: {slowest}");
    println!("a key answers in under {} ms: {}", MOST_TIME.as_millis(), verdict(slowest.time < MOST_TIME));
    let goal = MOST_SHARE * 100.0;
    println!("under {goal:.0} % of one core at 1 Hz in every view: {}", verdict(greatest < MOST_SHARE));
}

/// The time of the slowest key, and which it was.
#[derive(Default, Clone)]
struct Slowest {
    time: Duration,
    key: String,
}

impl Slowest {
    fn take(&mut self, view: &str, code: KeyCode, time: Duration) {
        if time > self.time {
            *self = Self { time, key: format!("{code} in {view}") };
        }
    }

    fn max(self, other: Self) -> Self {
        if other.time > self.time { other } else { self }
    }
}

impl fmt::Display for Slowest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.1} ms ({})", millis(self.time), self.key)
    }
}

/// Every key that stays in the view, each pressed on a screen that shows a reading.
fn keys_of(screen: &mut Screen, view: &str) -> Slowest {
    use KeyCode::{BackTab, Char, Down, End, Enter, Home, Left, PageDown, PageUp, Right, Tab, Up};
    let moves = [Down, Up, PageDown, PageUp, End, Home, Right, Left, Enter, Tab, BackTab];
    let orders = "1234567890>r<";
    let groups = "gggggggdt";
    let filter = "/site49";
    let characters = [orders, groups, "vvmm[]{} ", filter].concat();
    let all = moves.into_iter().chain(characters.chars().map(Char)).chain([KeyCode::Backspace, KeyCode::Esc]);
    let mut slowest = Slowest::default();
    for code in all {
        slowest.take(view, code, timed(|| screen.press(code)).1);
    }
    slowest
}

struct Screen {
    app: App,
    terminal: Terminal<TestBackend>,
}

impl Screen {
    fn new() -> Self {
        let app = App::new(SortBy::LiveBytes.into(), SiteNamer::default(), Theme::colour(), SIZE);
        Self { app, terminal: Terminal::new(TestBackend::new(SIZE.0, SIZE.1)).expect("a screen in memory") }
    }

    fn read(&mut self, reading: Reading) {
        self.app.update(reading);
        self.draw();
    }

    fn press(&mut self, code: KeyCode) {
        let event = Event::Key(KeyEvent::new(code, KeyModifiers::NONE));
        if let Some(action) = KEYS.action_for_event(&event, self.app.input()) {
            self.app.apply(action);
        }
        self.draw();
    }

    /// As the loop around the view does it.
    fn draw(&mut self) {
        self.terminal.draw(|frame| view::render(frame, &self.app)).expect("memory takes every drawing");
        std::hint::black_box((self.app.wanted_locations(), self.app.wanted_blocks()));
    }
}

/// A program in the making, with readings that have the stacks of one another.
struct Scene {
    samples: Vec<StackSample>,
    symbols: Arc<SymbolTable>,
    modules: Modules,
    readings: usize,
}

impl Scene {
    fn new() -> Self {
        let made = made(SITES, SITES, 1);
        Self { samples: made.samples, symbols: Arc::new(made.symbols), modules: made.modules, readings: 0 }
    }

    /// The next reading, a second after the last.
    fn reading(&mut self) -> Reading {
        self.readings += 1;
        for index in 0..CHANGING {
            let place = (index * 10 + self.readings) % SITES;
            let stats = &mut self.samples[place].stats;
            stats.allocated_blocks += 30;
            stats.allocated_bytes += 30 * 48;
            stats.freed_blocks += 29;
            stats.freed_bytes += 29 * 48;
            stats.short_lived_blocks += 20;
        }
        let profile = profile(&self.samples, &self.modules, Duration::from_secs(self.readings as u64));
        Reading { profile: Arc::new(profile), symbols: Arc::clone(&self.symbols) }
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
