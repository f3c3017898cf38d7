//! The report as JSON, one line each: a stream of them is read line by line. `docs/top.md` lists the fields.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    super::{group_record::StatsRecord, json::escaped, timestamp},
    MachineReport,
};
use crate::profile::{MachineProcess, Site};

/// Version of the documents.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    kind: &'static str,
    version: u32,
    taken_at: String,
    elapsed_seconds: f64,
    sample_bytes: Option<u64>,
    sort: &'static str,
    allocators: &'a [String],
    mapping_processes: u64,
    pair_cost_nanoseconds: Option<u128>,
    own_memory_bytes: u64,
    traced_processes: usize,
    ended: Ended,
    losses: BTreeMap<&'static str, u64>,
    notes: &'a [String],
    running: StatsRecord,
    processes: Vec<Process<'a>>,
}

#[derive(Serialize)]
struct Ended {
    processes: u64,
    #[serde(flatten)]
    stats: StatsRecord,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    command: &'a str,
    user: &'a str,
    container: Option<&'a str>,
    rss_bytes: Option<u64>,
    #[serde(flatten)]
    stats: StatsRecord,
    peak_bytes: u64,
    growth_bytes: i64,
    allocated_bytes_per_second: f64,
    allocated_blocks_per_second: f64,
    unknown_frees: u64,
    failed_calls: u64,
    refused_blocks: u64,
    refused_stacks: u64,
    sites: Vec<SiteRecord<'a>>,
}

#[derive(Serialize)]
struct SiteRecord<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    module: Option<&'a str>,
    offset: Option<u64>,
    #[serde(flatten)]
    stats: StatsRecord,
}

/// The document on one line, with its end.
#[must_use]
pub fn line(report: &MachineReport<'_>) -> String {
    let machine = report.machine;
    let document = Document {
        kind: "top",
        version: VERSION,
        taken_at: timestamp::rfc3339(machine.taken_at),
        elapsed_seconds: machine.elapsed.as_secs_f64(),
        sample_bytes: machine.sample_bytes,
        sort: report.order.word(),
        allocators: &machine.allocators,
        mapping_processes: machine.cost.processes,
        pair_cost_nanoseconds: machine.cost.pair.map(|pair| pair.as_nanos()),
        own_memory_bytes: machine.overhead.own_memory_bytes,
        traced_processes: machine.processes.len(),
        ended: Ended { processes: machine.ended.count, stats: (&machine.ended.stats).into() },
        losses: machine.losses.iter().map(|(reason, count)| (reason.key(), count)).collect(),
        notes: &machine.notes,
        running: (&machine.running().stats).into(),
        processes: report.shown().into_iter().map(|process| of_process(report, process)).collect(),
    };
    escaped(&serde_json::to_string(&document).unwrap_or_default())
}

fn of_process<'a>(report: &'a MachineReport<'_>, process: &'a MachineProcess) -> Process<'a> {
    Process {
        pid: process.pid,
        command: &process.command,
        user: &process.user,
        container: process.container.as_deref(),
        rss_bytes: process.rss_bytes,
        stats: (&process.totals.stats).into(),
        peak_bytes: process.totals.peak_bytes,
        growth_bytes: process.growth_bytes,
        allocated_bytes_per_second: process.rates.allocated_bytes,
        allocated_blocks_per_second: process.rates.allocated_blocks,
        unknown_frees: process.totals.unknown_frees,
        failed_calls: process.totals.failed_calls,
        refused_blocks: process.refused_blocks,
        refused_stacks: process.refused_stacks,
        sites: sites(report, process),
    }
}

fn sites<'a>(report: &'a MachineReport<'_>, process: &MachineProcess) -> Vec<SiteRecord<'a>> {
    let Some((profile, ranking)) = report.sites.get(&process.key) else { return Vec::new() };
    let record = |site: &'a Site| {
        let frame = site.location.and_then(|location| ranking.frame(location, report.symbols));
        let source = frame.and_then(|frame| frame.source.as_ref());
        SiteRecord {
            function: frame.and_then(|frame| frame.function.as_deref()),
            file: source.map(|source| &*source.file),
            line: source.map(|source| source.line).filter(|line| *line > 0),
            module: site.location.map(|location| &**profile.modules.path(location.module)),
            offset: site.location.map(|location| location.offset),
            stats: (&site.stats).into(),
        }
    };
    ranking.sites.iter().map(record).collect()
}
