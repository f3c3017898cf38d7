//! Ranked groups, differences and call trees as plain text.

use super::{
    group_label::{Paths, callers, label},
    sites::{amount, interval},
    source_text::SourceTexts,
    table::{Row, Table, fit},
    units,
};
use crate::profile::{AllocStats, GroupBy, GroupDiff, GroupName, Groups, ProfileDiff, SortBy, difference};

/// How groups were made and are to be shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupText {
    /// What a group is.
    pub by: GroupBy,
    /// A sample counts for every group on its stack.
    pub cumulative: bool,
    /// Whether it is known which stacks are whole: where not, nothing is said of how they end.
    pub ends_known: bool,
    /// Columns of the terminal; `None` for a pipe or a file: nothing is cut.
    pub width: Option<usize>,
}

impl GroupText {
    fn paths(self) -> Paths {
        if self.width.is_some() { Paths::Short } else { Paths::Full }
    }

    fn fitted(self, lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| fit(line, self.width)).collect()
    }

    /// What is ranked, and by what: `3 of 20 lines by live bytes:`.
    fn heading(self, shown: usize, all: usize, by: &str) -> String {
        let cumulative = if self.cumulative { ", callers included" } else { "" };
        let noun = self.by.noun(all);
        if shown == 0 {
            return format!("No {by}{cumulative} in any of {} {noun}.", units::count(all as u64));
        }
        format!("{} of {} {noun} by {by}{cumulative}:", units::count(shown as u64), units::count(all as u64))
    }

    /// Heading, groups, and the sum of what is left out.
    #[must_use]
    pub fn ranked(self, groups: &Groups, texts: &mut SourceTexts) -> Vec<String> {
        let sort = groups.sort;
        let mut lines =
            vec![self.heading(groups.groups.len(), groups.groups.len() + groups.others.groups, sort.label())];
        if !groups.groups.is_empty() {
            let mut titles = vec!["#", "Live", "Blocks", "Average"];
            titles.extend(own_column(sort));
            titles.push("Share");
            let mut table = Table { titles: (owned(&titles), self.by.title().into()), rows: Vec::new() };
            for (index, group) in groups.groups.iter().enumerate() {
                let mut numbers = vec![(index + 1).to_string()];
                numbers.extend(live_cells(&group.stats));
                numbers.extend(own_column(sort).map(|_| cell(sort, sort.value(&group.stats))));
                numbers.push(units::percent(groups.share(&group.stats)));
                let mut row = self.row(numbers, &group.name, texts);
                row.below.splice(0..0, interval(&group.stats, sort));
                table.rows.push(row);
            }
            lines.push(String::new());
            lines.extend(table.lines(self.width));
        }
        lines.extend(self.others(groups));
        self.fitted(&lines)
    }

    fn others(self, groups: &Groups) -> Option<String> {
        let (count, stats) = (groups.others.groups, &groups.others.stats);
        let noun = self.by.noun(count);
        let number = units::count(count as u64);
        let sum =
            || format!("{}, {}", amount(groups.sort, groups.sort.value(stats)), units::percent(groups.share(stats)));
        match (count, self.cumulative) {
            (0, _) => None,
            // They overlap, so a sum would say nothing.
            (_, true) => Some(format!("{number} other {noun}")),
            (_, false) => Some(format!("{number} other {noun}: {}", sum())),
        }
    }

    fn row(self, numbers: Vec<String>, name: &GroupName, texts: &mut SourceTexts) -> Row {
        let mut below = callers(name, self.paths(), self.ends_known);
        if self.by == GroupBy::Stack {
            below.push(String::new());
        }
        if let (GroupBy::Line, GroupName::Place(place)) = (self.by, name) {
            below.extend(texts.of(place));
        }
        Row { numbers, name: label(name, self.by, self.paths()), below }
    }

    /// Totals, changed groups, and the sum of what is left out.
    #[must_use]
    pub fn compared(self, diff: &ProfileDiff, texts: &mut SourceTexts) -> Vec<String> {
        let sort = diff.sort;
        let all = diff.groups.len() + diff.others.groups;
        let by = format!("change of {}", sort.label());
        let mut lines = vec![if all == 0 {
            format!("Nothing has changed in {} {}.", units::count(diff.unchanged as u64), self.by.noun(diff.unchanged))
        } else {
            self.heading(diff.groups.len(), all, &by)
        }];
        if !diff.groups.is_empty() {
            let titles = ["#", bytes_title(sort), "Change", "Blocks", "Change", "Average"];
            let mut table = Table { titles: (owned(&titles), self.by.title().into()), rows: Vec::new() };
            for (index, group) in diff.groups.iter().enumerate() {
                let mut numbers = vec![(index + 1).to_string()];
                numbers.extend(diff_cells(group, sort));
                let mut row = self.row(numbers, &group.name, texts);
                row.below.splice(0..0, change_interval(group, sort));
                table.rows.push(row);
            }
            lines.push(String::new());
            lines.extend(table.lines(self.width));
        }
        lines.extend(self.other_diffs(diff));
        self.fitted(&lines)
    }

    fn other_diffs(self, diff: &ProfileDiff) -> Option<String> {
        let others = &diff.others;
        let change = signed(diff.sort, difference(diff.sort.value(&others.before), diff.sort.value(&others.after)));
        let noun = self.by.noun(others.groups);
        let count = units::count(others.groups as u64);
        match (others.groups, self.cumulative) {
            (0, _) => None,
            (_, true) => Some(format!("{count} other {noun} that changed")),
            (_, false) => Some(format!("{count} other {noun} that changed: {change}")),
        }
    }
}

