//! All call stacks of a snapshot, or of two, as one tree.

use std::collections::HashMap;

use super::{
    caption,
    frames::{ExportFrame, FrameId, FrameTable, Namer, Naming},
    groups::{self, Group},
};
use crate::profile::{AllocStats, Lack, SiteNamer, SiteReader, Snapshot, StackEnd, StackSample};

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
    /// The tree of a snapshot, compared with `base` if there is one.
    ///
    /// Several processes, domains or threads have a root frame each, and so have stacks that were not followed to
    /// their end.
    pub(super) fn new(snapshot: &Snapshot, base: Option<&Snapshot>, naming: Naming) -> Self {
        let mut builder = Builder::default();
        let mut roots = Roots::of(snapshot);
        if let Some(base) = base {
            roots = roots.compared(Roots::of(base));
            builder.add(base, naming, roots, |stack, stats| stack.before += stats);
        }
        builder.add(snapshot, naming, roots, |stack, stats| stack.stats += stats);
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
    processes: bool,
    domains: bool,
    threads: bool,
    ends: bool,
    /// Process ids are part of the name.
    pids: bool,
}

impl Roots {
    fn of(snapshot: &Snapshot) -> Self {
        let differ = |of: fn(&StackSample) -> u64| {
            let mut keys = snapshot.samples.iter().map(of);
            let first = keys.next();
            keys.any(|key| Some(key) != first)
        };
        Self {
            processes: differ(|sample| u64::from(sample.process.0)),
            domains: differ(|sample| sample.domain as u64),
            threads: true,
            ends: !snapshot.about.lacks.contains(&Lack::StackEnds),
            pids: true,
        }
    }

    /// For a comparison: processes and threads have other ids after a restart, so they are matched by command, or not
    /// told apart.
    fn compared(self, base: Self) -> Self {
        Self {
            processes: self.processes || base.processes,
            domains: self.domains || base.domains,
            threads: false,
            ends: self.ends && base.ends,
            pids: false,
        }
    }
}

/// A tree in the making: nodes in the order in which they are met.
#[derive(Debug, Default)]
struct Builder {
    table: FrameTable,
    /// Frame and parent; node 0 is the root.
    nodes: Vec<(FrameId, u32)>,
    children: HashMap<(u32, FrameId), u32>,
    stacks: Vec<Stack>,
    stack_of: HashMap<u32, usize>,
}

impl Builder {
    fn add(&mut self, snapshot: &Snapshot, naming: Naming, roots: Roots, add: impl Fn(&mut Stack, AllocStats)) {
        if self.nodes.is_empty() {
            self.nodes.push((0, 0));
        }
        let mut namer = Namer::new(snapshot, naming);
        let site_namer = SiteNamer::default();
        let mut sites = Sites {
            snapshot,
            reader: site_namer.reader(&snapshot.symbols, &snapshot.modules),
            site_namer: &site_namer,
        };
        for group in groups::groups(snapshot, roots.threads) {
            if group.stats == AllocStats::default() {
                continue;
            }
            let mut node = self.root(snapshot, &group, roots);
            if group.key.stack.is_empty() {
                let frame = self.table.add_named(NO_STACK);
                node = self.child(node, frame);
            }
            for location in group.key.stack.iter().rev() {
                for frame in &*namer.location(*location, &mut self.table) {
                    node = self.child(node, *frame);
                }
            }
            let index = *self.stack_of.entry(node).or_insert(self.stacks.len());
            if index == self.stacks.len() {
                let site = sites.frame(&group, &namer, &mut self.table);
                self.stacks.push(Stack { node, site, before: AllocStats::default(), stats: AllocStats::default() });
            }
            add(&mut self.stacks[index], group.stats);
        }
    }

