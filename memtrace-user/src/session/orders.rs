//! What can be asked of a session while it traces: to forget what it has recorded, to begin a new peak, to find a block.

use std::{collections::VecDeque, future::pending, io, time::Duration};

use memtrace_common::live::LiveEntry;
use thiserror::Error;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

use super::{Session, Unfinished, Update, family::Family};
use crate::{
    process::cpu_time,
    profile::{AllocStats, ProcessIndex, RawProfile},
    tracer::{Ticks, TracerError, start_of},
};

/// Why an order was not carried out.
#[derive(Debug, Error)]
pub enum OrderError {
    /// The command has not been executed yet.
    #[error("the command has not begun yet")]
    NotBegun,
    /// The tracer cannot.
    #[error(transparent)]
    Tracer(#[from] TracerError),
    /// The kernel refused.
    #[error("cannot look through the live blocks: {0}")]
    Io(#[from] io::Error),
    /// Tracing has ended.
    #[error("tracing has ended")]
    Ended,
}

/// A live block.
#[derive(Debug)]
pub struct FoundBlock {
    /// First address.
    pub address: u64,
    /// Bytes that the program asked for.
    pub size: u64,
    /// Time since it was allocated, to some 10 ms; `None` where the kernel does not tell. Time asleep does not count.
    pub age: Option<Duration>,
    /// A single sample: the stack that it was allocated through, its block and bytes.
    pub stack: Unfinished,
}

type Reply<T> = oneshot::Sender<Result<T, OrderError>>;

enum Order {
    Clear(Reply<()>),
    ResetPeak(Reply<()>),
}

/// A search that has ended, and the slot that was searched.
pub(super) struct Searched {
    slot: u32,
    found: io::Result<Option<LiveEntry>>,
    reply: Reply<Option<FoundBlock>>,
}

/// Something that orders have waited for.
pub(super) enum OrderEvent {
    /// No program is under way that knows nothing of the last order.
    Settled,
    /// A search has ended.
    Searched(Searched),
}

/// Waiting for programs that were under way at an order.
struct Settling {
    work: JoinHandle<io::Result<()>>,
    /// The slot that was left, and the one in which the process had begun.
    left: Option<(u32, u32)>,
}

/// Orders, and what they have under way.
#[derive(Default)]
pub(super) struct Orders {
    waiting: VecDeque<Order>,
    settling: Option<Settling>,
    settled: Option<io::Result<()>>,
    /// An empty slot, to be used by the next clear.
    spare: Option<u32>,
    searches: JoinSet<Searched>,
}

impl Orders {
    /// Waits for what is under way; never resolves without any. May be dropped at any await.
    pub(super) async fn next(&mut self) -> OrderEvent {
        let Self { settling, settled, searches, .. } = self;
        let settle = async {
            match settling {
                Some(settling) => (&mut settling.work).await.unwrap_or_else(|error| Err(io::Error::other(error))),
                None => pending().await,
            }
        };
        tokio::select! {
            result = settle => {
                *settled = Some(result);
                OrderEvent::Settled
            }
            Some(Ok(searched)) = searches.join_next() => OrderEvent::Searched(searched),
            else => pending().await,
        }
    }

    /// The process has another image: stacks of its slots are not to be taken for those of the new one.
    pub(super) const fn take_spare(&mut self) -> Option<u32> {
        self.spare.take()
    }
}

impl Session {
    /// Forgets what was recorded: from here on, only blocks that are allocated later count, and frees of earlier ones are
    /// frees of unknown blocks. Done by [`Self::next`], which tells it by [`Update::Cleared`].
    pub fn clear(&mut self) -> oneshot::Receiver<Result<(), OrderError>> {
        let (reply, answer) = oneshot::channel();
        self.orders.waiting.push_back(Order::Clear(reply));
        answer
    }

    /// Makes the peak that of what is live from here on. Done by [`Self::next`], which tells it by [`Update::PeakReset`].
    pub fn reset_peak(&mut self) -> oneshot::Receiver<Result<(), OrderError>> {
        let (reply, answer) = oneshot::channel();
        self.orders.waiting.push_back(Order::ResetPeak(reply));
        answer
    }

    /// Looks for the live block that holds an address, be it in its midst; `None` when there is none. Done while
    /// [`Self::next`] is waited for.
    pub fn find_block(&mut self, address: u64) -> oneshot::Receiver<Result<Option<FoundBlock>, OrderError>> {
        let (reply, answer) = oneshot::channel();
        let slot = self.slot;
        match self.tracer.live_blocks() {
            Ok(blocks) => {
                let search = move || Searched { slot, found: Ok(blocks.find(slot, address)), reply };
                self.orders.searches.spawn_blocking(search);
            }
            Err(error) => drop(reply.send(Err(error.into()))),
        }
        answer
    }

    /// Carries out the next order, once programs that were under way at the last one have ended.
    pub(super) fn obey(&mut self) -> Option<Update> {
        if self.orders.settling.is_some() {
            return None;
        }
        let (result, reply, update) = match self.orders.waiting.pop_front()? {
            Order::Clear(reply) => (self.begin_era(), reply, Update::Cleared),
            Order::ResetPeak(reply) => (self.begin_peak(), reply, Update::PeakReset),
        };
        let done = result.is_ok();
        // Whoever asked may have gone.
        let _gone = reply.send(result);
        if !done {
            return None;
        }
        self.unnamed = Some(self.read());
        Some(update)
    }

    fn begin_era(&mut self) -> Result<(), OrderError> {
        if self.slot == 0 {
            return Err(OrderError::NotBegun);
        }
        let slot = match self.orders.spare.take() {
            Some(spare) => spare,
            None => self.tracer.new_slot()?,
        };
        if let Some(store) = self.tracer.unwind_store() {
            store.publish(slot, self.locator.code_mappings());
        }
        self.tracer.share_python(self.home, slot);
        let old = std::mem::replace(&mut self.slot, slot);
        self.tracer.begin_era(self.home, slot);
        self.previous = None;
        self.count_anew();
        self.settle(Some((old, self.home)));
        self.begin_era_of_members()
    }

    /// Each member that runs counts in another slot from now on, and what the others have done is forgotten.
    fn begin_era_of_members(&mut self) -> Result<(), OrderError> {
        // Those that have ended are known by now.
        self.take_happenings_of_family();
        let Some(family) = &mut self.family else { return Ok(()) };
        let running = family.counting().filter(|member| !member.info.exited);
        for (home, pid) in running.map(|member| (member.home, member.info.pid)).collect::<Vec<_>>() {
            let slot = self.tracer.new_slot()?;
            if let Some(store) = self.tracer.unwind_store()
                && let Some(locator) = family.in_slot(home).and_then(|(_, member)| member.locator.as_ref())
            {
                store.publish(slot, locator.code_mappings());
            }
            self.tracer.share_python(home, slot);
            self.tracer.begin_era(home, slot);
            if let Some(left) = family.move_to(home, slot, cpu_time(pid).unwrap_or_default()) {
                self.retiring.add(left);
            }
        }
        family.forget();
        Ok(())
    }

    fn begin_peak(&mut self) -> Result<(), OrderError> {
        if self.slot == 0 {
            return Err(OrderError::NotBegun);
        }
        self.tracer.begin_peak(self.slot);
        let members = self.family.iter_mut().flat_map(Family::counting).filter(|member| !member.info.exited);
        for slot in members.map(|member| member.slot).collect::<Vec<_>>() {
            self.tracer.begin_peak(slot);
        }
        if let Some(family) = &mut self.family {
            family.begin_peak();
        }
        self.settle(None);
        Ok(())
    }

    fn settle(&mut self, left: Option<(u32, u32)>) {
        let work = tokio::task::spawn_blocking(self.tracer.settle_work(left.map(|(slot, _)| slot)));
        self.orders.settling = Some(Settling { work, left });
    }

    pub(super) fn take_order_event(&mut self, event: OrderEvent) {
        match event {
            OrderEvent::Settled => self.settled(),
            OrderEvent::Searched(Searched { slot, found, reply }) => {
                let found = found.map(|entry| entry.map(|entry| self.describe(slot, &entry)));
                let _gone = reply.send(found.map_err(Into::into));
            }
        }
    }

    fn settled(&mut self) {
        let left = self.orders.settling.take().and_then(|settling| settling.left);
        match self.orders.settled.take() {
            Some(Err(error)) => log::warn!("what was cleared stays in the table of live blocks: {error}"),
            _ => {
                if let Some((slot, home)) = left {
                    self.tracer.empty_slot(slot);
                    // After an exec the slot's stacks are those of another program.
                    self.orders.spare = (home == self.home).then_some(slot);
                }
            }
        }
    }

    fn describe(&mut self, slot: u32, entry: &LiveEntry) -> FoundBlock {
        let mut stack = self.tracer.stack_of(slot, entry.site);
        stack.stats = AllocStats { allocated_blocks: 1, allocated_bytes: entry.size, ..AllocStats::default() };
        let raw = RawProfile { stacks: vec![stack], ..RawProfile::default() };
        let samples = self.locator.samples(&raw, ProcessIndex(0), &mut self.threads);
        FoundBlock {
            address: start_of(entry),
            size: entry.size,
            age: Ticks::now().map(|ticks| ticks.since(entry.ticks)),
            stack: self.unfinished(samples),
        }
    }
}
