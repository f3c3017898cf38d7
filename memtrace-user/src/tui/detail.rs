//! The selected group looked at closely: its callers as a tree that folds, its stack, sizes and source.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
};

use super::{reading::Reading, table::Table};
use crate::profile::{
    AllocStats, Branches, CallTree, Direction, GroupBy, GroupName, GroupOptions, SortBy, StackSample, TreeLimits,
};

/// Most stacks that a tree of callers is made of: the heaviest of the group.
const MOST_STACKS: usize = 5_000;

/// What the lower part of the detail shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pane {
    /// Callers as a tree.
    #[default]
    Callers,
    /// The heaviest stack.
    Stack,
    /// Sizes of the live blocks.
    Sizes,
    /// Text of the source around the line.
    Source,
}

/// One line a pane, in order: its title.
pub(super) const PANES: [(Pane, &str); 4] =
    [(Pane::Callers, "Callers"), (Pane::Stack, "Stack"), (Pane::Sizes, "Sizes"), (Pane::Source, "Source")];

/// One line of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeLine {
    pub(super) depth: usize,
    /// What is there; `None` for what is too small to be shown.
    pub(super) name: Option<GroupName>,
    pub(super) stats: AllocStats,
    pub(super) fold: Fold,
    way: u64,
}

/// Whether there is something below a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    Leaf,
    Folded,
    Unfolded,
}

/// What is looked at.
#[derive(Debug, Default)]
pub(super) struct Detail {
    pub(super) pane: Pane,
    /// Stacks of the group, heaviest first.
    pub(super) members: Vec<u32>,
    tree: CallTree,
    /// Ways whose fold is not the usual one.
    turned: HashSet<u64>,
    pub(super) lines: Vec<TreeLine>,
    /// The selected line of the tree, or the first line of another pane that is seen.
    pub(super) at: usize,
    /// Text around the site's line: number of the first line, and the lines.
    pub(super) source: Option<SourceText>,
}

/// Lines of a file around one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceText {
    /// Path as the compiler recorded it.
    pub file: String,
    /// The line that is meant, from 1.
    pub line: u32,
    /// Lines with their numbers; empty when the file is not at hand.
    pub lines: Vec<(u32, String)>,
}

impl Detail {
    /// Another group is looked at.
    pub(super) fn begin(&mut self) {
        *self = Self { pane: self.pane, ..Self::default() };
    }

    pub(super) fn next_pane(&mut self, forward: bool) {
        let at = PANES.iter().position(|(pane, _)| *pane == self.pane).unwrap_or(0);
        let next = if forward { at + 1 } else { at + PANES.len() - 1 };
        self.pane = PANES[next % PANES.len()].0;
        self.at = 0;
    }

    /// Makes the tree of a group's callers.
    pub(super) fn make_tree(&mut self, table: &Table, reading: &Reading) {
        let sample = |stack: &u32| {
            let (known, stats) = table.stack(*stack);
            sample(known, *stats)
        };
        let samples: Vec<StackSample> = self.members.iter().take(MOST_STACKS).map(sample).collect();
        let options =
            GroupOptions { by: GroupBy::Line, namer: table.grouped().namer.clone(), ..GroupOptions::default() };
        let limits = TreeLimits { top: 50, least_share: 0.001, depth: 256 };
        self.tree = CallTree::of(&[reading.samples(&samples)], &options, SortBy::LiveBytes, Direction::Callers, limits);
        if self.tree.branches.nodes.is_empty() {
            // Nothing lives: then by what was allocated.
            let (by, all) = (SortBy::AllocatedBytes, [reading.samples(&samples)]);
            self.tree = CallTree::of(&all, &options, by, Direction::Callers, limits);
        }
        self.unfold_lines();
    }

    /// The number that the tree is ordered by.
    pub(super) const fn tree_sort(&self) -> SortBy {
        self.tree.sort
    }

    fn unfold_lines(&mut self) {
        let mut lines = Vec::new();
        add(&mut lines, &self.tree.branches, &self.turned, 0, 0);
        self.lines = lines;
        self.at = self.at.min(self.lines.len().saturating_sub(1));
    }

    /// Folds or unfolds the selected line; folding what is folded goes to the line above it in the tree.
    pub(super) fn fold(&mut self, unfold: bool) {
        if self.pane != Pane::Callers {
            return;
        }
        let Some(line) = self.lines.get(self.at) else { return };
        match (line.fold, unfold) {
            (Fold::Folded, true) | (Fold::Unfolded, false) => {
                let way = line.way;
                if !self.turned.remove(&way) {
                    self.turned.insert(way);
                }
                self.unfold_lines();
            }
            (_, false) => {
                let above = self.lines[..self.at].iter().rposition(|other| other.depth < line.depth);
                self.at = above.unwrap_or(self.at);
            }
            (_, true) => {}
        }
    }

    /// Turns the fold of the selected line.
    pub(super) fn turn(&mut self) {
        let is_folded = self.lines.get(self.at).is_some_and(|line| line.fold == Fold::Folded);
        self.fold(is_folded);
    }
}

/// A numbered stack as a sample again.
pub(super) fn sample(stack: &crate::profile::NumberedStack, stats: AllocStats) -> StackSample {
    StackSample {
        stack: stack.stack.clone(),
        end: stack.end,
        domain: stack.domain,
        process: stack.process,
        thread: stack.thread,
        stats,
    }
}

/// A way without forks is unfolded from the start, and so is the first level.
fn add(lines: &mut Vec<TreeLine>, branches: &Branches, turned: &HashSet<u64>, depth: usize, way: u64) {
    let alone = branches.nodes.len() == 1;
    for node in &branches.nodes {
        let way = BuildHasherDefault::<DefaultHasher>::default().hash_one((way, &node.name));
        let is_leaf = node.branches.nodes.is_empty() && node.branches.others.groups == 0;
        let open = (alone || depth == 0 && lines.is_empty()) != turned.contains(&way);
        let fold = match (is_leaf, open) {
            (true, _) => Fold::Leaf,
            (false, true) => Fold::Unfolded,
            (false, false) => Fold::Folded,
        };
        lines.push(TreeLine { depth, name: Some(node.name.clone()), stats: node.stats, fold, way });
        if fold == Fold::Unfolded {
            // A lone branch goes on in the same column: only where ways part does the text stand in.
            let step = usize::from(!(depth > 0 && node.branches.nodes.len() == 1));
            add(lines, &node.branches, turned, depth + step, way);
        }
    }
    if branches.others.groups > 0 {
        lines.push(TreeLine { depth, name: None, stats: branches.others.stats, fold: Fold::Leaf, way });
    }
}
