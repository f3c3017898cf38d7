//! The head of the screen: the text report's head in few lines.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{super::App, sparkline::sparkline};
use crate::{
    profile::{Losses, Profile, SortBy},
    report::{elide, escape::escape, groups_text::signed, units},
    tui::Theme,
};

/// Screens lower than this get only the lines that must not be missed.
const LOWEST_WITH_ALL: u16 = 16;

/// Narrower screens leave the process's age out.
const WIDTH_WITH_AGE: usize = 70;

pub(super) fn height(screen: Rect, app: &App) -> u16 {
    u16::try_from(lines(screen, app).len()).unwrap_or(u16::MAX).min(screen.height)
}

pub(super) fn render(frame: &mut Frame, area: Rect, app: &App) {
    for (row, line) in area.rows().zip(lines(frame.area(), app)) {
        frame.render_widget(line, row);
    }
}

fn lines<'a>(screen: Rect, app: &App) -> Vec<Line<'a>> {
    let width = usize::from(screen.width);
    let Some(shown) = &app.shown else { return starting(app, width) };
    let (profile, theme) = (&*shown.profile, &app.theme);
    let mut lines = vec![process(profile, app, width)];
    lines.push(items_line(&memory(app, profile), width, theme));
    lines.extend(
        app.beside
            .clone()
            .map(|text| items_line(&[(if app.mapped.is_some() { "Besides" } else { "Mapped" }, text)], width, theme)),
    );
    let has_losses = profile.losses.total() > 0;
    if screen.height < LOWEST_WITH_ALL {
        lines.extend(has_losses.then(|| losses(profile, width, theme)));
        return lines;
    }
    lines.extend(app.mapped.is_none().then(|| items_line(&flow(profile), width, theme)));
    lines.push(session(app, width));
    lines.push(items_line(&trust(app, profile), width, theme));
    lines.extend(has_losses.then(|| losses(profile, width, theme)));
    // A third of the screen at most: the table is what one came for.
    let room = usize::from(screen.height / 3).saturating_sub(lines.len());
    let notes = profile.process.notes.iter().flat_map(|note| elide::wrap(&escape(note), width));
    lines.extend(notes.take(room).map(|text| Line::styled(text, theme.alarm)));
    lines
}

/// Before the first reading: what is known of the process, and what is being done.
fn starting<'a>(app: &App, width: usize) -> Vec<Line<'a>> {
    let Some((process, doing)) = &app.starting else {
        return vec![Line::raw("memtrace: waiting for the first reading")];
    };
    let name = format!("{} {}", process.pid, escape(&process.command));
    let rss = process.rss_bytes.map(|rss| ("RSS", units::bytes(rss)));
    vec![
        Line::styled(elide::middle(&name, width), app.theme.title),
        items_line(&rss.into_iter().collect::<Vec<_>>(), width, &app.theme),
        Line::styled(elide::end(&format!("Attaching: {doing}"), width), app.theme.state),
    ]
}

/// Live bytes from the beginning of the session to now.
fn session<'a>(app: &App, width: usize) -> Line<'a> {
    let values = app.history.values();
    let most = format!(" most {}", units::bytes(values.iter().copied().max().unwrap_or(0)));
    let room = width.saturating_sub(5 + elide::width(&most));
    Line::from(vec![
        Span::styled("Live ", app.theme.label),
        Span::raw(sparkline(values, room)),
        Span::styled(most, app.theme.dim),
    ])
}

/// `memtrace  4711 command   [paused]   1 min 05 s`; the command gives way to what stands right of it.
fn process<'a>(profile: &Profile, app: &App, width: usize) -> Line<'a> {
    let mut right = Vec::new();
    if app.paused {
        right.extend([Span::styled(" PAUSED ", app.theme.state), Span::raw(" ")]);
    }
    if profile.process.exited {
        right.extend([Span::styled(" PROCESS HAS ENDED ", app.theme.state), Span::raw(" ")]);
    }
    let age = profile.started_at.and_then(|start| profile.taken_at.duration_since(start).ok());
    let age = age.filter(|_| !profile.process.exited && width >= WIDTH_WITH_AGE);
    right.extend(age.map(|age| Span::styled(format!("runs for {}, ", units::duration(age)), app.theme.dim)));
    let traced = if age.is_some() { "traced for " } else { "" };
    right.push(Span::raw(format!("{traced}{}", units::duration(profile.elapsed))));
    let taken = right.iter().map(Span::width).sum::<usize>() + 1;
    let others = match profile.other_processes() {
        0 => String::new(),
        count => format!(" and {}", units::counted(count, "other")),
    };
    let name = format!("{} {}{others}", profile.process.pid, escape(&profile.process.command));
    let room = width.saturating_sub(taken);
    let name = elide::middle(&name, room);
    let gap = " ".repeat(room.saturating_sub(elide::width(&name)) + 1);
    let left = [Span::styled(name, app.theme.title), Span::raw(gap)];
    left.into_iter().chain(right).collect()
}

