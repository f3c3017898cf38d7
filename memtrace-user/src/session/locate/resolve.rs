//! Stacks become places in files, each once: later mappings do not change them.
//!
//! But for one case: counters are read after what is told of mappings, so that a stack may be in code that was mapped in
//! between. Where the mappings cannot be read either, as the process is gone already, the next look at the stack knows more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Locator, resolved::Resolved};
use crate::{
    profile::{ProcessIndex, RawProfile, RawStack, StackSample},
    session::threads::Threads,
};

/// Least time between two readings of `/proc/PID/maps` for addresses that are not known.
const REFRESH_INTERVAL: Duration = Duration::from_millis(200);

impl Locator {
    /// The samples of a raw profile.
    pub fn samples(&mut self, raw: &RawProfile, process: ProcessIndex, threads: &mut Threads) -> Vec<StackSample> {
        self.resolve(&raw.stacks);
        let known = raw.stacks.iter().filter_map(|stack| Some((stack, self.stacks.get(&stack.id)?)));
        known
            .map(|(stack, resolved)| StackSample {
                stack: Arc::clone(&resolved.frames),
                end: resolved.end,
                domain: resolved.domain,
                process,
                thread: stack.thread.as_ref().map(|thread| threads.index(thread)),
                stats: stack.stats,
            })
            .collect()
    }

    /// Finds the places of stacks in files. When a new one has an address that is not known, the mappings are read again;
    /// names of code compiled at run time where one has code of no file.
    fn resolve(&mut self, stacks: &[RawStack]) {
        let mut is_unnamed = false;
        let mut unknown = Vec::new();
        for stack in stacks {
            let known = self.stacks.get(&stack.id);
            let may_be_known_now = self.unsettled.contains_key(&stack.id);
            // It may have been followed by user space in the meantime.
            let same = known.filter(|resolved| Arc::ptr_eq(&resolved.addresses, &stack.addresses));
            if let Some(resolved) = same.filter(|_| !may_be_known_now) {
                is_unnamed |= resolved.lacks_name;
                continue;
            }
            let is_new = known.is_none();
            let resolved = self.resolved(stack);
            if may_be_known_now || is_new && resolved.lacks_mapping {
                unknown.push(stack.id);
            }
            is_unnamed |= resolved.lacks_name;
            self.stacks.insert(stack.id, resolved);
        }
        if unknown.iter().any(|id| self.lacks_mapping(*id)) && !self.has_just_refreshed() {
            self.refresh();
            self.resolve_again(stacks, |resolved| resolved.lacks_mapping);
        }
        self.settle(&unknown);
        if is_unnamed && self.space.update_names() {
            self.resolve_again(stacks, |resolved| resolved.lacks_name);
        }
    }

    /// Stacks whose mapping is not known are looked at once more, until the mappings have been read after they were seen first.
    fn settle(&mut self, stacks: &[u32]) {
        for id in stacks {
            let seen = self.unsettled.get(id);
            let was_read = seen.is_some_and(|seen| self.refreshed.is_some_and(|time| time > *seen));
            if was_read || !self.lacks_mapping(*id) {
                self.unsettled.remove(id);
            } else {
                self.unsettled.entry(*id).or_insert_with(Instant::now);
            }
        }
    }

    fn lacks_mapping(&self, stack: u32) -> bool {
        self.stacks.get(&stack).is_some_and(|resolved| resolved.lacks_mapping)
    }

    fn has_just_refreshed(&self) -> bool {
        self.refreshed.is_some_and(|time| time.elapsed() < REFRESH_INTERVAL)
    }

    fn resolve_again(&mut self, stacks: &[RawStack], wanted: impl Fn(&Resolved) -> bool) {
        for stack in stacks {
            if self.stacks.get(&stack.id).is_some_and(&wanted) {
                let resolved = self.resolved(stack);
                self.stacks.insert(stack.id, resolved);
            }
        }
    }

    fn resolved(&mut self, stack: &RawStack) -> Resolved {
        Resolved::of(&self.space, &self.allocator_libraries, &mut self.python, stack)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        process::{AddressSpace, MapEvent, MappedFiles, MappingEvent},
        session::locate::Wanted,
    };

    /// No process has it: process ids end at 2^22.
    const PID: u32 = 1 << 23;

    fn locator() -> Locator {
        Locator::new(AddressSpace::of_relative(MappedFiles::default(), PID), Wanted::default())
    }

    fn map(address: u64, name: &str) -> MappingEvent {
        let (length, file_offset, device, inode) = (0x1000, 0, 1, address);
        MappingEvent::Map(MapEvent { pid: PID, address, length, file_offset, device, inode, name: name.into() })
    }

    /// Where the locator finds a stack, by file.
    fn places(locator: &mut Locator, addresses: &Arc<[u64]>) -> Vec<String> {
        let raw = RawProfile {
            stacks: vec![RawStack { id: 1, addresses: Arc::clone(addresses), ..RawStack::default() }],
            ..RawProfile::default()
        };
        let samples = locator.samples(&raw, ProcessIndex(0), &mut Threads::default());
        let modules = locator.modules();
        samples[0].stack.iter().map(|location| modules.path(location.module).to_string()).collect()
    }

    /// A stack that is read before its code's mapping is told is whole when it is read again.
    #[test]
    fn mappings_may_be_told_after_a_stack_was_read() {
        let mut locator = locator();
        let addresses = Arc::from([0x20010, 0x10010]);
        locator.apply(&map(0x10000, "/program"));
        assert_eq!(places(&mut locator, &addresses), ["[unknown]"]);
        locator.apply(&map(0x20000, "/library.so"));
        assert_eq!(places(&mut locator, &addresses), ["/library.so", "/program"]);
    }

    /// What was known when a stack was seen stays, whatever is mapped there later.
    #[test]
    fn later_mappings_change_no_stack() {
        let mut locator = locator();
        let addresses = Arc::from([0x20010]);
        locator.apply(&map(0x20000, "/library.so"));
        for _ in 0..3 {
            assert_eq!(places(&mut locator, &addresses), ["/library.so"]);
            locator.apply(&map(0x20000, "/other.so"));
        }
    }
}
