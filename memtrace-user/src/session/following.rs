//! What a process maps while it is traced: the stack walker is told, and tables that it lacks are built.

use super::{Session, unwinding};
use crate::tracer::FileTable;

impl Session {
    pub(super) fn take_mappings(&mut self) {
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
        self.take_mapping_events();
        let found_new = self.follow_mappings();
        self.tracer.take_copies();
        self.probe_new_allocators();
        if let Some(copies) = &mut self.copies {
            copies.looked(found_new);
        }
    }

    /// Tells the stack walker what is mapped now, and has tables built that it lacks. Returns whether there was
    /// anything to tell.
    pub(super) fn follow_mappings(&mut self) -> bool {
        let Some(store) = self.tracer.unwind_store() else { return false };
        if !self.locator.take_changed() {
            return false;
        }
        let changed = self.slot != 0 && store.publish(self.slot, self.locator.code_mappings());
        let wanted = unwinding::unknown(store, self.locator.mapped_code().into_iter());
        if self.building.is_none() && !wanted.is_empty() {
            self.building = Some(tokio::task::spawn_blocking(move || unwinding::build(&wanted)));
        }
        changed || self.building.is_some()
    }

    pub(super) fn take_tables(&mut self, tables: Vec<FileTable>) {
        self.building = None;
        if let Some(store) = self.tracer.unwind_store()
            && let Err(error) = store.add(tables)
        {
            log::warn!("unwind tables: {error}");
        }
        self.locator.set_changed();
        self.follow_mappings();
    }
}
