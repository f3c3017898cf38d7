//! All call stacks of a snapshot, or of two, as one tree.

use std::ops::Range;

use super::{
    Export, caption,
    frames::{ExportFrame, FrameId, FrameTable, Namer, Naming},
    groups::{self, Group},
};
use crate::profile::{AllocStats, Lack, ProcessIndex, SiteNamer, SiteReader, Snapshot, StackEnd, StackSample};

/// What stands for the frames of a stack that has none.
pub(super) const NO_STACK: &str = "[no stack]";

/// Nodes in depth-first order, siblings by name. Node 0 is the root, which is no frame.
#[derive(Debug)]
pub(super) struct StackTree {
    pub(super) frames: Vec<ExportFrame>,
    pub(super) nodes: Vec<Node>,
    /// The stacks with their counters, in the order of their nodes, a node once.
    pub(super) stacks: Vec<Stack>,
}

/// A frame as it is called by the frames that enclose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// The frame; nothing for the root.
    pub(super) frame: FrameId,
    /// The node of the calling frame, always a smaller one; 0 for the root itself.
    pub(super) parent: u32,
    /// Number of nodes from this one on that are it or below it.
    pub(super) size: u32,
}

/// Allocations of one stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stack {
    /// The innermost frame.
    pub(super) node: u32,
    /// The frame that names its call site.
    pub(super) site: FrameId,
    /// Its counters in the base snapshot; zero without one.
    pub(super) before: AllocStats,
    /// Its counters in the snapshot.
    pub(super) stats: AllocStats,
}

impl StackTree {
    /// The tree of a snapshot, compared with its base if there is one. `places` is that of [`Naming`].
    ///
    /// Several processes and domains have a root frame each, threads when they are told apart, and so have stacks that
    /// were not followed to their end.
    pub(super) fn new(export: &Export<'_>, places: bool) -> Self {
        let naming = Naming { lines: export.lines, places };
        let mut builder = Builder::default();
        let mut roots = Roots::of(export.snapshot, export.per_thread);
        if let Some(base) = export.base {
            roots = roots.compared(Roots::of(base, false));
            builder.add(base, naming, roots, |stack, stats| stack.before += stats);
        }
        builder.add(export.snapshot, naming, roots, |stack, stats| stack.stats += stats);
        builder.finish()
    }

    /// The frames of a node, outermost first.
    pub(super) fn path(&self, node: u32) -> Vec<FrameId> {
        let mut path = Vec::new();
        let mut at = node;
        while at != 0 {
            let node = self.nodes[at as usize];
            path.push(node.frame);
            at = node.parent;
        }
        path.reverse();
        path
    }

    /// What each node holds with all nodes below it.
    pub(super) fn totals(&self, value: impl Fn(&Stack) -> u64) -> Vec<u64> {
        let mut totals = vec![0_u64; self.nodes.len()];
        for stack in &self.stacks {
            totals[stack.node as usize] = value(stack);
        }
        for index in (1..totals.len()).rev() {
            let parent = self.nodes[index].parent as usize;
            totals[parent] = totals[parent].saturating_add(totals[index]);
        }
        totals
    }
}

/// Which root frames there are.
#[derive(Debug, Clone, Copy)]
struct Roots {
    /// What a process is called, where there are several.
    process: Option<fn(&Snapshot, ProcessIndex) -> String>,
    domains: bool,
    threads: bool,
    ends: bool,
}

impl Roots {
    fn of(snapshot: &Snapshot, threads: bool) -> Self {
        let differ = |of: fn(&StackSample) -> u64| {
            let mut keys = snapshot.samples.iter().map(of);
            let first = keys.next();
            keys.any(|key| Some(key) != first)
        };
        Self {
            process: differ(|sample| sample.process.0.into()).then_some(caption::process),
            domains: differ(|sample| sample.domain.layer() as u64),
            threads,
            ends: !snapshot.about.lacks.contains(&Lack::StackEnds),
        }
    }

    /// For a comparison: processes and threads have other ids after a restart, so they are matched by command, or not
    /// told apart.
    fn compared(self, base: Self) -> Self {
        Self {
            process: self.process.or(base.process).and(Some(caption::command)),
            domains: self.domains || base.domains,
            threads: false,
            ends: self.ends && base.ends,
        }
    }
}

/// A tree in the making: paths of frames, all in one list.
#[derive(Debug, Default)]
struct Builder {
    table: FrameTable,
    frames: Vec<FrameId>,
    paths: Vec<Path>,
}

