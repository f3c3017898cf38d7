//! The processes of a report on several: one line each, the greatest first.

use super::{
    frames::SiteName,
    group_label::process_text,
    table::{Row, Table, fit},
    units,
};
use crate::profile::{AllocStats, ProcessInfo, ProcessTotals, Profile, SortBy, TracedProcess};

/// Most processes that are listed.
const MOST: usize = 20;

/// The table and what it leaves out; nothing when there is one process.
pub(super) fn lines(profile: &Profile, sort: SortBy, width: Option<usize>) -> Vec<String> {
    if profile.others.is_empty() {
        return Vec::new();
    }
    let others = profile.others.iter().map(Line::of);
    let own = Line { info: &profile.process, totals: profile.own_totals, further: 0 };
    let mut processes: Vec<_> = std::iter::once(own).chain(others).collect();
    // Stable: those of one size stay in the order in which they appeared.
    processes
        .sort_by_key(|line| std::cmp::Reverse((sort.value(&line.totals.stats), line.totals.stats.allocated_bytes)));
    let shown = processes.len().min(MOST);
    let by = sort.label();
    let (first, rest) = processes.split_at(shown);
    let mut lines =
        vec![format!("{} of {} by {by}:", units::count(all(first)), number(all(&processes), "")), String::new()];
    let titles = ["Live", "Blocks", "Peak", "Allocated", "Blocks"].map(str::to_owned).to_vec();
    let rows = first.iter().map(row).collect();
    lines.extend(Table { titles: (titles, "Process".into()), rows }.lines(width));
    if !rest.is_empty() {
        let left = number(all(rest), "other ");
        let rest: AllocStats = rest.iter().map(|line| line.totals.stats).sum();
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

/// A process, or several that are added up.
struct Line<'a> {
    info: &'a ProcessInfo,
    totals: ProcessTotals,
    further: u32,
}

impl<'a> Line<'a> {
    fn of(process: &'a TracedProcess) -> Self {
        Self { info: &process.info, totals: process.totals.unwrap_or_default(), further: process.further }
    }
}

/// How many processes some lines stand for.
fn all(lines: &[Line<'_>]) -> u64 {
    lines.iter().map(|line| 1 + u64::from(line.further)).sum()
}

fn number(count: u64, which: &str) -> String {
    let plural = if count == 1 { "" } else { "es" };
    format!("{} {which}process{plural}", units::count(count))
}

fn row(Line { info, totals, .. }: &Line<'_>) -> Row {
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
    let count = profile.other_processes();
    let running = profile.others.iter().filter(|process| !process.info.exited).count();
    let runs = match running {
        0 => String::new(),
        1 => ", 1 of which runs".into(),
        many => format!(", {} of which run", units::count(many as u64)),
    };
    (count > 0).then(|| format!("and {}{runs}", units::counted(count, "other")))
}
