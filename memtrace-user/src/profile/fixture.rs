//! Profiles for the tests of everything that shows them: built from `function@module` texts, no process needed.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use super::{
    About, AllocRates, AllocStats, CallStack, Domain, Frame, Location, LossReason, Losses, ModuleId, Modules, Overhead,
    ProcessIndex, ProcessInfo, ProcessTotals, Profile, Snapshot, SourceLine, StackEnd, StackSample, SymbolTable,
    TracedProcess, UnfollowedBytes,
};

/// A profile in the making. A frame is `function@module` or `function@module@file:line`; a function `0x1f` has no
/// symbol and lies at that offset.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scene {
    pub(crate) symbols: SymbolTable,
    pub(crate) modules: Modules,
    pub(crate) samples: Vec<StackSample>,
    pub(crate) losses: Losses,
    pub(crate) process: ProcessInfo,
    known: HashMap<String, Location>,
    ids: HashMap<String, ModuleId>,
}

impl Scene {
    /// As a snapshot holds it.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.profile(), &self.symbols, About::default())
    }

    /// The location of a frame; one text is one location.
    pub(crate) fn location(&mut self, text: &str) -> Location {
        if let Some(location) = self.known.get(text) {
            return *location;
        }
        let mut parts = text.splitn(3, '@');
        let function = parts.next().unwrap_or_default();
        let module = parts.next().unwrap_or_default();
        let source = parts.next().and_then(|part| part.rsplit_once(':'));
        let modules = &mut self.modules;
        let module = *self.ids.entry(module.into()).or_insert_with(|| modules.add(module));
        let unnamed = function.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let location = Location { module, offset: unnamed.unwrap_or(0x1000 + 16 * self.known.len() as u64) };
        if unnamed.is_none() {
            let source = source.map(|(file, line)| SourceLine { file: file.into(), line: line.parse().unwrap_or(0) });
            let frame = Frame { function: Some(function.into()), source, inlined: false };
            self.symbols.insert(location, [frame].into());
        }
        self.known.insert(text.into(), location);
        location
    }

    pub(crate) fn stack(&mut self, frames: &[&str]) -> CallStack {
        frames.iter().map(|text| self.location(text)).collect()
    }

    /// The text that a location was made from.
    pub(crate) fn name(&self, location: Location) -> String {
        self.known.iter().find(|(_, known)| **known == location).map(|(text, _)| text.clone()).unwrap_or_default()
    }

    /// Adds `allocated` blocks of `size` bytes, `freed` of them freed.
    pub(crate) fn sample(&mut self, frames: &[&str], allocated: u64, size: u64, freed: u64) -> &mut StackSample {
        let stack = self.stack(frames);
        let stats = AllocStats {
            allocated_blocks: allocated,
            allocated_bytes: allocated * size,
            freed_blocks: freed,
            freed_bytes: freed * size,
            short_lived_blocks: 0,
            ..AllocStats::default()
        };
        let end = if frames.is_empty() { StackEnd::Incomplete } else { StackEnd::Whole };
        self.samples.push(StackSample {
            stack,
            end,
            domain: Domain::Malloc,
            process: ProcessIndex(0),
            thread: None,
            stats,
        });
        self.samples.last_mut().expect("just added")
    }

    pub(crate) fn profile(&self) -> Profile {
        let stats: AllocStats = self.samples.iter().map(|sample| sample.stats).sum();
        let totals = ProcessTotals {
            current_bytes: stats.live_bytes(),
            peak_bytes: stats.live_bytes() + stats.live_bytes() / 8,
            stats,
            failed_calls: 0,
            unknown_frees: 0,
            entry_hits: stats.allocated_blocks,
            return_hits: stats.allocated_blocks,
            release_hits: stats.freed_blocks,
            cpu_nanos: 40_000_000_000,
        };
        Profile {
            taken_at: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
            elapsed: Duration::from_millis(65_250),
            started_at: Some(UNIX_EPOCH + Duration::from_secs(1_789_990_000)),
            process: self.process.clone(),
            totals,
            own_totals: totals,
            others: Vec::new(),
            rates: AllocRates::default(),
            samples: self.samples.clone(),
            stack_ids: (1..).take(self.samples.len()).collect(),
            threads: Vec::new(),
            modules: self.modules.clone(),
            losses: self.losses.clone(),
            unfollowed: UnfollowedBytes::default(),
            overhead: Overhead::default(),
            sample_bytes: None,
        }
    }
}

