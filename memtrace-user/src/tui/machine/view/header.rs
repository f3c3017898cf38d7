//! The head of the screen: how many are traced, what they hold, what it costs, and what could not be recorded.

use ratatui::{
    layout::Rect,
    text::{Line, Span},
};

use super::super::app::MachineApp;
use crate::{
    profile::Machine,
    report::{elide, escape::escape, machine, units},
    tui::view::header::{Item, items_line, losses_line},
};

/// Screens lower than this get only the lines that must not be missed.
const LOWEST_WITH_ALL: u16 = 16;

pub(super) fn lines<'a>(screen: Rect, app: &MachineApp) -> Vec<Line<'a>> {
    let width = usize::from(screen.width);
    let Some(machine) = &app.shown else { return vec![Line::raw("memtrace: waiting for the first reading")] };
    let mut lines = vec![title(machine, app, width), items_line(&held(machine), width, &app.theme)];
    let losses = (machine.losses.total() > 0).then(|| losses_line(&machine.losses, width, &app.theme));
    if screen.height < LOWEST_WITH_ALL {
        lines.extend(losses);
        return lines;
    }
    lines.push(items_line(&trust(machine), width, &app.theme));
    lines.extend(losses);
    // A third of the screen at most: the table is what one came for.
    let room = usize::from(screen.height / 3).saturating_sub(lines.len());
    let notes = machine.notes.iter().flat_map(|note| elide::wrap(&escape(note), width));
    let notes = notes.map(|text| Line::styled(text, app.theme.alarm));
    let cost = elide::wrap(&machine::cost(machine), width).into_iter().map(|text| Line::styled(text, app.theme.dim));
    lines.extend(notes.chain(cost).take(room));
    lines
}

fn title<'a>(machine: &Machine, app: &MachineApp, width: usize) -> Line<'a> {
    let mut right = Vec::new();
    if app.paused {
        right.extend([Span::styled(" PAUSED ", app.theme.state), Span::raw(" ")]);
    }
    right.push(Span::raw(format!("traced for {}", units::duration(machine.elapsed))));
    let taken = right.iter().map(Span::width).sum::<usize>() + 1;
    let room = width.saturating_sub(taken);
    let name = elide::end(&format!("Processes: {}", machine::processes(machine)), room);
    let gap = " ".repeat(room.saturating_sub(elide::width(&name)) + 1);
    [Span::styled(name, app.theme.title), Span::raw(gap)].into_iter().chain(right).collect()
}

fn held(machine: &Machine) -> Vec<Item> {
    let running = machine.running().stats;
    let rates = machine.processes.iter().fold((0.0, 0.0), |sum, process| {
        (sum.0 + process.rates.allocated_blocks, sum.1 + process.rates.allocated_bytes)
    });
    vec![
        ("Live", units::bytes(running.live_bytes())),
        ("Blocks", units::count(running.live_blocks())),
        ("Allocating", format!("{} {}", units::rate(rates.0), units::byte_rate(rates.1))),
    ]
}

fn trust(machine: &Machine) -> Vec<Item> {
    let mut items = Vec::new();
    items.extend(machine.sample_bytes.map(|mean| ("ESTIMATES", format!("1 byte in {}", units::bytes(mean)))));
    if machine.losses.total() == 0 {
        items.push(("Losses", "none".into()));
    }
    let overhead = &machine.overhead;
    let of_core = overhead.core_share.map_or_else(String::new, |share| format!("{}, ", units::percent(share)));
    items.push(("Overhead", format!("{of_core}{}", units::bytes(overhead.own_memory_bytes))));
    let names: Vec<_> = machine.allocators.iter().filter_map(|name| name.split(" (").next()).collect();
    let mut known = Vec::new();
    for name in names {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    items.push(("Traced", escape(&known.join(", ")).into_owned()));
    items
}
