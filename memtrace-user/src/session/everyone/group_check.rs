//! Processes that are selected by control group: the BPF programs know a group only after user space has looked at it.

use super::Everyone;
use crate::process::Identity;

impl Everyone {
    /// A process that has executed a program may be of a group that has not been looked at. Returns whether it is meant.
    pub(super) fn check_group(&mut self, pid: u32, slot: u32) -> bool {
        if !self.selection.asks_for_groups() {
            return true;
        }
        // One that is gone is counted nowhere: whose it was cannot be told.
        let identity = Identity::of_pid(pid);
        let is_meant = identity.as_ref().is_some_and(|identity| self.selection.has_groups(identity));
        if let Some(group) = identity.and_then(|identity| identity.groups.id()) {
            self.tracer.remember_group(group, is_meant);
        }
        if !is_meant {
            self.close(slot);
        }
        is_meant
    }
}
