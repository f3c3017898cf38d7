//! The processes of a report on several: one line each, the greatest first.

use super::{
    frames::SiteName,
    group_label::process_text,
    table::{Row, Table, fit},
    units,
};
use crate::profile::{AllocStats, ProcessInfo, ProcessTotals, Profile, SortBy};

/// Most processes that are listed.
const MOST: usize = 20;

/// The table and what it leaves out; nothing when there is one process.
pub(super) fn lines(profile: &Profile, sort: SortBy, width: Option<usize>) -> Vec<String> {
    if profile.others.is_empty() {
        return Vec::new();
    }
    let others = profile.others.iter().map(|process| (&process.info, process.totals.unwrap_or_default()));
    let mut processes: Vec<_> = std::iter::once((&profile.process, profile.own_totals)).chain(others).collect();
    // Stable: those of one size stay in the order in which they appeared.
    processes.sort_by_key(|(_, totals)| std::cmp::Reverse((sort.value(&totals.stats), totals.stats.allocated_bytes)));
    let shown = processes.len().min(MOST);
    let by = sort.label();
    let mut lines =
        vec![format!("{} of {} by {by}:", units::count(shown as u64), number(processes.len(), "")), String::new()];
    let titles = ["Live", "Blocks", "Peak", "Allocated", "Blocks"].map(str::to_owned).to_vec();
    let rows = processes[..shown].iter().map(|(info, totals)| row(info, totals)).collect();
    lines.extend(Table { titles: (titles, "Process".into()), rows }.lines(width));
    let rest: AllocStats = processes[shown..].iter().map(|(_, totals)| totals.stats).sum();
    if shown < processes.len() {
        let left = number(processes.len() - shown, "other ");
        let text = format!(
            "{left}: {} live, {} allocated in {}",
            units::bytes(rest.live_bytes()),
            units::bytes(rest.allocated_bytes),
            units::counted(rest.allocated_blocks, "block")
        );
        lines.push(fit(&text, width));
    }
    lines.push(String::new());
    lines
}

fn number(count: usize, which: &str) -> String {
    let plural = if count == 1 { "" } else { "es" };
    format!("{} {which}process{plural}", units::count(count as u64))
}

fn row(info: &ProcessInfo, totals: &ProcessTotals) -> Row {
    let stats = &totals.stats;
    let numbers = vec![
        units::bytes(stats.live_bytes()),
        units::count(stats.live_blocks()),
        units::bytes(totals.peak_bytes),
        units::bytes(stats.allocated_bytes),
        units::count(stats.allocated_blocks),
    ];
    let state = if info.exited { "" } else { " (runs)" };
    let name = SiteName { function: process_text(info.pid, &info.command), place: state.into(), ..SiteName::default() };
    Row { numbers, name, below: Vec::new() }
}

/// How many others there are, for the head.
pub(super) fn others(profile: &Profile) -> Option<String> {
    let count = profile.others.len() as u64;
    let running = profile.others.iter().filter(|process| !process.info.exited).count();
    let runs = match running {
        0 => String::new(),
        1 => ", 1 of which runs".into(),
        many => format!(", {} of which run", units::count(many as u64)),
    };
    (count > 0).then(|| format!("and {}{runs}", units::counted(count, "other")))
}
