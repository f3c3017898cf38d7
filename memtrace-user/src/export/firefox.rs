//! A profile for the Firefox Profiler: bytes as native allocations, blocks as samples, with a memory track a process.
//!
//! A snapshot knows sums, not single blocks: a stack is one allocation of all its bytes. What was freed is given back
//! at once, so that "Retained Allocations" shows what lives. The memory track is the straight line between the two
//! points that are known: nothing when tracing began, and what lives at the reading.

use std::{
    collections::HashMap,
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fxprof_processed_profile::{
    CategoryHandle, CpuDelta, Frame, FrameFlags, FrameHandle, FrameInfo, Profile, ReferenceTimestamp, SamplingInterval,
    StackHandle, ThreadHandle, Timestamp,
};

use super::{
    Export, ExportError, Exporter, caption,
    frames::{FrameId, FrameTable, Namer, Naming},
    groups::{self, Group},
    safe_json,
    tree::NO_STACK,
};
use crate::profile::{AllocStats, Lack, ProcessIndex, Snapshot, SortBy, StackEnd};

/// The format.
#[derive(Debug)]
pub(super) struct Firefox;

impl Exporter for Firefox {
    fn name(&self) -> &'static str {
        "firefox"
    }

    fn purpose(&self) -> &'static str {
        "for the Firefox Profiler: bytes as allocations, blocks as samples"
    }

    fn write(&self, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let groups = groups::groups(export.snapshot, true);
        check(&groups, export.value)?;
        let mut builder = Builder::new(export);
        for group in &groups {
            builder.add(group);
        }
        builder.finish_tracks();
        safe_json::write(&builder.profile, out)?;
        Ok(())
    }
}

/// Refuses what 64 bits of bytes, or a reasonable number of samples of 2^31 blocks each, do not hold.
fn check(groups: &[Group<'_>], value: SortBy) -> Result<(), ExportError> {
    /// More blocks than any process allocates in a year.
    const MOST_BLOCKS: u128 = 10_000_000_000_000;
    let sum: u128 = groups.iter().map(|group| u128::from(value.value(&group.stats))).sum();
    let most = if value.is_bytes() { i64::MAX.unsigned_abs().into() } else { MOST_BLOCKS };
    if sum > most { Err(ExportError::TooLarge { format: "firefox", value: value.label() }) } else { Ok(()) }
}

struct Builder<'a> {
    snapshot: &'a Snapshot,
    value: SortBy,
    profile: Profile,
    end: Timestamp,
    namer: Namer<'a>,
    table: FrameTable,
    threads: HashMap<ProcessIndex, Process>,
    frames: HashMap<(ThreadHandle, FrameId), FrameHandle>,
    /// Allocations are told apart by made-up addresses.
    next_address: u64,
}

#[derive(Clone, Copy)]
struct Process {
    handle: fxprof_processed_profile::ProcessHandle,
    thread: ThreadHandle,
    live: AllocStats,
}

impl<'a> Builder<'a> {
    fn new(export: &Export<'a>) -> Self {
        let snapshot = export.snapshot;
        let elapsed = snapshot.about.elapsed.unwrap_or(Duration::ZERO).max(Duration::from_millis(1));
        let begin = snapshot.about.taken_at.and_then(|time| time.checked_sub(elapsed));
        let begin = begin.and_then(|time: SystemTime| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let title = caption::title(snapshot, export.value);
        let begin = ReferenceTimestamp::from_duration_since_unix_epoch(begin);
        let mut profile = Profile::new(&title, begin, SamplingInterval::from(elapsed));
        // Names come with the profile: nothing is to be looked up at a symbol server.
        profile.set_symbolicated(true);
        profile.set_os_name("Linux");
        Self {
            snapshot,
            value: export.value,
            profile,
            end: Timestamp::from_nanos_since_reference(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)),
            namer: Namer::new(snapshot, Naming { lines: export.lines, places: false }),
            table: FrameTable::default(),
            threads: HashMap::new(),
            frames: HashMap::new(),
            next_address: 1,
        }
    }

    fn add(&mut self, group: &Group<'_>) {
        let process = self.process(group.key.process);
        let stack = self.stack(process.thread, group);
        if let Some(process) = self.threads.get_mut(&group.key.process) {
            process.live += group.stats;
        }
        if self.value.is_bytes() {
            self.allocate(process.thread, stack, &group.stats);
        } else {
            self.sample(process.thread, stack, &group.stats);
        }
    }

