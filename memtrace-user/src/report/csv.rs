//! Reports, comparisons and trees as CSV (RFC 4180): a header, and a record a group. `docs/report.md` lists the columns.
//!
//! Control characters in names are spelled out, as in the plain text.

use std::sync::Arc;

use super::{
    escape::escape,
    group_label,
    group_record::{NameRecord, StatsRecord},
};
use crate::profile::{Branches, CallTree, GroupBy, GroupName, Groups, ProfileDiff, difference};

/// Columns that say what a group is; those that the grouping leaves out are empty.
const NAME: [&str; 12] =
    ["name", "function", "file", "line", "module", "offset", "pid", "command", "tid", "thread", "domain", "stack"];

/// Columns of numbers.
const STATS: [&str; 11] = [
    "live_bytes",
    "live_blocks",
    "allocated_bytes",
    "allocated_blocks",
    "freed_bytes",
    "freed_blocks",
    "average_bytes",
    "live_bytes_low",
    "live_bytes_high",
    "allocated_bytes_low",
    "allocated_bytes_high",
];

/// Records in the making. Writing to memory does not fail.
type Writer = csv::Writer<Vec<u8>>;

/// A ranking. What is left out is one record more, without a rank.
#[must_use]
pub fn ranked(by: GroupBy, groups: &Groups) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    put(&mut writer, [vec!["rank".into()], texts(&NAME), texts(&STATS), vec!["share".into()]]);
    for (index, group) in groups.groups.iter().enumerate() {
        let share = groups.share(&group.stats).to_string();
        put(
            &mut writer,
            [vec![(index + 1).to_string()], name(&group.name, by), stats(&(&group.stats).into()), vec![share]],
        );
    }
    if groups.others.groups > 0 {
        let others = others(groups.others.groups);
        let share = groups.share(&groups.others.stats).to_string();
        put(&mut writer, [vec![String::new()], others, stats(&(&groups.others.stats).into()), vec![share]]);
    }
    finish(writer)
}

/// A comparison: the numbers before, after, and the change of the number ranked by.
#[must_use]
pub fn compared(by: GroupBy, diff: &ProfileDiff) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    let sides = |side: &str| STATS.map(|column| format!("{column}_{side}")).to_vec();
    let change = |before, after| vec![difference(diff.sort.value(before), diff.sort.value(after)).to_string()];
    put(&mut writer, [vec!["rank".into()], texts(&NAME), vec!["change".into()], sides("before"), sides("after")]);
    for (index, group) in diff.groups.iter().enumerate() {
        let change = change(&group.before, &group.after);
        let (before, after) = (stats(&(&group.before).into()), stats(&(&group.after).into()));
        put(&mut writer, [vec![(index + 1).to_string()], name(&group.name, by), change, before, after]);
    }
    if diff.others.groups > 0 {
        let change = change(&diff.others.before, &diff.others.after);
        let (before, after) = (stats(&(&diff.others.before).into()), stats(&(&diff.others.after).into()));
        put(&mut writer, [vec![String::new()], others(diff.others.groups), change, before, after]);
    }
    finish(writer)
}

/// A tree: nodes before their branches, with their level, from 0.
#[must_use]
pub fn tree(by: GroupBy, tree: &CallTree) -> String {
    let mut writer = Writer::from_writer(Vec::new());
    put(&mut writer, [vec!["level".into()], texts(&NAME), texts(&STATS)]);
    put_branches(&mut writer, by, &tree.branches, 0);
    finish(writer)
}

fn put_branches(writer: &mut Writer, by: GroupBy, branches: &Branches, level: usize) {
    for node in &branches.nodes {
        put(writer, [vec![level.to_string()], name(&node.name, by), stats(&(&node.stats).into())]);
        put_branches(writer, by, &node.branches, level + 1);
    }
    if branches.others.groups > 0 {
        let others = others(branches.others.groups);
        put(writer, [vec![level.to_string()], others, stats(&(&branches.others.stats).into())]);
    }
}

fn put(writer: &mut Writer, parts: impl IntoIterator<Item = Vec<String>>) {
    let _ = writer.write_record(parts.into_iter().flatten());
}

fn finish(writer: Writer) -> String {
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn texts(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| (*column).to_owned()).collect()
}

fn others(count: usize) -> Vec<String> {
    let mut cells = vec![String::new(); NAME.len()];
    cells[0] = format!("{count} others");
    cells
}

/// In the order of [`NAME`]. A stack is its frames, innermost first, a line each.
fn name(name: &GroupName, by: GroupBy) -> Vec<String> {
    let record = NameRecord::of(name, by);
    let text = |text: Option<&str>| escape(text.unwrap_or_default()).into_owned();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let stack = match name {
        GroupName::Stack { frames, .. } => {
            let frames =
                frames.iter().map(|place| group_label::full(&GroupName::Place(Arc::clone(place)), GroupBy::Line));
            frames.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    vec![
        record.name,
        text(record.place.function.as_deref()),
        text(record.place.file.as_deref()),
        number(record.place.line.map(u64::from)),
        text(record.place.module.as_deref()),
        number(record.place.offset),
        number(record.pid.map(u64::from)),
        text(record.command.as_deref()),
        number(record.tid.map(u64::from)),
        text(record.thread.as_deref()),
        text(record.domain),
        stack,
    ]
}

/// In the order of [`STATS`].
fn stats(stats: &StatsRecord) -> Vec<String> {
    let numbers = [
        stats.live_bytes,
        stats.live_blocks,
        stats.allocated_bytes,
        stats.allocated_blocks,
        stats.freed_bytes,
        stats.freed_blocks,
        stats.average_bytes,
    ];
    // Empty where the numbers are exact.
    let intervals =
        [stats.live_bytes_low, stats.live_bytes_high, stats.allocated_bytes_low, stats.allocated_bytes_high];
    numbers
        .map(|value| value.to_string())
        .into_iter()
        .chain(intervals.map(|bound| bound.map_or_else(String::new, |value| value.to_string())))
        .collect()
}
