//! Slots of processes that are gone, until they can be used again: programs that still use them are waited for, their live
//! blocks are forgotten, and what they have counted is read.

use std::{future::pending, io, time::Duration};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::tracer::Tracer;

/// Least time from one look through the table of live blocks to the next.
const REST: Duration = Duration::from_millis(100);

/// The slots, by how far they are.
#[derive(Debug)]
pub(super) struct Retiring {
    /// Nothing has been done yet.
    waiting: Vec<u32>,
    work: Option<(JoinHandle<io::Result<()>>, Vec<u32>)>,
    not_before: Instant,
    /// Nobody uses them, and their blocks are forgotten.
    unused: Vec<u32>,
    ask_again: Instant,
}

impl Retiring {
    /// None.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { waiting: Vec::new(), work: None, not_before: now, unused: Vec::new(), ask_again: now }
    }

    /// A slot whose process is gone. That may be told twice, also while it is being seen to: given back twice, two processes
    /// would have it.
    pub(super) fn add(&mut self, slot: u32) {
        let at_work = self.work.iter().flat_map(|(_, slots)| slots);
        if slot != 0 && !self.waiting.iter().chain(at_work).chain(&self.unused).any(|known| *known == slot) {
            self.waiting.push(slot);
        }
    }

    /// Resolves when there is something to do; never without any slot. May be dropped at any await.
    pub(super) async fn next(&mut self) {
        match &mut self.work {
            Some((work, slots)) => {
                match work.await {
                    Ok(Ok(())) => self.unused.append(slots),
                    // They stay as they are: taken for ever, and what they hold is shown.
                    Ok(Err(error)) => log::warn!("{} slots are lost: {error}", slots.len()),
                    Err(error) => log::warn!("{} slots are lost: {error}", slots.len()),
                }
                self.work = None;
            }
            None if !self.unused.is_empty() => sleep_until(self.ask_again).await,
            None if self.waiting.is_empty() => pending().await,
            None => sleep_until(self.not_before).await,
        }
    }

    /// Slots that can be given back, if `may` says so; otherwise they are asked for again in a moment.
    pub(super) fn take_unused(&mut self, may: impl FnOnce(usize) -> bool) -> Vec<u32> {
        if self.unused.is_empty() || may(self.unused.len()) {
            return std::mem::take(&mut self.unused);
        }
        self.ask_again = Instant::now() + REST;
        Vec::new()
    }

    /// Begins with what waits.
    pub(super) fn begin(&mut self, tracer: &Tracer) {
        if self.work.is_none() && !self.waiting.is_empty() && Instant::now() >= self.not_before {
            let slots = std::mem::take(&mut self.waiting);
            let work = tokio::task::spawn_blocking(tracer.retire_work(slots.clone()));
            self.work = Some((work, slots));
            self.not_before = Instant::now() + REST;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot is given back once, however often and whenever it is said that its process is gone.
    #[tokio::test]
    async fn slots_are_given_back_once() {
        let mut retiring = Retiring::new();
        retiring.add(3);
        retiring.add(3);
        assert_eq!(retiring.waiting, [3]);
        let slots = std::mem::take(&mut retiring.waiting);
        retiring.work = Some((tokio::spawn(async { Ok(()) }), slots));
        retiring.add(3);
        retiring.next().await;
        retiring.add(3);
        assert!(retiring.waiting.is_empty());
        assert_eq!(retiring.take_unused(|_| true), [3]);
    }
}
