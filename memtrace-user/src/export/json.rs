//! Everything that a snapshot holds, for scripts. The fields are described in docs/export.md.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};

use super::{Export, ExportError, Exporter, caption, safe_json};
use crate::profile::{Frame, Interval, Location, Module, Snapshot, SortBy, StackSample, TracedProcess, TracedThread};

/// Raised when a field changes its meaning or goes away; new fields do not raise it.
const VERSION: u32 = 1;

/// The format.
#[derive(Debug)]
pub(super) struct Json;

impl Exporter for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn purpose(&self) -> &'static str {
        "everything that the file holds, the greatest --value first"
    }

    fn tells_domains(&self) -> bool {
        true
    }

    fn write(&self, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let snapshot = export.snapshot;
        let tables = Tables::of(snapshot);
        let document = Document {
            format: "memtrace-profile",
            version: VERSION,
            ordered_by: caption::word(export.value),
            about: About::of(snapshot),
            processes: snapshot.processes.iter().map(Process::of).collect(),
            threads: snapshot.threads.iter().map(Thread::of).collect(),
            modules: snapshot.modules.iter().map(|(_, module)| ModuleEntry::of(module)).collect(),
            locations: Locations { snapshot, locations: &tables.locations },
            stacks: Stacks { tables: &tables },
            samples: Samples { snapshot, tables: &tables, value: export.value },
        };
        safe_json::write(&document, out)?;
        writeln!(out)?;
        Ok(())
    }
}

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    ordered_by: &'static str,
    about: About<'a>,
    processes: Vec<Process<'a>>,
    threads: Vec<Thread<'a>>,
    modules: Vec<ModuleEntry<'a>>,
    locations: Locations<'a>,
    stacks: Stacks<'a>,
    samples: Samples<'a>,
}

#[derive(Serialize)]
struct About<'a> {
    tool: Option<&'a str>,
    host: Option<&'a str>,
    kernel: Option<&'a str>,
    started_at_unix_ms: Option<u64>,
    taken_at_unix_ms: Option<u64>,
    elapsed_ms: Option<u64>,
    sample_bytes: Option<u64>,
    min_size: Option<u64>,
    max_frames: Option<u32>,
    unwind: Option<&'a str>,
    losses: BTreeMap<&'static str, u64>,
    lacks: Vec<&'static str>,
    comments: &'a [String],
}

impl<'a> About<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let about = &snapshot.about;
        Self {
            tool: about.tool.as_deref(),
            host: about.host.as_deref(),
            kernel: about.kernel.as_deref(),
            started_at_unix_ms: about.started_at.and_then(unix_ms),
            taken_at_unix_ms: about.taken_at.and_then(unix_ms),
            elapsed_ms: about.elapsed.and_then(|time| u64::try_from(time.as_millis()).ok()),
            sample_bytes: about.options.sample_bytes,
            min_size: about.options.min_size,
            max_frames: about.options.max_frames,
            unwind: about.options.unwind.as_deref(),
            losses: about.losses.iter().map(|(reason, count)| (reason.key(), count)).collect(),
            lacks: about.lacks.iter().map(|lack| lack.name()).collect(),
            comments: &about.comments,
        }
    }
}

fn unix_ms(time: SystemTime) -> Option<u64> {
    u64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[derive(Serialize)]
struct Process<'a> {
    pid: u32,
    command: &'a str,
    exited: bool,
    started_at_unix_ms: Option<u64>,
    rss_bytes: Option<u64>,
    allocators: &'a [String],
    current_bytes: Option<u64>,
    peak_bytes: Option<u64>,
    failed_calls: Option<u64>,
    unknown_frees: Option<u64>,
}

impl<'a> Process<'a> {
    fn of(process: &'a TracedProcess) -> Self {
        let (info, totals) = (&process.info, process.totals.as_ref());
        Self {
            pid: info.pid,
            command: &info.command,
            exited: info.exited,
            started_at_unix_ms: process.started_at.and_then(unix_ms),
            rss_bytes: info.rss_bytes,
            allocators: &info.allocators,
            current_bytes: totals.map(|totals| totals.current_bytes),
            peak_bytes: totals.map(|totals| totals.peak_bytes),
            failed_calls: totals.map(|totals| totals.failed_calls),
            unknown_frees: totals.map(|totals| totals.unknown_frees),
        }
    }
}

#[derive(Serialize)]
struct Thread<'a> {
    tid: u32,
    name: &'a str,
}

impl<'a> Thread<'a> {
    fn of(thread: &'a TracedThread) -> Self {
        Self { tid: thread.tid, name: &thread.name }
    }
}

