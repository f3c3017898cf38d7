//! The flame view: all stacks at once, outermost caller at the top, each as wide as what was allocated through it.

use super::{app::Reading, detail::sample, table::Table};
use crate::profile::{AllocStats, CallTree, Direction, GroupBy, GroupName, GroupOptions, Node, SortBy, TreeLimits};

/// Narrower parts than this are left out: a screen has a few hundred columns.
const LEAST_SHARE: f64 = 0.0005;

/// What widths stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Measure {
    /// Bytes allocated and not freed.
    #[default]
    Live,
    /// Bytes allocated since the reading before.
    Rate,
}

/// A part of the picture: columns from the left, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) line: usize,
    pub(super) start: usize,
    pub(super) width: usize,
    /// Indexes of the branches from the root to here.
    pub(super) way: Vec<usize>,
}

/// The tree, and where in it the view stands.
#[derive(Debug, Default)]
pub(super) struct Flame {
    tree: CallTree,
    pub(super) measure: Measure,
    /// Names of the branches that are zoomed into, and of the selected one, from the root.
    zoom: Vec<GroupName>,
    selected: Vec<GroupName>,
}

impl Flame {
    /// Makes the tree of a reading.
    pub(super) fn make(&mut self, table: &Table, reading: &Reading) {
        let stacks = 0..table.stack_count();
        let is_live = self.measure == Measure::Live;
        let stats = |stack: u32| if is_live { *table.stack(stack).1 } else { table.activity(stack) };
        let sort = if is_live { SortBy::LiveBytes } else { SortBy::AllocatedBytes };
        let worth = stacks.map(|stack| (stack, stats(stack))).filter(|(_, stats)| sort.value(stats) > 0);
        let samples: Vec<_> = worth.map(|(stack, stats)| sample(table.stack(stack).0, stats)).collect();
        let options = GroupOptions { by: GroupBy::Function, namer: table.namer.clone(), ..GroupOptions::default() };
        let limits = TreeLimits { top: usize::MAX, least_share: LEAST_SHARE, depth: 256 };
        self.tree = CallTree::of(&[reading.samples(&samples)], &options, sort, Direction::Callees, limits);
        let depth = self.resolve(&self.zoom).1.len();
        self.zoom.truncate(depth);
        let depth = self.resolve(&self.selected).1.len();
        self.selected.truncate(depth);
    }

    pub(super) fn total(&self) -> u64 {
        self.tree.sort.value(&self.tree.total)
    }

    pub(super) fn value(&self, stats: &AllocStats) -> u64 {
        self.tree.sort.value(stats)
    }

    /// The last node of a way by names that still is there, and its way by indexes.
    fn resolve(&self, names: &[GroupName]) -> (Option<&Node>, Vec<usize>) {
        let (mut branches, mut node, mut way) = (&self.tree.branches, None, Vec::new());
        for name in names {
            let Some(index) = branches.nodes.iter().position(|other| other.name == *name) else { break };
            way.push(index);
            node = Some(&branches.nodes[index]);
            branches = &branches.nodes[index].branches;
        }
        (node, way)
    }

    /// The node of a way by indexes.
    pub(super) fn node(&self, way: &[usize]) -> Option<&Node> {
        let mut node = self.tree.branches.nodes.get(*way.first()?)?;
        for index in &way[1..] {
            node = node.branches.nodes.get(*index)?;
        }
        Some(node)
    }

    fn names(&self, way: &[usize]) -> Vec<GroupName> {
        (1..=way.len()).filter_map(|length| self.node(&way[..length])).map(|node| node.name.clone()).collect()
    }

    pub(super) fn zoomed(&self) -> Option<&Node> {
        self.resolve(&self.zoom).0
    }

    pub(super) fn selected_way(&self) -> Vec<usize> {
        self.resolve(&self.selected).1
    }

    /// The parts of the picture for so many columns and lines. The zoomed part has the first line with its callers above.
    pub(super) fn cells(&self, columns: usize, lines: usize) -> Vec<Cell> {
        let mut cells = Vec::new();
        let (zoomed, way) = self.resolve(&self.zoom);
        // Of the callers, those nearest by are seen, and half of the screen is left.
        let above = way.len().min(lines / 2);
        for line in 0..above {
            let length = way.len() - above + line + 1;
            cells.push(Cell { line, start: 0, width: columns, way: way[..length].to_vec() });
        }
        let total = zoomed.map_or_else(|| self.total(), |node| self.value(&node.stats));
        let branches = zoomed.map_or(&self.tree.branches, |node| &node.branches);
        self.lay_out(&mut cells, branches, &way, (above, lines), (0, columns), total);
        cells
    }

