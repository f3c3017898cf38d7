//! Processes that are traced no more though they run, as they are not meant any more: each keeps its slot to its end, and is
//! traced anew when it is meant again.

use std::{collections::HashMap, sync::Arc};

use super::Everyone;

/// Slots of such processes, by how far they are.
#[derive(Debug, Default)]
pub(super) struct Closed(HashMap<u32, Stage>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Programs that still use it are waited for, and its blocks are forgotten.
    Settling,
    /// Nothing is in it.
    Empty,
}

impl Closed {
    /// Whether programs that use a slot are being waited for.
    pub(super) fn is_settling(&self, slot: u32) -> bool {
        self.0.get(&slot) == Some(&Stage::Settling)
    }

    /// The process that had a slot has ended. Returns whether the slot may be given back now: one that is settling may be when it
    /// has settled.
    pub(super) fn ended(&mut self, slot: u32) -> bool {
        if self.is_settling(slot) {
            return false;
        }
        self.0.remove(&slot);
        true
    }
}

impl Everyone {
    /// A process is traced no more. Its slot is given back when it ends.
    pub(super) fn close(&mut self, slot: u32) {
        self.tracer.close_slot(slot);
        self.closed.0.insert(slot, Stage::Settling);
        self.retiring.add(slot);
        if let Some(member) = self.members.remove(slot) {
            log::debug!("process {} is traced no more", member.pid);
            self.add_ended(slot);
        }
    }

    /// Nobody counts in a closed slot any more, and its blocks are forgotten.
    pub(super) fn settle_closed(&mut self, slot: u32) {
        if self.leaving.contains(&slot) {
            self.closed.0.remove(&slot);
            self.retiring.add(slot);
        } else {
            self.tracer.empty_closed_slot(slot);
            self.closed.0.insert(slot, Stage::Empty);
        }
    }

    /// Traces a process again that was closed, if it has settled; else the next look finds it.
    pub(super) fn reopen(&mut self, pid: u32) {
        let Some(slot) = self.tracer.home_of(pid) else { return };
        if self.closed.0.get(&slot) == Some(&Stage::Empty) {
            self.closed.0.remove(&slot);
            self.tracer.reopen_slot(slot);
            self.members.add(pid, slot, Arc::default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slot of a process that ends while it settles is given back when it has; of any other at once.
    #[test]
    fn slots_settle_before_they_are_given_back() {
        let mut closed = Closed::default();
        closed.0.extend([(3, Stage::Settling), (4, Stage::Empty)]);
        assert_eq!([3, 4, 5].map(|slot| closed.ended(slot)), [false, true, true]);
        assert!(closed.is_settling(3) && !closed.0.contains_key(&4));
    }
}