/// A name and a number.
pub(in crate::tui) type Item = (&'static str, String);

fn memory(app: &App, profile: &Profile) -> Vec<Item> {
    if let Some(mapped) = &app.mapped {
        let rss = profile.process.rss_bytes.map(|rss| ("RSS", units::bytes(rss)));
        let calls = ("in", units::counted(mapped.live_blocks(), "mapping"));
        return [("Mapped by the program", units::bytes(mapped.live_bytes())), calls].into_iter().chain(rss).collect();
    }
    let totals = &profile.totals;
    let mut items = vec![
        ("Live", live(profile)),
        ("Peak", format!("{}{}", if profile.others.is_empty() { "" } else { "≥ " }, units::bytes(totals.peak_bytes))),
        ("Blocks", units::count(totals.stats.live_blocks())),
    ];
    // What the process has beyond the blocks that are known: code, stacks, blocks from before, the allocator's reserve.
    items.extend(profile.process.rss_bytes.map(|rss| {
        let beyond = i128::from(rss) - i128::from(totals.current_bytes);
        let beside = if profile.others.is_empty() {
            signed(SortBy::LiveBytes, beyond)
        } else {
            // Pages that several processes share have no one place in a sum.
            format!("of {}", profile.process.pid)
        };
        ("RSS", format!("{} ({beside})", units::bytes(rss)))
    }));
    if totals.failed_calls > 0 {
        items.push(("Failed", units::count(totals.failed_calls)));
    }
    items
}

/// Live bytes; of an estimate, how far the truth may be above or below in 95 of 100 cases.
fn live(profile: &Profile) -> String {
    let bytes = profile.totals.current_bytes;
    let error = profile.totals.stats.live_interval().map_or_else(String::new, |interval| {
        format!(" ± {}", units::bytes(interval.high.saturating_sub(interval.low) / 2))
    });
    format!("{}{error}", units::bytes(bytes))
}

fn flow(profile: &Profile) -> Vec<Item> {
    let rates = &profile.rates;
    let pair = |blocks, bytes| format!("{} {}", units::rate(blocks), units::byte_rate(bytes));
    let mut items = vec![
        ("Allocating", pair(rates.allocated_blocks, rates.allocated_bytes)),
        ("Freeing", pair(rates.freed_blocks, rates.freed_bytes)),
    ];
    if profile.totals.unknown_frees > 0 {
        items.push(("Untraced frees", units::count(profile.totals.unknown_frees)));
    }
    items
}

fn trust(app: &App, profile: &Profile) -> Vec<Item> {
    let (coverage, overhead) = (&app.coverage, &profile.overhead);
    let mut items = Vec::new();
    items.extend(profile.sample_bytes.map(|mean| ("ESTIMATES", format!("1 byte in {}", units::bytes(mean)))));
    if profile.totals.stats.allocated_blocks > 0 {
        items.push(("Stacks", format!("{} whole", units::percent(coverage.whole))));
    }
    if profile.losses.total() == 0 {
        items.push(("Losses", "none".into()));
    }
    let of_cpu = overhead.cpu_share.or(overhead.core_share);
    let of_cpu = of_cpu.map_or_else(String::new, |share| format!("{}, ", units::percent(share)));
    items.push(("Overhead", format!("{of_cpu}{}", units::bytes(overhead.own_memory_bytes))));
    // The allocator's name without its path: `glibc (/usr/lib/libc.so.6)`.
    let names: Vec<_> = profile.process.allocators.iter().filter_map(|name| name.split(" (").next()).collect();
    if !names.is_empty() {
        items.push(("Traced", escape(&names.join(", ")).into_owned()));
    }
    for (label, share) in [("cut", coverage.truncated), ("incomplete", coverage.incomplete)] {
        if share > 0.0 {
            items.push((label, units::percent(share)));
        }
    }
    items
}

/// As many whole items as fit: a number that is cut reads as another number.
pub(in crate::tui) fn items_line<'a>(items: &[Item], width: usize, theme: &Theme) -> Line<'a> {
    let mut line = Line::default();
    for (label, value) in items {
        let gap = if line.spans.is_empty() { "" } else { "  " };
        let spans = [Span::raw(gap), Span::styled(format!("{label} "), theme.label), Span::raw(value.clone())];
        if line.width() + spans.iter().map(Span::width).sum::<usize>() > width {
            break;
        }
        line.spans.extend(spans);
    }
    line
}

fn losses<'a>(profile: &Profile, width: usize, theme: &Theme) -> Line<'a> {
    if profile.losses.total() == 0 {
        return items_line(&[("Losses", "none".into())], width, theme);
    }
    losses_line(&profile.losses, width, theme)
}

/// What could not be recorded, by reason.
pub(in crate::tui) fn losses_line<'a>(losses: &Losses, width: usize, theme: &Theme) -> Line<'a> {
    let reasons: Vec<_> =
        losses.iter().map(|(reason, number)| format!("{} {}", reason.name(), units::count(number))).collect();
    let text = format!(" LOSSES {}: {} ", units::count(losses.total()), reasons.join(", "));
    Line::styled(elide::end(&text, width), theme.alarm)
}