    /// The node that a group's own frames hang below.
    fn root(&mut self, snapshot: &Snapshot, group: &Group<'_>, roots: Roots) -> u32 {
        let key = group.key;
        let mut node = 0;
        if roots.processes {
            let name = if roots.pids { caption::process } else { caption::command };
            let frame = self.table.add_named(&name(snapshot, key.process));
            node = self.child(node, frame);
        }
        if roots.domains {
            let frame = self.table.add_named(&format!("[{}]", key.domain.name()));
            node = self.child(node, frame);
        }
        if let Some(thread) = key.thread {
            let frame = self.table.add_named(&caption::thread(snapshot, thread));
            node = self.child(node, frame);
        }
        if roots.ends && !key.stack.is_empty() && key.end != StackEnd::Whole {
            let frame = self.table.add_named(caption::end(key.end));
            node = self.child(node, frame);
        }
        node
    }

    fn child(&mut self, parent: u32, frame: FrameId) -> u32 {
        let nodes = &mut self.nodes;
        *self.children.entry((parent, frame)).or_insert_with(|| {
            nodes.push((frame, parent));
            u32::try_from(nodes.len() - 1).expect("fewer than 2^32 nodes fit in memory")
        })
    }

    /// Puts nodes and stacks in their order.
    fn finish(self) -> StackTree {
        let Self { table, nodes, children, mut stacks, .. } = self;
        drop(children);
        let frames = table.into_frames();
        let order = depth_first(&nodes, &ranks(&frames));
        let mut new_index = vec![0_u32; nodes.len()];
        for (new, old) in (0..).zip(&order) {
            new_index[*old as usize] = new;
        }
        let renumbered = |old: &u32| {
            let (frame, parent) = nodes[*old as usize];
            Node { frame, parent: new_index[parent as usize], size: 1 }
        };
        let mut ordered: Vec<Node> = order.iter().map(renumbered).collect();
        for index in (1..ordered.len()).rev() {
            let Node { parent, size, .. } = ordered[index];
            ordered[parent as usize].size += size;
        }
        for stack in &mut stacks {
            stack.node = new_index[stack.node as usize];
        }
        stacks.sort_unstable_by_key(|stack| stack.node);
        StackTree { frames, nodes: ordered, stacks }
    }
}

/// The place of each frame among all frames by name.
fn ranks(frames: &[ExportFrame]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..).take(frames.len()).collect();
    order.sort_unstable_by_key(|id| &frames[*id as usize]);
    let mut ranks = vec![0; frames.len()];
    for (rank, id) in (0..).zip(order) {
        ranks[id as usize] = rank;
    }
    ranks
}

/// The nodes, parents before children, children by the rank of their frames.
fn depth_first(nodes: &[(FrameId, u32)], ranks: &[u32]) -> Vec<u32> {
    // Sorted by parent, the children of a node lie together. The root, node 0, is no child.
    let mut by_parent: Vec<u32> = (1..).take(nodes.len().saturating_sub(1)).collect();
    by_parent.sort_unstable_by_key(|node| {
        let (frame, parent) = nodes[*node as usize];
        (parent, std::cmp::Reverse(ranks[frame as usize]))
    });
    let parent_of = |node: u32| nodes[node as usize].1;
    let mut order = Vec::with_capacity(nodes.len());
    let mut waiting: Vec<u32> = (0..).take(nodes.len().min(1)).collect();
    while let Some(node) = waiting.pop() {
        order.push(node);
        let first = by_parent.partition_point(|child| parent_of(*child) < node);
        // The last to be pushed is the first to be visited, so the order of ranks is reversed above.
        waiting.extend(by_parent[first..].iter().take_while(|child| parent_of(**child) == node));
    }
    order
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
    use crate::profile::{ProcessIndex, ThreadIndex, TracedProcess, TracedThread, fixture::Scene};

    const NAMES: Naming = Naming { lines: false, places: false };

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
        let tree = StackTree::new(&scene.snapshot(), None, NAMES);
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
        let tree = StackTree::new(&snapshot, None, NAMES);
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
        let tree = StackTree::new(&after, Some(&before), NAMES);
        assert_eq!(drawn(&tree), ["main 7", " f 7"]);
        assert_eq!(tree.stacks.iter().map(|stack| stack.before.live_bytes()).collect::<Vec<_>>(), [5]);
    }
}
