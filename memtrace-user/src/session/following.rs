//! What a process maps while it is traced: the stack walker is told, and tables that it lacks are built.

use super::{Session, family::Family, unwinding};
use crate::tracer::FileTable;

impl Session {
    pub(super) fn take_mappings(&mut self) {
        if self.family.is_some() {
            self.take_happenings();
            return;
        }
        self.take_mapping_events();
        self.follow_mappings();
    }

    pub(super) fn take_mapping_events(&mut self) {
        if let Some(events) = &mut self.mapping_events {
            for event in events.events.drain() {
                self.locator.apply(&event);
            }
        }
    }

    /// Stacks meet code that the walker does not know.
    pub(super) fn look_for_code(&mut self) {
        // First the mappings: until they are known, each call copies its stack.
        if self.slot != 0 {
            self.locator.refresh();
        }
        if self.family.is_some() {
            self.refresh_members();
            self.take_happenings();
        } else {
            self.take_mapping_events();
        }
        let found_new = self.follow_mappings();
        if self.family.is_some() && self.building.is_none() {
            // Readings may be far apart.
            self.tracer.follow_copies();
        } else {
            self.tracer.take_copies();
        }
        self.probe_new_allocators();
        if let Some(copies) = &mut self.copies {
            copies.looked(found_new);
        }
    }

    /// Without events of their mappings, members are looked at.
    fn refresh_members(&mut self) {
        let family = self.family.as_mut().filter(|_| self.mapping_events.is_none());
        for (_, member) in family.into_iter().flat_map(Family::members_mut).filter(|(_, member)| !member.info.exited) {
            if let Some(locator) = &mut member.locator {
                locator.refresh();
            }
        }
    }

    /// Tells the stack walker what is mapped now, and has tables built that it lacks. Returns whether there was
    /// anything to tell.
    pub(super) fn follow_mappings(&mut self) -> bool {
        let Some(store) = self.tracer.unwind_store() else { return false };
        let mut changed = false;
        let mut wanted = Vec::new();
        let members = self.family.iter_mut().flat_map(Family::members_mut);
        let members = members.filter_map(|(_, member)| Some((member.slot, member.locator.as_mut()?)));
        let mut looked_at = false;
        for (slot, locator) in std::iter::once((self.slot, &mut self.locator)).chain(members) {
            if locator.take_changed() {
                looked_at = true;
                changed |= slot != 0 && store.publish(slot, locator.code_mappings());
                wanted.extend(unwinding::unknown(store, locator.mapped_code().into_iter()));
            }
        }
        if self.building.is_none() && !wanted.is_empty() {
            self.building = Some(tokio::task::spawn_blocking(move || unwinding::build(&unwinding::once(wanted))));
        }
        looked_at && (changed || self.building.is_some())
    }

    pub(super) fn take_tables(&mut self, tables: Vec<FileTable>) {
        self.building = None;
        if let Some(store) = self.tracer.unwind_store()
            && let Err(error) = store.add(tables)
        {
            log::warn!("unwind tables: {error}");
        }
        self.locator.set_changed();
        for (_, member) in self.family.iter_mut().flat_map(Family::members_mut) {
            if let Some(locator) = &mut member.locator {
                locator.set_changed();
            }
        }
        self.follow_mappings();
        self.fold_unused();
    }
}