/// A server with a growing cache: whole, cut and broken stacks, recursion, an inlined function, a frame without symbol.
pub(crate) fn typical() -> (Profile, SymbolTable) {
    let mut scene = typical_scene();
    let inlined_at = scene.location("rows_new@/srv/bin/rowsd@src/rows.c:120");
    let mut frames = scene.symbols.frames(inlined_at).to_vec();
    let source = SourceLine { file: "src/vec.h".into(), line: 33 };
    frames.insert(0, Frame { function: Some("vec_grow".into()), source: Some(source), inlined: true });
    scene.symbols.insert(inlined_at, Arc::from(frames));
    let mut profile = scene.profile();
    profile.totals.unknown_frees = 1_204;
    profile.rates = AllocRates {
        allocated_blocks: 1_204.4,
        allocated_bytes: 1_262_485.0,
        freed_blocks: 1_180.0,
        freed_bytes: 1_000_000.0,
    };
    profile.overhead = Overhead {
        core_share: Some(0.0081),
        cpu_share: Some(0.0123),
        own_memory_bytes: 43_300_000,
        bpf_memory_bytes: 39_800_000,
    };
    (profile, scene.symbols)
}

fn typical_scene() -> Scene {
    const MAIN: [&str; 2] = ["main@/srv/bin/rowsd@src/main.c:33", "__libc_start_call_main@/usr/lib/libc.so.6"];
    let process = ProcessInfo {
        pid: 4711,
        command: "/srv/bin/rowsd --port 8080".into(),
        exited: false,
        rss_bytes: Some(50_650_000),
        allocators: vec!["glibc (/usr/lib/x86_64-linux-gnu/libc.so.6)".into()],
        notes: Vec::new(),
    };
    let mut scene = Scene { process, ..Scene::default() };
    let with_main = |frames: &[&'static str]| [frames, &MAIN].concat();
    let rows = ["xmalloc@/srv/bin/rowsd@src/alloc.c:9", "rows_new@/srv/bin/rowsd@src/rows.c:120"];
    scene.sample(&with_main(&[rows[0], rows[1], "load@/srv/bin/rowsd@src/load.c:77"]), 128, 65_536, 0);
    scene.sample(&with_main(&[rows[0], rows[1], "reload@/srv/bin/rowsd@src/load.c:91"]), 12, 65_536, 3);
    let parse = "parse_node@/srv/bin/rowsd@src/parse.c:210";
    let recursion = [&["node_new@/srv/bin/rowsd@src/parse.c:18"][..], &[parse; 14]].concat();
    scene.sample(&with_main(&recursion), 39_000, 48, 1_200).end = StackEnd::Truncated;
    let deep = "<hyper::proto::h1::conn::Conn<I, B, T> as tower::Service<http::Request<B>>>::call@/srv/bin/libfront.so@/root/.cargo/hyper/src/proto/h1/conn.rs:455";
    scene.sample(&["alloc::raw_vec::finish_grow@/srv/bin/libfront.so", deep], 810, 1_024, 300);
    scene.sample(&["0x1f2a0@/usr/lib/libssl.so.3", "0x9c0@/srv/bin/rowsd"], 70, 832, 0).end = StackEnd::Incomplete;
    scene.sample(&[], 3, 100, 0);
    scene.sample(&with_main(&["buffer@/srv/bin/rowsd@src/io.c:12"]), 100_000, 4_096, 100_000);
    scene
}

/// [`typical`] with what is mapped beside its blocks.
pub(crate) fn with_mappings() -> (Profile, SymbolTable) {
    let mut scene = typical_scene();
    let mmap = "mmap64@/usr/lib/libc.so.6";
    scene
        .sample(&[mmap, "pool_grow@/srv/bin/rowsd@src/pool.c:51", "main@/srv/bin/rowsd@src/main.c:33"], 3, 4 << 20, 1)
        .domain = Domain::Mmap;
    scene.sample(&[mmap, "pool_map@/srv/bin/rowsd@src/pool.c:12"], 1, 1 << 20, 0).domain = Domain::Mmap;
    scene.sample(&["__sbrk@/usr/lib/libc.so.6"], 60, 132 << 10, 0).domain = Domain::Allocator;
    scene.sample(&[mmap], 2, 64 << 20, 0).domain = Domain::Reserved;
    let mut profile = scene.profile();
    profile.totals.stats = super::sum_of_domain(&profile.samples, Domain::Malloc);
    profile.totals.current_bytes = profile.totals.stats.live_bytes();
    profile.totals.peak_bytes = profile.totals.current_bytes;
    (profile, scene.symbols)
}

/// [`typical`] with losses.
pub(crate) fn with_losses() -> (Profile, SymbolTable) {
    let (mut profile, symbols) = typical();
    profile.losses.add(LossReason::LiveFull, 1_200);
    profile.losses.add(LossReason::MissedFree, 4);
    profile.totals.failed_calls = 3;
    (profile, symbols)
}

/// [`typical`] after the process has ended.
pub(crate) fn exited() -> (Profile, SymbolTable) {
    let (mut profile, symbols) = typical();
    profile.process.exited = true;
    profile.process.rss_bytes = None;
    profile.rates = AllocRates::default();
    (profile, symbols)
}

/// Nothing allocated yet.
pub(crate) fn empty() -> (Profile, SymbolTable) {
    let process = ProcessInfo { pid: 1, command: "sleep".into(), rss_bytes: Some(2_000_000), ..ProcessInfo::default() };
    let scene = Scene { process, ..Scene::default() };
    (scene.profile(), scene.symbols)
}

/// Names that would drive a terminal or reorder the line.
pub(crate) fn hostile() -> (Profile, SymbolTable) {
    let mut scene = Scene::default();
    scene.process.pid = 666;
    scene.process.command = "evil\u{1b}[2J\u{1b}]0;owned\u{7}\r\nLosses  none".into();
    scene.sample(&["f\u{1b}[31m\u{202e}gpj.exe@/tmp/\u{9b}31m\u{2066}lib.so@a\nb.c:1", "\u{200b}@/tmp/x"], 1, 10, 0);
    (scene.profile(), scene.symbols)
}

/// Memory grows, and no allocation was seen.
pub(crate) fn unseen() -> (Profile, SymbolTable) {
    let note = "RSS grew by 120.0 MiB, but no allocation was seen: the allocator\u{1b} may be linked statically";
    let process = ProcessInfo {
        pid: 8,
        command: "stripped".into(),
        rss_bytes: Some(130_000_000),
        notes: vec![note.into()],
        ..ProcessInfo::default()
    };
    let scene = Scene { process, ..Scene::default() };
    (scene.profile(), scene.symbols)
}

/// No symbol table in any file.
pub(crate) fn no_symbols() -> (Profile, SymbolTable) {
    let process = ProcessInfo { pid: 9, command: "stripped".into(), ..ProcessInfo::default() };
    let mut scene = Scene { process, ..Scene::default() };
    scene.sample(&["0x52e@/opt/stripped", "0x29d90@/usr/lib/libc.so.6"], 3, 1_000, 0);
    (scene.profile(), scene.symbols)
}

/// The same process with others that it has started: some have ended, and hold nothing any more.
pub(crate) fn family() -> (Profile, SymbolTable) {
    let (mut profile, symbols) = typical();
    let other = |pid, command: &str, exited, further, totals| TracedProcess {
        info: ProcessInfo { pid, command: command.into(), exited, ..ProcessInfo::default() },
        started_at: None,
        totals: Some(totals),
        further,
    };
    let totals = |blocks, bytes, freed_blocks, freed_bytes, peak_bytes| ProcessTotals {
        current_bytes: bytes - freed_bytes,
        peak_bytes,
        stats: AllocStats {
            allocated_blocks: blocks,
            allocated_bytes: bytes,
            freed_blocks,
            freed_bytes,
            ..AllocStats::default()
        },
        ..ProcessTotals::default()
    };
    profile.others = vec![
        other(5001, "cc1 -quiet a.c", true, 0, totals(9, 9000, 9, 9000, 7000)),
        other(5002, "sh -c \u{1b}[2J", false, 0, totals(9, 9000, 7, 7000, 7000)),
        other(0, "rm (150 processes)", true, 149, totals(300, 600, 300, 600, 8)),
    ];
    (profile, symbols)
}
