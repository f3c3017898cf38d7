//! Reading: counters, and the stacks that user space has to follow.

use std::time::Duration;

use memtrace_common::{copy::CopyHeader, site::end};

use super::{
    Choice, MappedRange, SAMPLING_STEP, Tracer,
    stack_copy::{Attempt, Machine},
};
use crate::{
    profile::{Hits, RawProfile, RawStack},
    readable::Readable,
};

impl Tracer {
    /// Reads the counters of a process slot.
    #[must_use]
    pub fn read(&mut self, slot: u32) -> RawProfile {
        self.follow_copies();
        let mut profile = self.reader.read(slot, self.started.elapsed());
        if let Some(mappings) = &self.mappings {
            let mut ledger = mappings.ledger();
            ledger.update();
            self.reader.add_mapped(slot, ledger.stats(slot), &mut profile);
            ledger.add_losses(&mut profile.losses);
        }
        profile
    }

    /// How often the probes of a slot's process have been hit: little work, at any time.
    #[must_use]
    pub fn hits(&self, slot: u32) -> Hits {
        self.reader.hits(slot)
    }

    /// CPU time of the threads of a slot's process that have ended.
    #[must_use]
    pub fn ended_cpu_time(&self, slot: u32) -> Duration {
        self.reader.ended_cpu_time(slot)
    }

    /// Mean bytes of the blocks that a slot's process has allocated; 0 when there are none.
    #[must_use]
    pub fn mean_block(&mut self, slot: u32) -> f64 {
        self.reader.mean_block(slot)
    }

    /// How blocks are chosen.
    #[must_use]
    pub const fn choice(&self) -> Choice {
        Choice::of(&self.options)
    }

    /// The step at which blocks are chosen, of [`Choice::Steps`].
    #[must_use]
    pub fn step(&self) -> u64 {
        self.reader.step()
    }

    /// Calls that begin from now on choose by this step. What is recorded already stands for what it stood for.
    pub fn set_step(&self, step: u64) {
        self.reader.maps().cursors.store(SAMPLING_STEP, 0, step);
    }

    /// Takes stacks out of the kernel's store before it is full.
    pub fn keep_room_for_stacks(&mut self) {
        self.reader.keep_room();
    }

    /// Time since tracing began, or since it was begun anew.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The anonymous memory of a process as it is known, by address. Empty where that is not recorded.
    #[must_use]
    pub fn mapped_ranges(&self, host_tgid: u32) -> Vec<MappedRange> {
        let Some(mappings) = &self.mappings else { return Vec::new() };
        let mut ledger = mappings.ledger();
        ledger.update();
        ledger.ranges(host_tgid)
    }

    /// What becomes readable when a stack meets code that the walker does not know; `None` without unwind tables. Needs a
    /// tokio runtime.
    #[must_use]
    pub fn unknown_code(&self) -> Option<Readable> {
        self.unwind.as_ref()?;
        Readable::of(self.stack_copies.as_ref()?).ok()
    }

    /// Takes copies of stacks out of the ring buffer, to be followed at the next reading.
    pub fn take_copies(&mut self) {
        let Some(copies) = &mut self.stack_copies else { return };
        while let Some(record) = copies.next() {
            self.pieces.add(&record);
        }
    }

    /// Follows the stacks that the BPF programs could not, by the mappings that are known now.
    pub fn follow_copies(&mut self) {
        self.take_copies();
        let Some(store) = &self.unwind else { return };
        let (limit, reader) = (self.options.max_frames as usize, &mut self.reader);
        self.pieces.follow(|copy| {
            let CopyHeader { slot, site, .. } = copy.header;
            let (addresses, end) = copy.follow(Machine::HERE, limit, |address| store.rule_at(slot, address));
            log::trace!("site {site}: {} frames followed here, end {end}", addresses.len());
            reader.replace_stack(site, (addresses, end));
            match end {
                end::NO_MAPPING if store.lacks_tables(slot) => Attempt::Waits,
                end::NO_MAPPING => Attempt::Again,
                _ => Attempt::Done,
            }
        });
    }

    /// The stack of a site that a slot has counted under, without its counters.
    pub fn stack_of(&mut self, slot: u32, site: u32) -> RawStack {
        self.follow_copies();
        self.reader.stack_of(slot, site)
    }
}
