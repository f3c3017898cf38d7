//! Samples of one call stack put together.

use std::collections::HashMap;

use crate::profile::{AllocStats, Domain, Location, ProcessIndex, Snapshot, StackEnd, StackSample, ThreadIndex};

/// What tells groups apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    pub(super) process: ProcessIndex,
    pub(super) domain: Domain,
    pub(super) thread: Option<ThreadIndex>,
    pub(super) end: StackEnd,
    /// Innermost first.
    pub(super) stack: &'a [Location],
}

/// The sum over all samples of a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) key: Key<'a>,
    pub(super) stats: AllocStats,
}

/// The groups of a snapshot, each where its first sample stands.
pub(super) fn groups(snapshot: &Snapshot, by_thread: bool) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: HashMap<Key<'_>, usize> = HashMap::new();
    for sample in &snapshot.samples {
        let key = key(sample, by_thread);
        let index = *known.entry(key).or_insert(groups.len());
        match groups.get_mut(index) {
            Some(group) => group.stats += sample.stats,
            None => groups.push(Group { key, stats: sample.stats }),
        }
    }
    groups
}

fn key(sample: &StackSample, by_thread: bool) -> Key<'_> {
    let StackSample { stack, end, domain, process, thread, stats: _ } = sample;
    Key { process: *process, domain: *domain, thread: thread.filter(|_| by_thread), end: *end, stack }
}