    fn lay_out(
        &self,
        cells: &mut Vec<Cell>,
        branches: &crate::profile::Branches,
        way: &[usize],
        (line, lines): (usize, usize),
        (start, width): (usize, usize),
        total: u64,
    ) {
        if line >= lines || total == 0 {
            return;
        }
        // Edges are rounded, not widths, so that rounding does not add up.
        let edge = |sum: u64| start + usize::try_from(u128::from(sum) * width as u128 / u128::from(total)).unwrap_or(0);
        let mut sum = 0;
        for (index, node) in branches.nodes.iter().enumerate() {
            let value = self.value(&node.stats);
            let (left, right) = (edge(sum), edge(sum + value));
            sum += value;
            if right > left {
                let way: Vec<usize> = way.iter().copied().chain([index]).collect();
                self.lay_out(cells, &node.branches, &way, (line + 1, lines), (left, right - left), value);
                cells.push(Cell { line, start: left, width: right - left, way });
            }
        }
    }

    pub(super) fn select(&mut self, way: &[usize]) {
        self.selected = self.names(way);
    }

    /// Goes to the part beside, above or below.
    pub(super) fn step(&mut self, step: Step) {
        let mut way = self.selected_way();
        let lowest = self.resolve(&self.zoom).1.len();
        match step {
            Step::Out if way.len() > lowest.max(1) => drop(way.pop()),
            Step::Out => {}
            Step::In => way.push(0),
            Step::Left | Step::Right if way.len() > lowest => {
                if let Some(last) = way.last_mut() {
                    *last = if step == Step::Left { last.saturating_sub(1) } else { *last + 1 };
                }
            }
            Step::Left | Step::Right => {}
        }
        if self.node(&way).is_some() {
            self.select(&way);
        }
    }

    /// Makes the selected part as wide as the screen.
    pub(super) fn zoom_in(&mut self) {
        self.zoom.clone_from(&self.selected);
    }

    /// One level out; whether there was one.
    pub(super) fn zoom_out(&mut self) -> bool {
        self.zoom.pop().is_some()
    }

    /// Widths stand for the other thing.
    pub(super) const fn turn_measure(&mut self) {
        self.measure = match self.measure {
            Measure::Live => Measure::Rate,
            Measure::Rate => Measure::Live,
        };
    }
}

/// Where to go in the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Out,
    In,
    Left,
    Right,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::profile::{SiteNamer, fixture::Scene};

    fn flame(stacks: &[(&[&str], u64)]) -> Flame {
        let mut scene = Scene::default();
        for (frames, blocks) in stacks {
            scene.sample(frames, *blocks, 1, 0);
        }
        let reading = Reading { profile: Arc::new(scene.profile()), symbols: Arc::new(scene.symbols) };
        let mut table = Table::new(super::super::columns::Order::Column(0), SiteNamer::default());
        table.read(&reading);
        let mut flame = Flame::default();
        flame.make(&table, &reading);
        flame
    }

    /// The widest part comes first, below its caller; zooming makes a part as wide as the screen and keeps its callers.
    #[test]
    fn parts_lie_below_their_callers() {
        let mut flame = flame(&[(&["b@app", "main@app"], 30), (&["a@app", "main@app"], 70)]);
        let widths = |flame: &Flame| {
            let mut cells = flame.cells(100, 10);
            cells.sort_by_key(|cell| (cell.line, cell.start));
            cells.iter().map(|cell| (cell.line, cell.start, cell.width)).collect::<Vec<_>>()
        };
        assert_eq!(widths(&flame), [(0, 0, 100), (1, 0, 70), (1, 70, 30)]);
        flame.step(Step::In);
        flame.step(Step::In);
        flame.step(Step::Right);
        flame.zoom_in();
        assert_eq!(widths(&flame), [(0, 0, 100), (1, 0, 100)]);
        assert_eq!(flame.zoomed().map(|node| node.stats.live_bytes()), Some(30));
        assert!(flame.zoom_out() && flame.zoom_out() && !flame.zoom_out());
    }

    proptest! {
        /// In every line parts lie side by side, each within the part above it, at any width.
        #[test]
        fn parts_do_not_overlap(blocks in prop::collection::vec((0..4_usize, 0..4_usize, 1..1000_u64), 1..20), columns in 1..200_usize) {
            const NAMES: [&str; 4] = ["a@app", "b@app", "c@app", "d@app"];
            let stacks: Vec<([&str; 3], u64)> =
                blocks.iter().map(|(a, b, count)| ([NAMES[*a], NAMES[*b], "main@app"], *count)).collect();
            let stacks: Vec<(&[&str], u64)> = stacks.iter().map(|(frames, count)| (&frames[..], *count)).collect();
            let mut cells = flame(&stacks).cells(columns, 10);
            cells.sort_by_key(|cell| (cell.line, cell.start));
            for pair in cells.windows(2) {
                prop_assert!(pair[0].line != pair[1].line || pair[0].start + pair[0].width <= pair[1].start);
            }
            for cell in cells.iter().filter(|cell| cell.line > 0) {
                let above = cells.iter().find(|other| other.way[..] == cell.way[..cell.way.len() - 1]).expect("a caller");
                prop_assert!(above.start <= cell.start && cell.start + cell.width <= above.start + above.width);
            }
        }
    }
}