    /// The process and its one thread: the format keeps a process's allocations on one.
    fn process(&mut self, index: ProcessIndex) -> Process {
        if let Some(process) = self.threads.get(&index) {
            return *process;
        }
        let pid = self.snapshot.processes.get(index.0 as usize).map_or(0, |process| process.info.pid);
        let start = Timestamp::from_nanos_since_reference(0);
        let handle = self.profile.add_process(&caption::process(self.snapshot, index), pid, start);
        let thread = self.profile.add_thread(handle, pid, start, true);
        self.profile.set_thread_name(thread, &caption::command(self.snapshot, index));
        let process = Process { handle, thread, live: AllocStats::default() };
        self.threads.insert(index, process);
        process
    }

    /// Root frames and frames of a stack.
    fn stack(&mut self, thread: ThreadHandle, group: &Group<'_>) -> Option<StackHandle> {
        let key = group.key;
        let mut ids = Vec::new();
        ids.extend(key.thread.map(|thread| self.table.add_named(&caption::thread(self.snapshot, thread))));
        let lacks_ends = self.snapshot.about.lacks.contains(&Lack::StackEnds);
        if key.stack.is_empty() {
            ids.push(self.table.add_named(NO_STACK));
        } else if key.end != StackEnd::Whole && !lacks_ends {
            ids.push(self.table.add_named(caption::end(key.end)));
        }
        for location in key.stack.iter().rev() {
            ids.extend_from_slice(&self.namer.location(*location, &mut self.table));
        }
        let mut stack = None;
        for id in ids {
            let frame = self.frame(thread, id);
            stack = Some(self.profile.intern_stack(thread, stack, frame));
        }
        stack
    }

    fn frame(&mut self, thread: ThreadHandle, id: FrameId) -> FrameHandle {
        if let Some(frame) = self.frames.get(&(thread, id)) {
            return *frame;
        }
        let name = self.profile.intern_string(&self.table.get(id).name);
        let info = FrameInfo {
            frame: Frame::Label(name),
            category_pair: CategoryHandle::OTHER.into(),
            flags: FrameFlags::empty(),
        };
        let frame = self.profile.intern_frame(thread, info);
        self.frames.insert((thread, id), frame);
        frame
    }

    /// The allocations that make up the value, and what was freed of them.
    fn allocate(&mut self, thread: ThreadHandle, stack: Option<StackHandle>, stats: &AllocStats) {
        let (live, freed) = match self.value {
            SortBy::FreedBytes => (0, stats.freed_bytes),
            SortBy::AllocatedBytes => {
                let freed = stats.freed_bytes.min(stats.allocated_bytes);
                (stats.allocated_bytes - freed, freed)
            }
            _ => (self.value.value(stats), 0),
        };
        self.add_allocation(thread, stack, live);
        if let Some((address, size)) = self.add_allocation(thread, stack, freed) {
            self.profile.add_allocation_sample(thread, self.end, stack, address, -size);
        }
    }

    /// One allocation at a made-up address; address and size of it, unless there is nothing to allocate.
    fn add_allocation(&mut self, thread: ThreadHandle, stack: Option<StackHandle>, bytes: u64) -> Option<(u64, i64)> {
        let size = i64::try_from(bytes).ok().filter(|size| *size > 0)?;
        let address = self.next_address;
        self.next_address += 1;
        self.profile.add_allocation_sample(thread, self.end, stack, address, size);
        Some((address, size))
    }

    /// Blocks are samples. A weight has 32 bits, so a great number takes several samples of one stack.
    fn sample(&mut self, thread: ThreadHandle, stack: Option<StackHandle>, stats: &AllocStats) {
        let mut left = self.value.value(stats);
        while left > 0 {
            let weight = i32::try_from(left).unwrap_or(i32::MAX);
            self.profile.add_sample(thread, self.end, stack, CpuDelta::ZERO, weight);
            left -= u64::from(weight.unsigned_abs());
        }
    }

    /// Gives each process its memory track.
    #[expect(clippy::cast_precision_loss, reason = "the format has floating point numbers")]
    fn finish_tracks(&mut self) {
        let mut processes: Vec<_> = self.threads.drain().collect();
        processes.sort_by_key(|(index, _)| *index);
        for (_, process) in processes {
            let counter = self.profile.add_counter(
                process.handle,
                "malloc",
                "Memory",
                "Live bytes of what was allocated while traced, at the beginning and at the reading",
            );
            let blocks = u32::try_from(process.live.live_blocks()).unwrap_or(u32::MAX);
            self.profile.add_counter_sample(counter, Timestamp::from_nanos_since_reference(0), 0.0, 0);
            self.profile.add_counter_sample(counter, self.end, process.live.live_bytes() as f64, blocks);
        }
    }
}
