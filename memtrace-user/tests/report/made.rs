//! Snapshots made up for the tests, and files of them.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use memtrace::{
    profile::{
        About, AllocStats, Domain, Frame, Location, LossReason, ModuleId, Modules, ProcessIndex, ProcessInfo,
        ProcessTotals, Snapshot, SourceLine, StackEnd, StackSample, SymbolTable, TracedProcess,
    },
    snapshot,
};
use tempfile::TempDir;

/// A snapshot in the making. A frame is `function@module` or `function@module@file:line`; frames that are written as one
/// with ` > ` between them are inlined, innermost first. A function `0x1f` has no name and lies at that offset.
#[derive(Default)]
pub struct Made {
    pub snapshot: Snapshot,
    /// Where code begins in every module: another build, other offsets.
    pub base: u64,
    modules: HashMap<String, ModuleId>,
    locations: HashMap<String, Location>,
}

impl Made {
    /// Of one process.
    pub fn new(pid: u32, command: &str, seconds: u64) -> Self {
        let info = ProcessInfo { pid, command: command.into(), rss_bytes: Some(50_650_000), ..ProcessInfo::default() };
        let about = About {
            tool: Some("memtrace 0.1.0".into()),
            host: Some("build-7".into()),
            kernel: Some("6.12.48".into()),
            taken_at: Some(UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)),
            elapsed: Some(Duration::from_secs(60 + seconds)),
            ..About::default()
        };
        let process = TracedProcess { info, started_at: None, ..TracedProcess::default() };
        let snapshot = Snapshot { about, processes: vec![process], ..Snapshot::default() };
        Self { snapshot, base: 0x1000, ..Self::default() }
    }

    /// Adds a stack through which so many blocks of a size were allocated, some of them freed.
    pub fn stack(&mut self, frames: &[&str], allocated: u64, size: u64, freed: u64) -> &mut StackSample {
        let stack = frames.iter().map(|text| self.location(text)).collect();
        self.snapshot.samples.push(StackSample {
            stack,
            end: if frames.is_empty() { StackEnd::Incomplete } else { StackEnd::Whole },
            domain: Domain::Malloc,
            process: ProcessIndex(0),
            thread: None,
            stats: AllocStats {
                allocated_blocks: allocated,
                allocated_bytes: allocated * size,
                freed_blocks: freed,
                freed_bytes: freed * size,
                short_lived_blocks: 0,
                ..AllocStats::default()
            },
        });
        self.snapshot.samples.last_mut().expect("just added")
    }

    fn location(&mut self, text: &str) -> Location {
        if let Some(known) = self.locations.get(text) {
            return *known;
        }
        let parts: Vec<&str> = text.split(" > ").collect();
        let frames: Vec<_> = parts.iter().map(|part| frame(part)).collect();
        let path = parts[0].split('@').nth(1).unwrap_or_default();
        let modules = &mut self.snapshot.modules;
        let module = *self.modules.entry(path.into()).or_insert_with(|| modules.add(path));
        let unnamed = parts[0].strip_prefix("0x").and_then(|rest| rest.split('@').next());
        let unnamed = unnamed.and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let location = Location { module, offset: unnamed.unwrap_or(self.base + 16 * self.locations.len() as u64) };
        let last = frames.len() - 1;
        let frames: Arc<[Frame]> =
            frames.into_iter().enumerate().map(|(index, frame)| Frame { inlined: index < last, ..frame }).collect();
        if unnamed.is_none() {
            self.snapshot.symbols.insert(location, frames);
        }
        self.locations.insert(text.into(), location);
        location
    }

    /// Completes the process's totals and writes the file.
    pub fn file(mut self, directory: &TempDir, name: &str) -> PathBuf {
        let stats = self.snapshot.total();
        if let Some(process) = self.snapshot.processes.first_mut() {
            let (current_bytes, peak_bytes) = (stats.live_bytes(), stats.live_bytes() + stats.live_bytes() / 8);
            process.totals = Some(ProcessTotals { current_bytes, peak_bytes, stats, ..ProcessTotals::default() });
        }
        let path = directory.path().join(name);
        snapshot::write_file(&path, &self.snapshot).expect("written");
        path
    }
}

fn frame(text: &str) -> Frame {
    let mut parts = text.splitn(3, '@');
    let function = parts.next().map(Into::into);
    let source = parts.nth(1).and_then(|part| part.rsplit_once(':'));
    let source = source.map(|(file, line)| SourceLine { file: file.into(), line: line.parse().unwrap_or(0) });
    Frame { function, source, inlined: false }
}

const MAIN: [&str; 2] = ["main@APP@/build/rowsd/src/main.c:33", "__libc_start_call_main@/usr/lib/libc.so.6"];

/// A server with a growing cache, at a time: wrappers, inlined functions, recursion, code without names, no stack.
pub fn server(app: &str, growth: u64) -> Made {
    let mut made = Made::new(4711, "/srv/bin/rowsd --port 8080", 600 * growth);
    let mut stack = |frames: &[&str], allocated, size, freed| {
        let frames: Vec<String> = [frames, &MAIN].concat().iter().map(|frame| frame.replace("APP", app)).collect();
        let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
        made.stack(&frames, allocated, size, freed);
    };
    let grow = "vec_grow@APP@/build/rowsd/src/vec.h:33 > rows_new@APP@/build/rowsd/src/rows.c:120";
    let xmalloc = "xmalloc@APP@/build/rowsd/src/alloc.c:9";
    stack(&[xmalloc, grow, "load@APP@/build/rowsd/src/load.c:77"], 128 * (1 + growth), 65_536, 0);
    stack(&[xmalloc, grow, "reload@APP@/build/rowsd/src/load.c:91"], 12, 65_536, 3);
    let parse = "parse_node@APP@/build/rowsd/src/parse.c:210";
    let recursion = [&["node_new@APP@/build/rowsd/src/parse.c:18"][..], &[parse; 4]].concat();
    stack(&recursion, 39_000, 48, 1_200 + 20_000 * growth);
    stack(&["strdup@/usr/lib/libc.so.6", "name@APP@/build/rowsd/src/rows.c:51"], 400, 24, 0);
    if growth > 0 {
        stack(&["session_new@APP@/build/rowsd/src/session.c:40"], 64, 4_096, 0);
    } else {
        stack(&["config_read@APP@/build/rowsd/src/config.c:12"], 3, 1_024, 0);
    }
    made.stack(&["0x1f2a0@/usr/lib/libssl.so.3", "0x9c0@/usr/lib/libcrypto.so.3"], 70, 832, 0).end =
        StackEnd::Incomplete;
    made.stack(&[], 3, 100, 0);
    made
}

/// A second process, with losses.
pub fn worker() -> Made {
    let mut made = Made::new(4800, "/srv/bin/worker", 5);
    made.stack(&["job_new@/srv/bin/worker@job.c:7", "main@/srv/bin/worker@job.c:90"], 10, 100_000, 0);
    made.snapshot.about.losses.add(LossReason::LiveFull, 12);
    made
}

/// Names that would drive a terminal.
pub fn hostile() -> Made {
    let mut made = Made::new(666, "evil\u{1b}[2J\r\nLosses  none", 1);
    made.stack(&["f\u{1b}[31m\u{202e}gpj.exe@/tmp/\u{9b}31m\u{2066}lib.so@a\nb.c:1"], 1, 10, 0);
    made
}

/// Of nothing but modules and symbols.
pub fn empty() -> Made {
    let mut made = Made::new(1, "sleep 1000", 1);
    made.snapshot.modules = Modules::default();
    made.snapshot.symbols = SymbolTable::default();
    made
}
