//! A call tree as plain text: a line a place, indented where it branches.

use super::{
    frames::SiteName,
    group_label::{Paths, label},
    groups_text::{GroupText, cell, indented, live_cells, own_column},
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
        return vec![format!("No {} at any of {} {noun}.", sort.label(), count(roots))];
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

/// A lone branch that holds all of its node goes on in the same column: only where ways part does the text stand in.
fn add(table: &mut Table, branches: &Branches, layout: &Layout, indent: usize) {
    for node in &branches.nodes {
        let name = indented(label(&node.name, layout.by, layout.paths), indent);
        table.rows.push(row(&node.stats, name, layout));
        let is_chain = indent > 0 && node.branches.nodes.len() == 1 && node.branches.others.groups == 0;
        let next = if is_chain { indent } else { (indent + STEP).min(MAX_INDENT) };
        add(table, &node.branches, layout, next);
    }
    let others = &branches.others;
    if others.groups > 0 && layout.sort.value(&others.stats) > 0 {
        table.rows.push(row(&others.stats, indented(others_name(others), indent), layout));
    }
}

fn others_name(others: &OtherGroups) -> SiteName {
    SiteName { function: format!("… {}", units::counted(others.groups as u64, "other")), ..SiteName::default() }
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