/// The totals of a comparison, one line a number.
#[must_use]
pub fn totals(diff: &ProfileDiff) -> Vec<(&'static str, String)> {
    let line = |bytes: SortBy, blocks: SortBy| {
        let change = |sort: SortBy| difference(sort.value(&diff.before), sort.value(&diff.after));
        format!(
            "{} ({}) in {} ({})",
            units::bytes(bytes.value(&diff.after)),
            signed(bytes, change(bytes)),
            units::counted(blocks.value(&diff.after), "block"),
            signed_count(change(blocks)),
        )
    };
    vec![
        ("Live", line(SortBy::LiveBytes, SortBy::LiveBlocks)),
        ("Allocated", line(SortBy::AllocatedBytes, SortBy::AllocatedBlocks)),
    ]
}

fn owned(titles: &[&str]) -> Vec<String> {
    titles.iter().map(|title| (*title).to_owned()).collect()
}

/// Live bytes and blocks are always shown; another number ranked by gets a column.
pub(super) fn own_column(sort: SortBy) -> Option<&'static str> {
    (!matches!(sort, SortBy::LiveBytes | SortBy::LiveBlocks)).then(|| sort.title())
}

pub(super) fn live_cells(stats: &AllocStats) -> [String; 3] {
    [units::bytes(stats.live_bytes()), units::count(stats.live_blocks()), units::bytes(stats.average_bytes())]
}

pub(super) fn cell(sort: SortBy, value: u64) -> String {
    if sort.is_bytes() { units::bytes(value) } else { units::count(value) }
}

/// Bytes and blocks of what is compared, with their changes, and the average size after (before, of what is gone).
fn diff_cells(group: &GroupDiff, sort: SortBy) -> [String; 5] {
    let [(bytes_before, blocks_before), (bytes, blocks)] = [&group.before, &group.after].map(|stats| sort.sizes(stats));
    let average = |bytes: u64, blocks: u64| bytes.checked_div(blocks);
    let average = average(bytes, blocks).or(average(bytes_before, blocks_before)).unwrap_or(0);
    [
        units::bytes(bytes),
        signed(SortBy::LiveBytes, difference(bytes_before, bytes)),
        units::count(blocks),
        signed_count(difference(blocks_before, blocks)),
        units::bytes(average),
    ]
}

