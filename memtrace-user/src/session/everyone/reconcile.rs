//! Puts right what lost events have left wrong, and keeps what is known of files within bounds.

use std::{collections::HashSet, sync::Arc};

use super::Everyone;
use crate::{process::MappedFiles, profile::LossReason};

/// Files that are known, and held open, beyond which all is forgotten that nobody maps.
const MOST_FILES: usize = 1 << 14;

impl Everyone {
    /// With all processes that there are: what events have not told is made up for.
    pub(super) fn reconcile(&mut self, all: &HashSet<u32>) {
        self.refused.retain(|pid| all.contains(pid));
        let mappings_lost = self.mapping_events.events.take_lost();
        let events = self.tracer.losses().count(LossReason::EventDropped);
        let events_before = std::mem::replace(&mut self.lost_before, events);
        if mappings_lost != 0 {
            self.members.look_at_all();
        }
        if events != events_before {
            self.take_events();
            self.find_lost_slots();
        }
    }

    fn find_lost_slots(&mut self) {
        for (slot, pid) in self.tracer.used_slots().collect::<Vec<_>>() {
            if self.tracer.is_final(slot) {
                self.members.leave(slot);
                self.end_slot(slot);
            } else if pid != 0
                && !self.tracer.is_closed(slot)
                && !self.leaving.contains(&slot)
                && self.members.get_mut(slot).is_none()
            {
                log::debug!("process {pid}: its beginning was not told");
                self.members.add(pid, slot, Arc::default());
            }
        }
    }

    /// Begins the list of files anew when it has grown too long, as where programs are built all the time. Files that
    /// processes map are met again.
    pub(super) fn renumber_if_crowded(&mut self) -> bool {
        if self.files.count() < MOST_FILES {
            return false;
        }
        log::info!("{} files are known: what nobody maps is forgotten", self.files.count());
        self.files = MappedFiles::default();
        for member in self.members.all_mut() {
            member.locator = None;
        }
        self.probed.forget_met();
        self.naming.forget();
        self.members.look_at_all();
        if let Some(store) = self.tracer.unwind_store() {
            store.drop_kept();
        }
        true
    }
}