#[derive(Serialize)]
struct ModuleEntry<'a> {
    path: &'a str,
    build_id: Option<String>,
}

impl<'a> ModuleEntry<'a> {
    fn of(module: &'a Module) -> Self {
        Self { path: &module.path, build_id: module.build_id.as_deref().map(hexadecimal) }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Every location and every stack once, in the order of the samples.
struct Tables<'a> {
    locations: Vec<Location>,
    location_ids: HashMap<Location, u32>,
    stacks: Vec<&'a [Location]>,
    stack_ids: HashMap<&'a [Location], u32>,
}

impl<'a> Tables<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let mut tables =
            Self { locations: Vec::new(), location_ids: HashMap::new(), stacks: Vec::new(), stack_ids: HashMap::new() };
        for sample in &snapshot.samples {
            let stack: &[Location] = &sample.stack;
            if tables.stack_ids.contains_key(stack) {
                continue;
            }
            tables.stack_ids.insert(stack, next_id(tables.stacks.len()));
            tables.stacks.push(stack);
            for location in stack {
                tables.location_ids.entry(*location).or_insert_with(|| {
                    tables.locations.push(*location);
                    next_id(tables.locations.len() - 1)
                });
            }
        }
        tables
    }
}

fn next_id(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2^32 stacks and locations fit in memory")
}

struct Locations<'a> {
    snapshot: &'a Snapshot,
    locations: &'a [Location],
}

#[derive(Serialize)]
struct LocationEntry<'a> {
    module: u32,
    offset: u64,
    frames: Vec<FrameEntry<'a>>,
}

#[derive(Serialize)]
struct FrameEntry<'a> {
    function: Option<&'a str>,
    file: Option<&'a str>,
    line: Option<u32>,
    inlined: bool,
}

impl<'a> From<&'a Frame> for FrameEntry<'a> {
    fn from(frame: &'a Frame) -> Self {
        let source = frame.source.as_ref();
        Self {
            function: frame.function.as_deref(),
            file: source.map(|source| &*source.file),
            line: source.map(|source| source.line).filter(|line| *line > 0),
            inlined: frame.inlined,
        }
    }
}

impl Serialize for Locations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.locations.iter().map(|location| LocationEntry {
            module: location.module.0,
            offset: location.offset,
            frames: self.snapshot.symbols.frames(*location).iter().map(FrameEntry::from).collect(),
        }))
    }
}

struct Stacks<'a> {
    tables: &'a Tables<'a>,
}

impl Serialize for Stacks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ids = |stack: &&[Location]| stack.iter().map(|at| self.tables.location_ids[at]).collect::<Vec<_>>();
        serializer.collect_seq(self.tables.stacks.iter().map(ids))
    }
}

struct Samples<'a> {
    snapshot: &'a Snapshot,
    tables: &'a Tables<'a>,
    value: SortBy,
}

#[derive(Serialize)]
struct SampleEntry {
    process: u32,
    thread: Option<u32>,
    domain: &'static str,
    stack: u32,
    stack_end: &'static str,
    live_bytes: u64,
    live_blocks: u64,
    allocated_bytes: u64,
    allocated_blocks: u64,
    freed_bytes: u64,
    freed_blocks: u64,
    live_bytes_low: Option<u64>,
    live_bytes_high: Option<u64>,
    allocated_bytes_low: Option<u64>,
    allocated_bytes_high: Option<u64>,
}

impl Samples<'_> {
    fn entry(&self, sample: &StackSample) -> SampleEntry {
        let StackSample { stack, end, domain, process, thread, stats } = sample;
        let (live_bytes_low, live_bytes_high) = stats.live_interval().map(Interval::ends).unzip();
        let (allocated_bytes_low, allocated_bytes_high) = stats.allocated_interval().map(Interval::ends).unzip();
        SampleEntry {
            process: process.0,
            thread: thread.map(|thread| thread.0),
            domain: domain.name(),
            stack: self.tables.stack_ids[&**stack],
            stack_end: end.name(),
            live_bytes: stats.live_bytes(),
            live_blocks: stats.live_blocks(),
            allocated_bytes: stats.allocated_bytes,
            allocated_blocks: stats.allocated_blocks,
            freed_bytes: stats.freed_bytes,
            freed_blocks: stats.freed_blocks,
            live_bytes_low,
            live_bytes_high,
            allocated_bytes_low,
            allocated_bytes_high,
        }
    }
}

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut samples: Vec<&StackSample> = self.snapshot.samples.iter().collect();
        samples.sort_by_key(|sample| std::cmp::Reverse(self.value.value(&sample.stats)));
        serializer.collect_seq(samples.into_iter().map(|sample| self.entry(sample)))
    }
}
