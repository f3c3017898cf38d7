//! Probes in allocators that are met while a process is traced.

use super::{Session, locate::FoundAllocator};
use crate::profile::LossReason;

impl Session {
    /// Places probes in allocators that are mapped and not probed yet.
    pub(super) fn probe_new_allocators(&mut self) {
        self.follow_python();
        for file in self.locator.new_allocators() {
            if self.tracer.options().recorded.blocks() {
                self.probe_late(file);
            }
        }
        self.probe_allocators_of_members();
    }

    /// Places probes in an allocator that a running process has mapped: loaded by dlopen(3), or by a program that took the
    /// place of a shell. What was called in it until then is not known, and that is said.
    pub(super) fn probe_late(&mut self, file: FoundAllocator) {
        let placed = self.tracer.place_probes(&file.probes, self.info.pid);
        // Of one that has ended by now, too.
        if !file.probes.probes.is_empty() && !matches!(placed, Ok(false)) {
            self.tracer.count_loss(LossReason::LateProbes);
        }
        match placed {
            Ok(true) => {
                self.notes.extend(file.remarks(self.tracer.returns()));
                self.info.allocators.push(file.name);
            }
            Ok(false) => {}
            Err(error) => log::warn!("{}: {error}", file.name),
        }
    }
}
