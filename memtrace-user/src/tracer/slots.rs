//! Slots: where the counters of a process lie. They are taken by user space and by the BPF programs, and given back when
//! what is in them has been read.

use std::mem::offset_of;

use aya::{
    Ebpf,
    maps::{HashMap, MapData, MapError, Queue},
};
use memtrace_common::process::{CommandRecord, Era, ProcessRecord, SLOTS, Target};

use super::{Tracer, TracerError, everyone::EveryoneMaps, mapped::MappedArray, setup::mapped};
use crate::profile::LossReason;

/// The maps that tell which process counts where.
pub struct Slots {
    free: Queue<MapData, u32>,
    targets: HashMap<MapData, u32, Target>,
    commands: MappedArray<CommandRecord>,
}

impl Slots {
    /// With all slots free. Takes maps out of the object: after programs are loaded.
    ///
    /// # Errors
    /// When the object lacks a map.
    pub fn new(ebpf: &mut Ebpf) -> Result<Self, TracerError> {
        let setup = TracerError::setup("slots");
        let commands = mapped(ebpf, "COMMANDS", SLOTS)?;
        let mut take = |name: &str| ebpf.take_map(name).ok_or_else(|| setup(format!("no map `{name}`").into()));
        let (free, targets) = (take("FREE_SLOTS")?, take("TARGETS")?);
        let mut free = Queue::try_from(free).map_err(|error| setup(Box::new(error)))?;
        for slot in 1..SLOTS {
            free.push(slot, 0).map_err(|error| setup(Box::new(error)))?;
        }
        let targets = targets.try_into().map_err(|error| setup(Box::new(error)))?;
        Ok(Self { free, targets, commands })
    }

    /// Says where a process counts.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_target(&mut self, tgid: u32, target: Target) -> Result<(), TracerError> {
        self.targets.insert(tgid, target, 0).map_err(|error| TracerError::setup("target")(Box::new(error)))
    }

    /// Says where a process counts that nobody has said it of; `false` when somebody has.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_target(&mut self, tgid: u32, slot: u32) -> Result<bool, TracerError> {
        const ONLY_NEW: u64 = 1;
        match self.targets.insert(tgid, Target { slot, from_exec: 0 }, ONLY_NEW) {
            Ok(()) => Ok(true),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
            Err(error) => Err(TracerError::setup("target")(Box::new(error))),
        }
    }

    /// Forgets a process; `false` when it is forgotten already.
    pub fn remove_target(&mut self, tgid: u32) -> bool {
        self.targets.remove(&tgid).is_ok()
    }

    /// Bytes of maps that this process sees as memory.
    #[must_use]
    pub const fn mapped_bytes(&self) -> u64 {
        self.commands.bytes()
    }
}

impl Tracer {
    /// Where the image that runs in a process has begun.
    #[must_use]
    pub fn home_of(&self, tgid: u32) -> Option<u32> {
        self.slots.targets.get(&tgid, 0).ok().map(|target| target.slot)
    }

    /// Takes a slot for a process.
    ///
    /// # Errors
    /// [`TracerError::Setup`] when there is none left.
    pub fn new_slot(&mut self) -> Result<u32, TracerError> {
        let none = |_| TracerError::setup("process")("too many processes traced".into());
        let slot = self.slots.free.pop(0).map_err(none)?;
        let processes = &self.reader.maps().processes;
        processes.store(slot, offset_of!(ProcessRecord, users), 1);
        processes.store(slot, offset_of!(ProcessRecord, era), Era::first(slot).0);
        Ok(slot)
    }

    /// Counts something that could not be recorded, as the programs do.
    pub fn count_loss(&self, reason: LossReason) {
        self.reader.count_loss(reason);
    }

    /// Whether no process counts in a slot any more: what is in it is final.
    #[must_use]
    pub fn is_final(&self, slot: u32) -> bool {
        self.reader.maps().processes.load(slot, offset_of!(ProcessRecord, users)) == 0
    }

    /// The command line that the image in a slot was executed with; its beginning if it is long. `None` when it could not
    /// be read.
    #[must_use]
    pub fn command_in(&self, slot: u32) -> Option<String> {
        let words = self.slots.commands.words(slot);
        let load = |index: usize| words[index].load(std::sync::atomic::Ordering::Acquire);
        let length = usize::try_from(load(0)).ok().filter(|length| *length > 0)?;
        let bytes: Vec<u8> = (1..words.len()).flat_map(|index| load(index).to_ne_bytes()).take(length).collect();
        let arguments = bytes.strip_suffix(&[0]).unwrap_or(&bytes).split(|byte| *byte == 0);
        let words: Vec<_> = arguments.map(String::from_utf8_lossy).collect();
        Some(words.join(" "))
    }

    /// What must be done, off the event loop, before slots are given back: it waits for programs that still use them, and
    /// removes their live blocks.
    pub fn retire_work(&self, slots: Vec<u32>) -> impl FnOnce() -> std::io::Result<()> + Send + use<> {
        let blocks = self.live_blocks();
        // Where blocks are counted by process, those that have left none need not be searched for.
        let counts = self.everyone.as_ref().map(EveryoneMaps::block_counts);
        move || {
            let blocks = blocks?;
            blocks.await_programs()?;
            let has_blocks = |slot: &u32| counts.as_ref().is_none_or(|counts| counts.has_blocks(*slot));
            let slots: Vec<u32> = slots.into_iter().filter(has_blocks).collect();
            if slots.is_empty() {
                return Ok(());
            }
            let cleared = blocks.clear_slots(&slots);
            log::debug!("{cleared} live blocks of {} slots forgotten", slots.len());
            Ok(())
        }
    }

    /// Whether all stacks are known that programs which have ended have added. One that is interrupted while it adds a
    /// stack holds up those behind it for a moment.
    #[must_use]
    pub fn knows_all_stacks(&mut self) -> bool {
        self.reader.reads_all_stacks()
    }

    /// Gives slots back after [`Self::retire_work`] and once [all stacks are known](Self::knows_all_stacks); their counters
    /// and call stacks are gone.
    pub fn release_slots(&mut self, slots: &[u32]) {
        self.take_copies();
        self.pieces.forget(slots);
        for slot in slots {
            self.reader.release(*slot);
            if let Some(mappings) = &self.mappings {
                mappings.ledger().release_slot(*slot);
            }
            if let Some(store) = &mut self.unwind {
                store.remove(*slot);
            }
            if let Some(everyone) = &self.everyone {
                everyone.empty(*slot);
            }
            let processes = &self.reader.maps().processes;
            for offset in [offset_of!(ProcessRecord, era), offset_of!(ProcessRecord, python)] {
                processes.store(*slot, offset, 0);
            }
            self.reader.maps().empty_process(*slot);
            if let Err(error) = self.slots.free.push(slot, 0) {
                log::warn!("slot {slot} is lost: {error}");
            }
        }
    }
}
