//! Reports, comparisons and trees as JSON. `docs/report.md` describes the documents; their version grows when a field
//! changes its meaning or goes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    escape::is_unsafe,
    group_record::{NameRecord, StatsRecord},
    timestamp,
};
use crate::profile::{
    Branches, CallTree, Direction, GroupBy, GroupOptions, Groups, ProfileDiff, SiteRule, Snapshot, difference,
};

/// Version of the documents.
const VERSION: u32 = 1;

/// A file that was read, by its name.
pub type NamedSnapshot<'a> = (&'a str, &'a Snapshot);

#[derive(Serialize)]
struct Document<'a, T> {
    kind: &'static str,
    version: u32,
    files: Vec<File<'a>>,
    group_by: &'static str,
    cumulative: bool,
    site: &'static str,
    sort: &'static str,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    tool: Option<&'a str>,
    host: Option<&'a str>,
    kernel: Option<&'a str>,
    taken_at: Option<String>,
    elapsed_seconds: Option<f64>,
    sample_bytes: Option<u64>,
    processes: Vec<Process<'a>>,
    total: StatsRecord,
    losses: BTreeMap<&'static str, u64>,
    lacks: Vec<&'static str>,
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    command: &'a str,
    started_at: Option<String>,
    exited: bool,
    rss_bytes: Option<u64>,
    current_bytes: Option<u64>,
    peak_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Ranked {
    total: StatsRecord,
    groups: Vec<RankedGroup>,
    others: Others,
}

#[derive(Serialize)]
struct RankedGroup {
    rank: usize,
    #[serde(flatten)]
    name: NameRecord,
    #[serde(flatten)]
    stats: StatsRecord,
    share: f64,
}

#[derive(Serialize)]
struct Others {
    groups: usize,
    #[serde(flatten)]
    stats: StatsRecord,
}

#[derive(Serialize)]
struct Compared {
    before: StatsRecord,
    after: StatsRecord,
    live_growth: i128,
    groups: Vec<ComparedGroup>,
    unchanged: usize,
    others: ComparedOthers,
}

#[derive(Serialize)]
struct ComparedGroup {
    rank: usize,
    #[serde(flatten)]
    name: NameRecord,
    #[serde(flatten)]
    sides: Sides,
}

#[derive(Serialize)]
struct ComparedOthers {
    groups: usize,
    #[serde(flatten)]
    sides: Sides,
}

/// Both sides, and the change of the number ranked by.
#[derive(Serialize)]
struct Sides {
    change: i128,
    before: StatsRecord,
    after: StatsRecord,
}

#[derive(Serialize)]
struct Tree {
    direction: &'static str,
    total: StatsRecord,
    branches: Vec<TreeNode>,
    others: Others,
}

#[derive(Serialize)]
struct TreeNode {
    #[serde(flatten)]
    name: NameRecord,
    #[serde(flatten)]
    stats: StatsRecord,
    branches: Vec<Self>,
    others: Others,
}