/// A stack and its frames, outermost first.
#[derive(Debug)]
struct Path {
    frames: Range<usize>,
    stack: Stack,
}

impl Builder {
    fn add(&mut self, snapshot: &Snapshot, naming: Naming, roots: Roots, add: impl Fn(&mut Stack, AllocStats)) {
        let mut namer = Namer::new(snapshot, naming);
        let site_namer = SiteNamer::default();
        let reader = site_namer.reader(&snapshot.symbols, &snapshot.modules);
        let mut sites = Sites { snapshot, reader, site_namer: &site_namer };
        for group in groups::groups(snapshot, roots.threads) {
            if group.stats == AllocStats::default() {
                continue;
            }
            let start = self.frames.len();
            self.push_roots(snapshot, &group, roots);
            for location in group.key.stack.iter().rev() {
                self.frames.extend_from_slice(&namer.location(*location, &mut self.table));
            }
            let site = sites.frame(&group, &namer, &mut self.table);
            let mut stack = Stack { node: 0, site, before: AllocStats::default(), stats: AllocStats::default() };
            add(&mut stack, group.stats);
            self.paths.push(Path { frames: start..self.frames.len(), stack });
        }
    }

    /// The frames that a group's own ones hang below.
    fn push_roots(&mut self, snapshot: &Snapshot, group: &Group<'_>, roots: Roots) {
        let key = group.key;
        let mut push = |name: &str| self.frames.push(self.table.add_named(name));
        if let Some(name) = roots.process {
            push(&name(snapshot, key.process));
        }
        if roots.domains {
            push(&format!("[{}]", key.domain.layer().name()));
        }
        if let Some(thread) = key.thread {
            push(&caption::thread(snapshot, thread));
        }
        if key.stack.is_empty() {
            push(NO_STACK);
        } else if roots.ends && key.end != StackEnd::Whole {
            push(caption::end(key.end));
        }
    }

    /// Sorts the paths by the names of their frames: then they are the tree, depth first.
    fn finish(mut self) -> StackTree {
        let frames = self.table.into_frames();
        let order = order(&frames);
        let mut ranks = vec![0; frames.len()];
        for (rank, id) in (0..).zip(&order) {
            ranks[*id as usize] = rank;
        }
        for frame in &mut self.frames {
            *frame = ranks[*frame as usize];
        }
        let ranked = &self.frames;
        self.paths.sort_by(|a, b| ranked[a.frames.clone()].cmp(&ranked[b.frames.clone()]));
        let mut growth = Growth::new();
        for path in self.paths {
            growth.add(&ranked[path.frames], path.stack, &order);
        }
        growth.leave(0);
        StackTree { frames, nodes: growth.nodes, stacks: growth.stacks }
    }
}

/// The frames by name.
fn order(frames: &[ExportFrame]) -> Vec<FrameId> {
    let mut order: Vec<FrameId> = (0..).take(frames.len()).collect();
    order.sort_unstable_by_key(|id| &frames[*id as usize]);
    order
}

/// Nodes and stacks, while paths are added in their order.
#[derive(Debug)]
struct Growth {
    nodes: Vec<Node>,
    stacks: Vec<Stack>,
    /// Rank and node of each frame of the last path.
    open: Vec<(u32, u32)>,
}

impl Growth {
    fn new() -> Self {
        Self { nodes: vec![Node { frame: 0, parent: 0, size: 1 }], stacks: Vec::new(), open: Vec::new() }
    }

    fn add(&mut self, ranks: &[u32], stack: Stack, order: &[FrameId]) {
        let shared = self.open.iter().zip(ranks).take_while(|((open, _), rank)| open == *rank).count();
        self.leave(shared);
        for rank in &ranks[shared..] {
            let node = u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes fit in memory");
            self.nodes.push(Node { frame: order[*rank as usize], parent: self.innermost(), size: 1 });
            self.open.push((*rank, node));
        }
        let node = self.innermost();
        match self.stacks.last_mut().filter(|last| last.node == node) {
            Some(last) => {
                last.before += stack.before;
                last.stats += stack.stats;
            }
            None => self.stacks.push(Stack { node, ..stack }),
        }
    }

    /// Ends the nodes of the last path below a depth, which knows their sizes.
    fn leave(&mut self, depth: usize) {
        for (_, node) in self.open.drain(depth..).rev() {
            let Node { parent, size, .. } = self.nodes[node as usize];
            self.nodes[parent as usize].size += size;
        }
    }

