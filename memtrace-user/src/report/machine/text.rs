//! The report as plain text.

use std::io::{self, Write};

use super::{
    super::{
        TextOptions,
        escape::escape,
        frames::SiteName,
        group_label::process_text,
        groups_text::signed,
        header::{losses, row, sampled},
        table::{Row, Table, fit},
        timestamp, units,
    },
    MachineReport,
};
use crate::profile::{Machine, MachineProcess, Site, SortBy};

/// Terminals narrower than this have no room for all columns.
const WIDE: usize = 100;

/// Writes head and ranked processes, each with its largest call sites. Names are escaped.
///
/// # Errors
/// Those of the writer, a closed pipe included.
pub fn write(out: &mut dyn Write, report: &MachineReport<'_>, options: TextOptions) -> io::Result<()> {
    for line in head(report.machine, options.width).iter().chain(&table(report, options.width)) {
        writeln!(out, "{}", line.trim_end())?;
    }
    out.flush()
}

fn head(machine: &Machine, width: Option<usize>) -> Vec<String> {
    let mut rows = vec![("Processes", processes(machine))];
    rows.extend(machine.allocators.iter().map(|name| ("Traced", escape(name).into_owned())));
    rows.push((
        "Time",
        format!("{}, after {} of tracing", timestamp::utc(machine.taken_at), units::duration(machine.elapsed)),
    ));
    rows.extend(machine.sample_bytes.map(|mean| ("SAMPLED", sampled(mean))));
    let totals = machine.running();
    let held = |bytes, blocks| format!("{} in {}", units::bytes(bytes), units::counted(blocks, "block"));
    rows.push(("Live", held(totals.stats.live_bytes(), totals.stats.live_blocks())));
    let all = totals.stats + machine.ended.stats;
    rows.push(("Allocated", held(all.allocated_bytes, all.allocated_blocks)));
    rows.extend(losses(&machine.losses));
    rows.extend(machine.notes.iter().map(|note| ("NOTE", escape(note).into_owned())));
    rows.push(("Cost", cost(machine)));
    rows.push(("Overhead", overhead(machine)));
    let lines = rows.into_iter().flat_map(|(label, text)| row(label, &text, width));
    lines.chain([String::new()]).collect()
}

/// How many are traced, and how many there were.
#[must_use]
pub fn processes(machine: &Machine) -> String {
    let ended = machine.ended.count;
    let of_ended = if ended == 0 { String::new() } else { format!(", {} have ended", units::count(ended)) };
    format!("{} traced{of_ended}", units::count(machine.processes.len() as u64))
}

/// What every process that maps a probed file pays.
#[must_use]
pub fn cost(machine: &Machine) -> String {
    let count = machine.cost.processes;
    let who = if count == 1 { "1 process maps".into() } else { format!("{} processes map", units::count(count)) };
    let time = machine.cost.pair.map_or_else(
        || "each call of an allocator in them takes a trap longer".into(),
        |pair| format!("an allocation and its free take about {:.1} µs longer in each", pair.as_secs_f64() * 1e6),
    );
    format!("{who} the probed files: {time} while top runs, and more in those that are traced")
}

fn overhead(machine: &Machine) -> String {
    let overhead = &machine.overhead;
    let time = overhead
        .core_share
        .map_or_else(String::new, |share| format!("{} of one core in probes; ", units::percent(share)));
    format!(
        "{time}own memory {}, {} in BPF maps",
        units::bytes(overhead.own_memory_bytes),
        units::bytes(overhead.bpf_memory_bytes)
    )
}

fn table(report: &MachineReport<'_>, width: Option<usize>) -> Vec<String> {
    let shown = report.shown();
    let all = report.machine.processes.len();
    if shown.is_empty() {
        return vec!["No process is traced.".into()];
    }
    let number = units::counted(all as u64, "process").replace("processs", "processes");
    let heading = format!("{} of {number} by {}:", units::count(shown.len() as u64), report.order.label());
    let has_lost = shown.iter().any(|process| process.lost() > 0);
    let mut columns = vec!["Live", "Growth", "Bytes/s"];
    if width.is_none_or(|width| width >= WIDE) {
        columns.extend(["Allocs/s", "Blocks", "RSS"]);
    }
    columns.extend(has_lost.then_some("LOST"));
    let rows = shown.iter().map(|process| of_process(report, process, &columns)).collect();
    let titles = columns.iter().map(|title| (*title).to_owned()).collect();
    let mut lines = vec![heading, String::new()];
    lines.extend(Table { titles: (titles, "Process".into()), rows }.lines(width));
    let rest = &report.machine.ranked(report.order)[shown.len()..];
    if !rest.is_empty() {
        let live = rest.iter().fold(0_u64, |sum, process| sum.saturating_add(process.live_bytes()));
        let others = if rest.len() == 1 {
            "1 other process".into()
        } else {
            format!("{} other processes", units::count(rest.len() as u64))
        };
        lines.push(fit(&format!("{others}: {} live", units::bytes(live)), width));
    }
    lines
}

fn of_process(report: &MachineReport<'_>, process: &MachineProcess, columns: &[&str]) -> Row {
    let number = |title: &&str| match *title {
        "Live" => units::bytes(process.live_bytes()),
        "Growth" => signed(SortBy::LiveBytes, process.growth_bytes.into()),
        "Bytes/s" => units::byte_rate(process.rates.allocated_bytes),
        "Allocs/s" => units::rate(process.rates.allocated_blocks),
        "Blocks" => units::count(process.totals.stats.live_blocks()),
        "RSS" => process.rss_bytes.map_or_else(String::new, units::bytes),
        _ => units::count(process.lost()),
    };
    Row { numbers: columns.iter().map(number).collect(), name: name(process), below: sites(report, process) }
}

fn name(process: &MachineProcess) -> SiteName {
    let place = if process.user.is_empty() { String::new() } else { format!(" ({})", escape(&process.user)) };
    let module =
        process.container.as_deref().map(|container| format!(" [{}]", escape(short(container)))).unwrap_or_default();
    SiteName { function: process_text(process.pid, &process.command), place, module }
}

/// Engines show the first twelve digits of an id.
#[must_use]
pub fn short(container: &str) -> &str {
    let is_id = container.len() >= 32 && container.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { &container[..12] } else { container }
}

fn sites(report: &MachineReport<'_>, process: &MachineProcess) -> Vec<String> {
    let Some((profile, ranking)) = report.sites.get(&process.key) else { return Vec::new() };
    let line = |site: &Site| {
        let name = SiteName::of(site.location, ranking, report.symbols, &profile.modules);
        let value = super::super::sites::amount(ranking.sort, ranking.sort.value(&site.stats));
        format!("{value:>11}  {:>6}  {}", units::percent(site.share), name.fit(usize::MAX))
    };
    ranking.sites.iter().filter(|site| ranking.sort.value(&site.stats) > 0).map(line).collect()
}