/// A ranking.
#[must_use]
pub fn ranked(files: &[NamedSnapshot<'_>], options: &GroupOptions, groups: &Groups) -> String {
    let rows = groups.groups.iter().enumerate().map(|(index, group)| RankedGroup {
        rank: index + 1,
        name: NameRecord::of(&group.name, options.by),
        stats: (&group.stats).into(),
        share: groups.share(&group.stats),
    });
    let others = Others { groups: groups.others.groups, stats: (&groups.others.stats).into() };
    let body = Ranked { total: (&groups.total).into(), groups: rows.collect(), others };
    text(&document("report", files, options, groups.sort.word(), body))
}

/// A comparison of the first file with the second.
#[must_use]
pub fn compared(files: &[NamedSnapshot<'_>], options: &GroupOptions, diff: &ProfileDiff) -> String {
    let sides = |before, after| Sides {
        change: difference(diff.sort.value(before), diff.sort.value(after)),
        before: before.into(),
        after: after.into(),
    };
    let rows = diff.groups.iter().enumerate().map(|(index, group)| ComparedGroup {
        rank: index + 1,
        name: NameRecord::of(&group.name, options.by),
        sides: sides(&group.before, &group.after),
    });
    let body = Compared {
        before: (&diff.before).into(),
        after: (&diff.after).into(),
        live_growth: diff.live_growth(),
        groups: rows.collect(),
        unchanged: diff.unchanged,
        others: ComparedOthers { groups: diff.others.groups, sides: sides(&diff.others.before, &diff.others.after) },
    };
    text(&document("diff", files, options, diff.sort.word(), body))
}

/// A tree.
#[must_use]
pub fn tree(files: &[NamedSnapshot<'_>], options: &GroupOptions, tree: &CallTree, direction: Direction) -> String {
    let (branches, others) = nodes(&tree.branches, options.by);
    let direction = match direction {
        Direction::Callers => "callers",
        Direction::Callees => "callees",
    };
    let body = Tree { direction, total: (&tree.total).into(), branches, others };
    text(&document("tree", files, options, tree.sort.word(), body))
}

fn nodes(branches: &Branches, by: GroupBy) -> (Vec<TreeNode>, Others) {
    let nodes = branches.nodes.iter().map(|node| {
        let (branches, others) = nodes(&node.branches, by);
        TreeNode { name: NameRecord::of(&node.name, by), stats: (&node.stats).into(), branches, others }
    });
    (nodes.collect(), Others { groups: branches.others.groups, stats: (&branches.others.stats).into() })
}

fn document<'a, T>(
    kind: &'static str,
    files: &[NamedSnapshot<'a>],
    options: &GroupOptions,
    sort: &'static str,
    body: T,
) -> Document<'a, T> {
    let site = match options.site {
        SiteRule::Code => "code",
        SiteRule::Leaf => "leaf",
    };
    Document {
        kind,
        version: VERSION,
        files: files.iter().map(|(path, snapshot)| file(path, snapshot)).collect(),
        group_by: options.by.word(),
        cumulative: options.cumulative,
        site,
        sort,
        body,
    }
}

fn file<'a>(path: &'a str, snapshot: &'a Snapshot) -> File<'a> {
    let about = &snapshot.about;
    let process = |process: &'a crate::profile::TracedProcess| Process {
        pid: process.info.pid,
        command: &process.info.command,
        started_at: process.started_at.map(timestamp::rfc3339),
        exited: process.info.exited,
        rss_bytes: process.info.rss_bytes,
        current_bytes: process.totals.map(|totals| totals.current_bytes),
        peak_bytes: process.totals.map(|totals| totals.peak_bytes),
    };
    File {
        path,
        tool: about.tool.as_deref(),
        host: about.host.as_deref(),
        kernel: about.kernel.as_deref(),
        taken_at: about.taken_at.map(timestamp::rfc3339),
        elapsed_seconds: about.elapsed.map(|elapsed| elapsed.as_secs_f64()),
        sample_bytes: about.options.sample_bytes,
        processes: snapshot.processes.iter().map(process).collect(),
        total: (&snapshot.total()).into(),
        losses: about.losses.iter().map(|(reason, count)| (reason.key(), count)).collect(),
        lacks: about.lacks.iter().map(|lack| lack.name()).collect(),
    }
}

/// Names are exact; characters that could drive a terminal are written as `\u….`, which means the same.
fn text(document: &impl Serialize) -> String {
    escaped(&serde_json::to_string_pretty(document).unwrap_or_default())
}

/// A document without characters that could drive a terminal, and with a line's end.
pub(super) fn escaped(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len() + 1);
    for character in plain.chars() {
        if character != '\n' && is_unsafe(character) {
            let mut units = [0; 2];
            out.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(character);
        }
    }
    out.push('\n');
    out
}
