//! A closer look at live blocks than their call sites' counters give, off the event loop: there may be millions.

use std::io;

use super::Session;
use crate::{
    profile::{BlockQuery, BlockSummary},
    tracer::{MappedRange, Ticks},
};

impl Session {
    /// The anonymous memory of the process as it is known, by address. Empty where mappings are not recorded.
    #[must_use]
    pub fn mapped_ranges(&self) -> Vec<MappedRange> {
        self.tracer.mapped_ranges(self.host_tgid)
    }

    /// The work of looking through the live blocks; takes up to seconds with many millions of them. Ages are told to 10 ms;
    /// time asleep does not count.
    ///
    /// # Errors
    /// When descriptors are short.
    pub fn look_at_blocks(&self, query: BlockQuery) -> io::Result<impl FnOnce() -> BlockSummary + Send + use<>> {
        let blocks = self.tracer.live_blocks()?;
        let (slot, now) = (self.slot, self.tracer.elapsed());
        Ok(move || {
            let Some(ticks) = Ticks::now() else { return BlockSummary::default() };
            let all = blocks.of_slot(slot).map(|block| (block.site, block.size, ticks.since(block.ticks)));
            BlockSummary::of(&query, now, all)
        })
    }
}