/// Of estimates: between which bytes the change lies in 95 of 100 cases.
fn change_interval(group: &GroupDiff, sort: SortBy) -> Option<String> {
    let (low, high) = AllocStats::change_interval(&group.before, &group.after, sort)
        .or_else(|| AllocStats::change_interval(&group.before, &group.after, SortBy::LiveBytes))?;
    let [low, high] = [low, high].map(|change| signed(SortBy::LiveBytes, change));
    Some(format!("change {low} to {high} (95 %)"))
}

fn bytes_title(sort: SortBy) -> &'static str {
    match sort {
        SortBy::LiveBytes | SortBy::LiveBlocks => "Live",
        SortBy::AllocatedBytes | SortBy::AllocatedBlocks => "Allocated",
        SortBy::FreedBytes => "Freed",
    }
}

/// A change with its sign, as `+1.2 MiB` or `-3`; `0` has none.
#[must_use]
pub fn signed(sort: SortBy, change: i128) -> String {
    if sort.is_bytes() { with_sign(change, units::bytes) } else { signed_count(change) }
}

fn signed_count(change: i128) -> String {
    with_sign(change, units::count)
}

fn with_sign(change: i128, say: fn(u64) -> String) -> String {
    let sign = match change.signum() {
        1 => "+",
        -1 => "-",
        _ => "",
    };
    format!("{sign}{}", say(u64::try_from(change.unsigned_abs()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        profile::{About, CallTree, Direction, GroupOptions, Snapshot, TreeLimits, fixture},
        report::{elide, snapshot_header, tree_text},
    };

    fn snapshots() -> [Snapshot; 2] {
        [fixture::typical(), fixture::with_losses()].map(|(profile, symbols)| {
            Snapshot::of(&profile, &symbols, About { host: Some("build-7".into()), ..About::default() })
        })
    }

    fn text(by: GroupBy, width: Option<usize>) -> GroupText {
        GroupText { by, cumulative: false, ends_known: true, width }
    }

    fn ranked(by: GroupBy, width: Option<usize>) -> Vec<String> {
        let options = GroupOptions { by, ..GroupOptions::default() };
        let groups = Groups::of(&[(&snapshots()[0]).into()], &options, SortBy::LiveBytes).top(4).without_empty();
        text(by, width).ranked(&groups, &mut SourceTexts::default())
    }

    /// On a terminal of 80 columns, source files lose their directories and long names their middle.
    #[test]
    fn report_on_80_columns() {
        let head = snapshot_header::lines("File", "rowsd.pb.gz", &snapshots()[0], Some(80));
        assert_snapshot!([head, vec![String::new()], ranked(GroupBy::Line, Some(80))].concat().join("\n"));
    }

    /// Nothing is wider than the terminal, in any grouping, comparison or tree.
    #[test]
    fn every_line_fits() {
        let [before, mut after] = snapshots();
        after.samples.truncate(3);
        for width in [20, 40, 80, 200] {
            for by in GroupBy::all() {
                let options = GroupOptions { by, ..GroupOptions::default() };
                let diff = ProfileDiff::of(&[(&before).into()], &[(&after).into()], &options, SortBy::FreedBytes);
                let mut lines = ranked(by, Some(width));
                lines.extend(text(by, Some(width)).compared(&diff, &mut SourceTexts::default()));
                if by.is_of_frames() {
                    for way in [Direction::Callers, Direction::Callees] {
                        let samples = [(&before).into()];
                        let tree = CallTree::of(&samples, &options, SortBy::LiveBytes, way, TreeLimits::default());
                        lines.extend(tree_text::lines(&tree, way, text(by, Some(width))));
                    }
                }
                for line in &lines {
                    assert!(elide::width(line) <= width, "{width}: {line}");
                }
            }
        }
    }
}
