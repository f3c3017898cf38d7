//! What a process maps while it is traced: the stack walker is told, and tables that it lacks are built.

use super::{Session, family::Family};
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
            self.take_happenings();
        } else {
            self.take_mapping_events();
        }
        let found_new = self.follow_mappings();
        if self.family.is_some() && self.tables.is_empty() {
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

    /// Tells the stack walker what is mapped now, and has tables built that it lacks. Returns whether there was
    /// anything to tell.
    pub(super) fn follow_mappings(&mut self) -> bool {
        let Some(store) = self.tracer.unwind_store() else { return false };
        let (mut looked_at, mut changed) = (false, false);
        let members = self.family.iter_mut().flat_map(Family::counting);
        let members = members.filter_map(|member| Some((member.slot, member.locator.as_mut()?)));
        for (slot, locator) in std::iter::once((self.slot, &mut self.locator)).chain(members) {
            if locator.take_changed() {
                looked_at = true;
                changed |= slot != 0 && store.publish(slot, locator.code_mappings());
                self.tables.ask(locator.unknown_code(|file| store.knows(file)));
            }
        }
        looked_at && (changed || !self.tables.is_empty())
    }

    pub(super) fn take_tables(&mut self, tables: Vec<FileTable>) {
        if let Some(store) = self.tracer.unwind_store()
            && let Err(error) = store.add(tables)
        {
            log::warn!("unwind tables: {error}");
        }
        self.locator.set_changed();
        if let Some(family) = &mut self.family {
            for locator in family.counting().filter_map(|member| member.locator.as_mut()) {
                locator.set_changed();
            }
        }
        self.follow_mappings();
        if self.tables.is_empty() {
            self.tracer.follow_copies();
        }
        self.fold_unused();
    }
}
