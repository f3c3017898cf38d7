//! Forgetting what was recorded, and beginning a new peak, while programs run.
//!
//! To forget, user space names another slot for the process (see `memtrace_common::process::Era`): a program that
//! starts from then on knows nothing of the old slot's blocks, and counts in the new one, which is empty. Programs that
//! are under way still end in the old slot. Once they have, nobody uses it any more; it is emptied, and serves the next
//! time.

use std::{
    io,
    mem::offset_of,
    sync::{PoisonError, atomic::Ordering},
};

use memtrace_common::{
    process::{Era, ProcessRecord, current},
    site::SiteRecord,
};

use super::{
    Tracer,
    live_blocks::LiveBlocks,
    read::{Maps, parts_of},
};

/// Counters of a process, which are zero in an empty slot.
const PROCESS_COUNTERS: [usize; 7] = [
    offset_of!(ProcessRecord, current),
    offset_of!(ProcessRecord, peaks),
    offset_of!(ProcessRecord, peaks) + 8,
    offset_of!(ProcessRecord, failed_calls),
    offset_of!(ProcessRecord, unknown_frees),
    offset_of!(ProcessRecord, ended_nanos),
    offset_of!(ProcessRecord, copies),
];

/// The same of a site.
pub(super) const SITE_COUNTERS: [usize; 7] = [
    offset_of!(SiteRecord, allocated_blocks),
    offset_of!(SiteRecord, allocated_bytes),
    offset_of!(SiteRecord, short_lived),
    offset_of!(SiteRecord, freed_blocks),
    offset_of!(SiteRecord, freed_bytes),
    offset_of!(SiteRecord, allocated_variance),
    offset_of!(SiteRecord, freed_variance),
];

impl Maps {
    /// Sets a process's counters to zero, which no program counts in any more.
    pub(super) fn empty_process(&self, slot: u32) {
        for offset in PROCESS_COUNTERS {
            self.processes.store(slot, offset, 0);
        }
        let hits = parts_of(slot).flat_map(|part| self.hits.words(part));
        hits.for_each(|word| word.store(0, Ordering::Release));
    }
}

impl Tracer {
    /// From now on, the calls of the process that has begun in slot `home` are counted in `slot`, which is empty. Losses
    /// so far are told no more.
    pub fn begin_era(&mut self, home: u32, slot: u32) {
        // Before the change, so that none is passed over.
        self.reader.forget_losses();
        let processes = &self.reader.maps().processes;
        let word = offset_of!(ProcessRecord, era);
        let before = Era(processes.load(home, word));
        let next = before.next(slot);
        processes.store(home, word, next.0);
        if let Some(mappings) = &self.mappings {
            mappings.ledger().begin_era(before.slot(), slot);
        }
        self.started = std::time::Instant::now();
    }

    /// Begins a new peak, of what is live at this instant. Between two of them programs must have been waited for, see
    /// [`Self::settle_work`].
    pub fn begin_peak(&mut self, slot: u32) {
        let words = self.reader.maps().processes.words(slot);
        let peak = |number: usize| &words[offset_of!(ProcessRecord, peaks) / 8 + number];
        let now = &words[offset_of!(ProcessRecord, current) / 8];
        let next = current::peak(now.load(Ordering::Acquire).wrapping_add(current::NEXT_PEAK));
        peak(next).store(0, Ordering::Release);
        let before = now.fetch_add(current::NEXT_PEAK, Ordering::AcqRel);
        peak(next).fetch_max(current::bytes(before), Ordering::AcqRel);
    }

    /// What makes sure that no program is under way any more that has started before; then it removes the blocks of `slot`, if
    /// one is named. Blocks: run it off the event loop.
    pub fn settle_work(&self, slot: Option<u32>) -> impl FnOnce() -> io::Result<()> + Send + use<> {
        let blocks = self.live_blocks();
        move || {
            let blocks = blocks?;
            blocks.await_programs()?;
            if let Some(slot) = slot {
                let cleared = blocks.clear_slots(&[slot]);
                log::debug!("{cleared} live blocks of slot {slot} forgotten");
            }
            // The reader sees stacks in the order in which programs have taken room for them. The last program that
            // has written to the slot may still be waiting there behind one that has started since: see `empty_slot`.
            blocks.await_programs()
        }
    }

    /// Empties a slot after [`Self::settle_work`]: it can be used again.
    pub fn empty_slot(&mut self, slot: u32) {
        let sites: Vec<u32> = self.reader.sites_of(slot).collect();
        if let Some(mappings) = &self.mappings {
            mappings.ledger().empty_slot(slot);
        }
        let maps = self.reader.maps();
        for (site, offset) in sites.into_iter().flat_map(|site| SITE_COUNTERS.map(|offset| (site, offset))) {
            maps.sites.store(site, offset, 0);
        }
        maps.empty_process(slot);
    }

    /// All live blocks, to be looked through off the event loop.
    ///
    /// # Errors
    /// When descriptors are short.
    pub fn live_blocks(&self) -> io::Result<LiveBlocks> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).blocks()
    }
}
