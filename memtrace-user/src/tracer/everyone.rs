//! Tracing of all processes of the machine: which of them are selected, and what each may take of the shared tables.

use std::{mem::offset_of, sync::Arc, time::Instant};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError},
};
use memtrace_common::{
    process::{Era, NO_SLOT, ProcessRecord, SLOTS},
    selection::{NAME_BYTES, by, verdict},
    share::ShareRecord,
};

use super::{Tracer, TracerError, mapped::MappedArray, setup::mapped};
use crate::profile::ProcessTotals;

/// What one process may take of the shared tables; beyond that its blocks and call stacks are counted as losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Live blocks that are recorded of one process.
    pub blocks: u64,
    /// Call stacks that are kept of one process.
    pub sites: u64,
    /// Segments of the table of live blocks, which all processes share: its memory is bounded.
    pub segments: u32,
}

impl Default for Shares {
    /// A process may take a sixteenth of the table of call stacks, and of the table of live blocks what a third of its
    /// largest segment holds. Three segments: 336 MiB, some 13 million entries.
    fn default() -> Self {
        Self { blocks: 1 << 21, sites: 1 << 14, segments: 3 }
    }
}

/// What a process has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Blocks that were not recorded.
    pub refused_blocks: u64,
    /// Allocations that were counted under no call stack.
    pub refused_sites: u64,
}

/// The rules that the BPF programs apply when a program is executed. Empty lists select everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecRules {
    /// Names of processes, at most 15 bytes of each.
    pub names: Vec<Vec<u8>>,
    /// Real user ids, in the initial user namespace.
    pub users: Vec<u32>,
    /// Control groups are looked at, and remembered by [`Tracer::remember_group`].
    pub by_group: bool,
}

/// Live blocks by slot, to be asked off the event loop.
pub struct BlockCounts(Arc<MappedArray<ShareRecord>>);

impl BlockCounts {
    /// Whether any block of a slot is in the table, once no program counts there any more.
    #[must_use]
    pub fn has_blocks(&self, slot: u32) -> bool {
        self.0.load(slot, offset_of!(ShareRecord, blocks)) != 0
    }
}

/// The maps behind it.
pub struct EveryoneMaps {
    shares: Arc<MappedArray<ShareRecord>>,
    selection: Array<MapData, u32>,
    names: HashMap<MapData, [u8; NAME_BYTES], u32>,
    users: HashMap<MapData, u32, u32>,
    groups: HashMap<MapData, u64, u32>,
}

impl EveryoneMaps {
    /// Takes maps out of the object: after programs are loaded.
    ///
    /// # Errors
    /// When the object lacks a map.
    pub fn new(ebpf: &mut Ebpf) -> Result<Self, TracerError> {
        let shares = Arc::new(mapped(ebpf, "SHARES", SLOTS)?);
        let setup = |error: MapError| TracerError::setup("selection")(Box::new(error));
        let mut take = |name: &str| {
            ebpf.take_map(name).ok_or_else(|| TracerError::setup("selection")(format!("no map `{name}`").into()))
        };
        Ok(Self {
            shares,
            selection: take("SELECTION")?.try_into().map_err(setup)?,
            names: take("SELECTED_NAMES")?.try_into().map_err(setup)?,
            users: take("SELECTED_USERS")?.try_into().map_err(setup)?,
            groups: take("GROUP_VERDICTS")?.try_into().map_err(setup)?,
        })
    }

    fn begin(&mut self, rules: &ExecRules) -> Result<(), MapError> {
        for name in &rules.names {
            let mut key = [0; NAME_BYTES];
            let length = name.len().min(NAME_BYTES - 1);
            key[..length].copy_from_slice(&name[..length]);
            self.names.insert(key, 1, 0)?;
        }
        for user in &rules.users {
            self.users.insert(user, 1, 0)?;
        }
        let bit = |is_set: bool, bit: u32| if is_set { bit } else { 0 };
        let word = by::BEGUN
            | bit(!rules.names.is_empty(), by::NAME)
            | bit(!rules.users.is_empty(), by::USER)
            | bit(rules.by_group, by::GROUP);
        self.selection.set(0, word, 0)
    }

    fn share(&self, slot: u32) -> Share {
        let load = |offset| self.shares.load(slot, offset);
        Share {
            refused_blocks: load(offset_of!(ShareRecord, refused_blocks)),
            refused_sites: load(offset_of!(ShareRecord, refused_sites)),
        }
    }

    /// How many live blocks are recorded of each slot.
    #[must_use]
    pub fn block_counts(&self) -> BlockCounts {
        BlockCounts(Arc::clone(&self.shares))
    }

    /// A slot is used by others from now on.
    pub fn empty(&self, slot: u32) {
        for word in self.shares.words(slot) {
            word.store(0, std::sync::atomic::Ordering::Release);
        }
    }

