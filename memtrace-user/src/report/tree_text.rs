//! A call tree as plain text: a line a place, indented where it branches.

use super::{
    frames::SiteName,
    group_label::{Paths, label},
    groups_text::{GroupText, cell, live_cells, own_column},
    table::{Row, Table, fit},
    units,
};
use crate::profile::{Branches, CallTree, Direction, GroupBy, OtherGroups, SortBy};

/// Columns by which a branch stands in.
const STEP: usize = 2;

/// Deepest indentation: what branches further stands below it.
const MAX_INDENT: usize = 40;

/// Heading and tree.
#[must_use]
pub fn lines(tree: &CallTree, direction: Direction, text: GroupText) -> Vec<String> {
    let roots = tree.branches.nodes.len() + tree.branches.others.groups;
    let (noun, way) = match direction {
        Direction::Callers => (text.by.noun(roots).to_owned(), "each with its callers"),
        Direction::Callees => ("outermost callers".to_owned(), "each with what it called"),
    };
    let count = |number: usize| units::count(number as u64);
    let sort = tree.sort;
    if tree.branches.nodes.is_empty() {
        return vec![fit(&format!("No {} at any of {} {noun}.", sort.label(), count(roots)), text.width)];
    }
    let heading =
        format!("{} of {} {noun} by {}, {way}:", count(tree.branches.nodes.len()), count(roots), sort.label());
    let mut titles: Vec<String> = ["Live", "Blocks", "Average"].map(str::to_owned).into();
    titles.extend(own_column(sort).map(str::to_owned));
    titles.push("Share".into());
    let mut table = Table { titles: (titles, text.by.title().into()), rows: Vec::new() };
    let total = sort.value(&tree.total);
    let paths = if text.width.is_some() { Paths::Short } else { Paths::Full };
    add(&mut table, &tree.branches, &Layout { sort, by: text.by, total, paths }, 0);
    let mut lines = vec![fit(&heading, text.width), String::new()];
    lines.extend(table.lines(text.width));
    lines
}

struct Layout {
    sort: SortBy,
    by: GroupBy,
    total: u64,
    paths: Paths,
}

/// Only where ways part does the text stand in, and each of them begins with a mark: `+ `.
fn add(table: &mut Table, branches: &Branches, layout: &Layout, indent: usize) {
    let others = &branches.others;
    let has_others = others.groups > 0 && layout.sort.value(&others.stats) > 0;
    let is_fork = indent > 0 && branches.nodes.len() + usize::from(has_others) > 1;
    let next = if is_fork || indent == 0 { (indent + STEP).min(MAX_INDENT) } else { indent };
    for node in &branches.nodes {
        let name = label(&node.name, layout.by, layout.paths);
        let mark = if is_fork { "+ " } else { "" };
        let name = SiteName { function: format!("{:indent$}{mark}{}", "", name.function), ..name };
        table.rows.push(row(&node.stats, name, layout));
        add(table, &node.branches, layout, next);
    }
    if has_others {
        let name = SiteName { function: format!("{:indent$}{}", "", others_name(others)), ..SiteName::default() };
        table.rows.push(row(&others.stats, name, layout));
    }
}

fn others_name(others: &OtherGroups) -> String {
    format!("… {}", units::counted(others.groups as u64, "other"))
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn row(stats: &crate::profile::AllocStats, name: SiteName, layout: &Layout) -> Row {
    let value = layout.sort.value(stats);
    let mut numbers: Vec<String> = live_cells(stats).into();
    numbers.extend(own_column(layout.sort).map(|_| cell(layout.sort, value)));
    let share = if layout.total == 0 { 0.0 } else { value as f64 / layout.total as f64 };
    numbers.push(units::percent(share));
    Row { numbers, name, below: Vec::new() }
}
