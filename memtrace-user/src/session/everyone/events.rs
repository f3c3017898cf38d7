//! What the BPF programs and the kernel's perf events tell: processes begin, fork and end, and map code.

use std::sync::Arc;

use super::{Everyone, members::About};
use crate::{
    process::MappingEvent,
    tracer::{EventKind, TracerEvent},
};

impl Everyone {
    /// All events that have come.
    pub(super) fn take_events(&mut self) {
        while let Some(event) = self.events.take() {
            self.take_event(event);
        }
    }

    pub(super) fn take_event(&mut self, TracerEvent { kind, tgid, .. }: TracerEvent) {
        log::trace!("process {tgid}: {kind:?}");
        match kind {
            EventKind::Child { slot, parent } => self.members.add_forked(tgid, slot, parent),
            EventKind::Exec { slot, old, .. } => {
                // By its id: a child that shares its parent's memory shares the slot, too.
                self.members.leave_process(tgid);
                if slot != 0 && self.check_group(tgid, slot) {
                    let command = self.tracer.command_in(slot).unwrap_or_default();
                    self.members.add(tgid, slot, Arc::new(About { command: command.into(), ..About::default() }));
                }
                self.end_slot(old);
            }
            EventKind::Exit { slot } => {
                self.members.leave(slot);
                self.end_slot(slot);
            }
            EventKind::Fork => {}
        }
    }

    /// Gives a slot back in time, if nobody counts there any more.
    pub(super) fn end_slot(&mut self, slot: u32) {
        if slot != 0 && self.tracer.is_final(slot) && self.leaving.insert(slot) && self.closed.ended(slot) {
            self.retiring.add(slot);
        }
    }

    /// What has been counted in a slot is final.
    pub(super) fn add_ended(&mut self, slot: u32) {
        let totals = self.tracer.totals(slot);
        self.ended.count += 1;
        self.ended.stats += totals.stats;
        self.ended_totals.add(&totals);
    }

    /// Takes over what slots have counted that nobody uses any more, and gives them back.
    pub(super) fn fold_unused(&mut self) {
        let slots = self.retiring.take_unused(|_| self.tracer.knows_all_stacks());
        let (closed, slots): (Vec<_>, Vec<_>) = slots.into_iter().partition(|slot| self.closed.is_settling(*slot));
        for slot in closed {
            self.settle_closed(slot);
        }
        if slots.is_empty() {
            return;
        }
        for slot in &slots {
            self.leaving.remove(slot);
            // One that was closed has been counted.
            if self.members.remove(*slot).is_some() {
                self.add_ended(*slot);
            }
        }
        self.tracer.release_slots(&slots);
    }

    /// Code has been mapped. What exactly is read from `/proc`.
    pub(super) fn take_mappings(&mut self) {
        self.take_events();
        for event in self.mapping_events.events.drain() {
            if let MappingEvent::Map(map) = event {
                let is_met = map.inode == 0 || self.probed.met.contains(&(map.device, map.inode));
                self.members.mapped(map.pid, !is_met);
            }
        }
    }

    /// Follows the stacks that the BPF programs could not.
    pub(super) fn follow_copies(&mut self) {
        if self.tables.is_empty() {
            self.tracer.follow_copies();
        } else {
            self.tracer.take_copies();
        }
        if let Some(copies) = &mut self.copies {
            copies.looked(false);
        }
    }
}