    /// None of its blocks are recorded any more; its call stacks stay.
    fn forget_blocks(&self, slot: u32) {
        let fields = [
            offset_of!(ShareRecord, blocks),
            offset_of!(ShareRecord, refused_blocks),
            offset_of!(ShareRecord, refused_sites),
        ];
        for field in fields {
            self.shares.store(slot, field, 0);
        }
    }

    /// Bytes of maps that this process sees as memory.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.shares.bytes()
    }
}

impl Tracer {
    /// Begins to trace every process that executes a program and is selected, and what traced processes fork.
    ///
    /// # Errors
    /// [`TracerError::Setup`]; also when it was not loaded for [`super::Follow::Everyone`].
    pub fn follow_everyone(&mut self, rules: &ExecRules) -> Result<(), TracerError> {
        let missing = || TracerError::setup("selection")("not loaded for all processes".into());
        let maps = self.everyone.as_mut().ok_or_else(missing)?;
        maps.begin(rules).map_err(|error| TracerError::setup("selection")(Box::new(error)))
    }

    /// Begins to record a process that runs already, named by its id in the initial pid namespace, in a slot of its own.
    /// `None` when it is recorded already.
    ///
    /// # Errors
    /// [`TracerError::Setup`] when there is no slot left.
    pub fn adopt(&mut self, host_tgid: u32) -> Result<Option<u32>, TracerError> {
        let slot = self.new_slot()?;
        if self.slots.add_target(host_tgid, slot)? {
            return Ok(Some(slot));
        }
        self.release_slots(&[slot]);
        Ok(None)
    }

    /// Records a process no more that has ended without the BPF programs seeing it. `false` when they have: then an event
    /// tells of it.
    #[must_use]
    pub fn abandon(&mut self, host_tgid: u32) -> bool {
        self.slots.remove_target(host_tgid)
    }

    /// Time counts from now on.
    pub fn begin_time(&mut self) {
        self.started = Instant::now();
    }

    /// Whoever counts in a slot counts no more. It keeps the slot to its end, as its threads know it.
    pub fn close_slot(&self, slot: u32) {
        self.set_era(slot, self.era(slot).closed());
    }

    /// Empties a slot that has been closed, after [`Self::retire_work`] and once [all stacks are known](Self::knows_all_stacks):
    /// its process may be recorded anew.
    pub fn empty_closed_slot(&mut self, slot: u32) {
        self.empty_slot(slot);
        if let Some(everyone) = &self.everyone {
            everyone.forget_blocks(slot);
        }
    }

    /// The process that has a slot is recorded again, after [`Self::empty_closed_slot`].
    pub fn reopen_slot(&self, slot: u32) {
        self.set_era(slot, self.era(slot).next(slot));
    }

    /// Whether a slot that somebody has is closed.
    #[must_use]
    pub fn is_closed(&self, slot: u32) -> bool {
        self.era(slot).slot() == NO_SLOT
    }

    fn era(&self, slot: u32) -> Era {
        Era(self.reader.maps().processes.load(slot, offset_of!(ProcessRecord, era)))
    }

    fn set_era(&self, slot: u32, era: Era) {
        self.reader.maps().processes.store(slot, offset_of!(ProcessRecord, era), era.0);
    }

    /// Says whether processes of a control group, named by its id, are selected, for programs that they execute.
    pub fn remember_group(&mut self, group: u64, is_selected: bool) {
        let Some(maps) = &mut self.everyone else { return };
        let word = if is_selected { verdict::SELECTED } else { verdict::LEFT_OUT };
        if let Err(error) = maps.groups.insert(group, word, 0) {
            // Its processes are looked at one by one.
            log::debug!("control group {group}: {error}");
        }
    }

    /// The counters of a slot without its call stacks.
    #[must_use]
    pub fn totals(&mut self, slot: u32) -> ProcessTotals {
        self.reader.sums(slot)
    }

    /// Slots in use, closed ones as well, and the process that the BPF programs have given each to; 0 where user space has.
    pub fn used_slots(&self) -> impl Iterator<Item = (u32, u32)> {
        let processes = &self.reader.maps().processes;
        let is_used = |slot: &u32| self.era(*slot) != Era(0);
        // The number of its mapping list shares the word.
        let process = |slot| processes.load(slot, offset_of!(ProcessRecord, tgid)) & 0xffff_ffff;
        (1..SLOTS).filter(is_used).map(move |slot| (slot, u32::try_from(process(slot)).unwrap_or(0)))
    }

    /// What the process in a slot could not have of the shared tables.
    #[must_use]
    pub fn share(&self, slot: u32) -> Share {
        self.everyone.as_ref().map(|maps| maps.share(slot)).unwrap_or_default()
    }

    /// What could not be recorded, of all processes.
    #[must_use]
    pub fn losses(&self) -> crate::profile::Losses {
        self.reader.losses()
    }
}
