//! The flame view: all stacks at once, outermost caller at the top, each as wide as what was allocated through it.

use super::{reading::Reading, table::Table};
use crate::profile::{GroupName, LiveTree};

/// Narrower parts than one in so many of the whole are left out: a screen has a few hundred columns.
const NARROWEST: u64 = 2_000;

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
    /// Its function in the tree.
    pub(super) node: u32,
    /// Its place among its caller's branches.
    pub(super) index: usize,
}

/// The tree, and where in it the view stands.
#[derive(Debug, Default)]
pub(super) struct Flame {
    tree: LiveTree,
    pub(super) measure: Measure,
    /// Places of the branches that are zoomed into, and of the selected one, from the root. Not nodes: these are others
    /// once functions have got their names.
    zoom: Vec<u32>,
    selected: Vec<u32>,
}

impl Flame {
    /// Brings the tree up to a reading.
    pub(super) fn make(&mut self, table: &mut Table, reading: &Reading) {
        table.extend_tree(&mut self.tree, reading);
        let shown = |stack: u32| table.grouped().is_shown(stack);
        match self.measure {
            Measure::Live => {
                let live = |stack: u32| if shown(stack) { table.live_bytes(stack) } else { 0 };
                self.tree.count((0..table.stack_count()).map(live));
            }
            Measure::Rate => {
                let rate = |stack: u32| if shown(stack) { table.allocated_since(stack) } else { 0 };
                self.tree.count((0..table.stack_count()).map(rate));
            }
        }
        let depth = self.resolve(&self.zoom).len();
        self.zoom.truncate(depth);
        let depth = self.resolve(&self.selected).len();
        self.selected.truncate(depth);
    }

    /// What was recorded is gone.
    pub(super) fn forget(&mut self) {
        *self = Self { measure: self.measure, ..Self::default() };
    }

    pub(super) const fn tree_mut(&mut self) -> &mut LiveTree {
        &mut self.tree
    }

    pub(super) fn total(&self) -> u64 {
        self.value(self.tree.root())
    }

    pub(super) fn value(&self, node: u32) -> u64 {
        self.tree.value(node)
    }

    pub(super) fn name(&self, node: u32) -> Option<&GroupName> {
        self.tree.name(node)
    }

    /// The nodes of a way, as far as it is worth something.
    fn resolve(&self, places: &[u32]) -> Vec<u32> {
        let mut nodes = Vec::new();
        let mut node = self.tree.root();
        for place in places {
            match self.tree.branch(node, *place) {
                Some(branch) if self.value(branch) > 0 => node = branch,
                _ => break,
            }
            nodes.push(node);
        }
        nodes
    }

    pub(super) fn zoomed(&self) -> Option<u32> {
        self.resolve(&self.zoom).last().copied()
    }

    pub(super) fn selected(&self) -> Option<u32> {
        self.resolve(&self.selected).last().copied()
    }

    /// The branches of a node that can be seen.
    fn branches(&self, node: u32) -> Vec<u32> {
        self.tree.branches(node, self.total() / NARROWEST)
    }

    /// The parts of the picture for so many columns and lines. The zoomed part has the first line with its callers above.
    pub(super) fn cells(&self, columns: usize, lines: usize) -> Vec<Cell> {
        let mut cells = Vec::new();
        let way = self.resolve(&self.zoom);
        // Of the callers, those nearest by are seen, and half of the screen is left.
        let above = way.len().min(lines / 2);
        for (line, node) in way[way.len() - above..].iter().enumerate() {
            cells.push(Cell { line, start: 0, width: columns, node: *node, index: 0 });
        }
        let top = way.last().copied().unwrap_or_else(|| self.tree.root());
        self.lay_out(&mut cells, top, (above, lines), (0, columns));
        cells
    }

    fn lay_out(&self, cells: &mut Vec<Cell>, node: u32, (line, lines): (usize, usize), (start, width): (usize, usize)) {
        let total = self.value(node);
        if line >= lines || total == 0 {
            return;
        }
        // Edges are rounded, not widths, so that rounding does not add up.
        let edge = |sum: u64| start + usize::try_from(u128::from(sum) * width as u128 / u128::from(total)).unwrap_or(0);
        let mut sum = 0;
        for (index, node) in self.branches(node).into_iter().enumerate() {
            let (left, right) = (edge(sum), edge(sum + self.value(node)));
            sum += self.value(node);
            if right > left {
                self.lay_out(cells, node, (line + 1, lines), (left, right - left));
                cells.push(Cell { line, start: left, width: right - left, node, index });
            }
        }
    }

    /// Selects a part that lies in the picture.
    pub(super) fn select(&mut self, node: u32) {
        let mut places = Vec::new();
        let mut at = Some(node);
        while let Some(node) = at {
            places.extend(self.tree.place(node));
            at = self.tree.parent(node);
        }
        places.reverse();
        self.selected = places;
    }

    /// Goes to the part beside, above or below.
    pub(super) fn step(&mut self, step: Step) {
        let way = self.resolve(&self.selected);
        let lowest = self.resolve(&self.zoom).len();
        let root = self.tree.root();
        let to = match step {
            Step::Out if way.len() > lowest.max(1) => way.get(way.len() - 2).copied(),
            Step::In => self.branches(way.last().copied().unwrap_or(root)).first().copied(),
            Step::Left | Step::Right if way.len() > lowest => {
                let siblings = self.branches(way.iter().rev().nth(1).copied().unwrap_or(root));
                let at = siblings.iter().position(|node| Some(node) == way.last());
                at.and_then(|at| siblings.get(if step == Step::Left { at.saturating_sub(1) } else { at + 1 })).copied()
            }
            Step::Out | Step::Left | Step::Right => None,
        };
        if let Some(node) = to {
            self.select(node);
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
        let mut table = Table::new(super::super::heading::Order::Column(0), SiteNamer::default());
        table.read(&reading);
        let mut flame = Flame::default();
        flame.make(&mut table, &reading);
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
        assert_eq!(flame.zoomed().map(|node| flame.value(node)), Some(30));
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
            let flame = flame(&stacks);
            let mut cells = flame.cells(columns, 10);
            cells.sort_by_key(|cell| (cell.line, cell.start));
            for pair in cells.windows(2) {
                prop_assert!(pair[0].line != pair[1].line || pair[0].start + pair[0].width <= pair[1].start);
            }
            for cell in cells.iter().filter(|cell| cell.line > 0) {
                let caller = flame.tree.parent(cell.node);
                let above = cells.iter().find(|other| Some(other.node) == caller).expect("a caller");
                prop_assert!(above.line + 1 == cell.line);
                prop_assert!(above.start <= cell.start && cell.start + cell.width <= above.start + above.width);
            }
        }
    }
}