    fn innermost(&self) -> u32 {
        self.open.last().map_or(0, |(_, node)| *node)
    }
}

/// Finds the frames that name call sites.
struct Sites<'a> {
    snapshot: &'a Snapshot,
    site_namer: &'a SiteNamer,
    reader: SiteReader<'a>,
}

impl Sites<'_> {
    fn frame(&mut self, group: &Group<'_>, namer: &Namer<'_>, table: &mut FrameTable) -> FrameId {
        let Some(index) = self.reader.site(group.key.stack) else { return table.add_named(NO_STACK) };
        let location = group.key.stack[index];
        let frame = self.site_namer.frame(location, &self.snapshot.symbols);
        table.add(frame.map_or_else(|| namer.bare(location), |frame| namer.frame(location, frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{ThreadIndex, TracedProcess, TracedThread, fixture::Scene};

    /// The tree as indented text, a node a line with what lies below it.
    fn drawn(tree: &StackTree) -> Vec<String> {
        let totals = tree.totals(|stack| stack.stats.live_bytes());
        let line = |node: usize| {
            let path = tree.path(u32::try_from(node).unwrap());
            let name = &tree.frames[tree.nodes[node].frame as usize].name;
            format!("{}{name} {}", " ".repeat(path.len() - 1), totals[node])
        };
        (1..tree.nodes.len()).map(line).collect()
    }

    /// Stacks share the nodes of their common callers; siblings stand by name, and each node sums up what is below.
    #[test]
    fn stacks_share_their_callers() {
        let mut scene = Scene::default();
        scene.sample(&["b@app", "main@app"], 1, 10, 0);
        scene.sample(&["c@app", "a@app", "main@app"], 1, 5, 0);
        scene.sample(&["a@app", "main@app"], 1, 3, 0);
        scene.sample(&["b@app", "main@app"], 1, 1, 0);
        let tree = StackTree::new(&Export::of(&scene.snapshot()), false);
        assert_eq!(drawn(&tree), ["main 19", " a 8", "  c 5", " b 11"]);
        assert_eq!(tree.nodes.iter().map(|node| node.size).collect::<Vec<_>>(), [5, 4, 2, 1, 1]);
        assert_eq!(tree.stacks.iter().map(|stack| stack.node).collect::<Vec<_>>(), [2, 3, 4]);
    }

    /// Processes and threads that are told apart have a root frame each, and so have stacks without an end.
    #[test]
    fn what_is_told_apart_has_a_root_frame() {
        let mut scene = Scene::default();
        scene.sample(&["main@app"], 1, 1, 0).thread = Some(ThreadIndex(0));
        scene.sample(&["main@app"], 1, 2, 0).process = ProcessIndex(1);
        scene.sample(&["f@app"], 1, 4, 0).end = StackEnd::Truncated;
        scene.sample(&[], 1, 8, 0);
        let mut snapshot = scene.snapshot();
        snapshot.processes[0].info.pid = 7;
        snapshot.processes[0].info.command = "app x".into();
        snapshot.processes.push(TracedProcess::default());
        snapshot.threads.push(TracedThread { tid: 9, name: "worker".into() });
        let tree = StackTree::new(&Export { per_thread: true, ..Export::of(&snapshot) }, false);
        let expected = [
            "7 app x 13",
            " [cut at the frame limit] 4",
            "  f 4",
            " [no stack] 8",
            " worker (9) 1",
            "  main 1",
            "[unknown process] 2",
            " main 2",
        ];
        assert_eq!(drawn(&tree), expected);
    }

    /// Two snapshots are matched by names: neither process ids nor threads nor offsets of the code matter.
    #[test]
    fn comparison_matches_by_name() {
        let snapshot = |pid, padding, bytes| {
            let mut scene = Scene::default();
            scene.location(padding);
            scene.sample(&["f@app", "main@app"], 1, bytes, 0).thread = Some(ThreadIndex(0));
            scene.process.pid = pid;
            scene.snapshot()
        };
        let (before, after) = (snapshot(1, "main@app", 5), snapshot(2, "f@app", 7));
        let tree = StackTree::new(&Export { base: Some(&before), per_thread: true, ..Export::of(&after) }, false);
        assert_eq!(drawn(&tree), ["main 7", " f 7"]);
        assert_eq!(tree.stacks.iter().map(|stack| stack.before.live_bytes()).collect::<Vec<_>>(), [5]);
    }
}
