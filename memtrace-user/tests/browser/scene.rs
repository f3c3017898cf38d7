//! Snapshots to show, and their exports as files.

use std::{fs::File, io::BufWriter, path::PathBuf};

use memtrace::{
    export::{Export, FORMATS, write},
    profile::{
        AllocStats, Domain, Frame, Location, ModuleId, ProcessIndex, Snapshot, SourceLine, StackEnd, StackSample,
        TracedProcess,
    },
};
use tempfile::TempDir;

/// A snapshot in the making.
pub struct Scene {
    /// What has been added.
    pub snapshot: Snapshot,
    module: ModuleId,
    functions: Vec<String>,
}

impl Scene {
    /// Of one process without a stack.
    pub fn new(command: &str) -> Self {
        let mut snapshot = Snapshot::default();
        let mut process = TracedProcess::default();
        (process.info.pid, process.info.command) = (763, command.into());
        snapshot.processes.push(process);
        let module = snapshot.modules.add("/bin/app");
        Self { snapshot, module, functions: Vec::new() }
    }

    /// The location of a function, which is added if it is new.
    fn location(&mut self, function: &str) -> Location {
        let index = self.functions.iter().position(|known| known == function).unwrap_or(self.functions.len());
        if index == self.functions.len() {
            self.functions.push(function.into());
        }
        self.numbered(index as u64, function)
    }

    fn numbered(&mut self, number: u64, function: &str) -> Location {
        let location = Location { module: self.module, offset: 16 * number };
        let source = Some(SourceLine { file: "/src/app.c".into(), line: 7 });
        let frame = Frame { function: Some(function.into()), source, inlined: false };
        self.snapshot.symbols.insert(location, [frame].into());
        location
    }

    /// Adds blocks of a size, all live, allocated through functions, outermost first.
    pub fn add(&mut self, stack: &[&str], blocks: u64, size: u64) {
        let stack = stack.iter().rev().map(|function| self.location(function)).collect();
        self.push(stack, blocks, size);
    }

    /// Adds a stack of many that differ: `width` functions at each of `depth` levels.
    pub fn add_numbered(&mut self, number: u64, depth: u64, width: u64) {
        let level = |level: u64| (number / width.pow(u32::try_from(level / 3).unwrap())) % width + level * width;
        let ids: Vec<u64> = (0..depth).map(level).rev().collect();
        let stack = ids.into_iter().map(|id| self.numbered(id, &format!("function_{id}"))).collect();
        self.push(stack, 1 + number % 7, 16 + number % 1000);
    }

    fn push(&mut self, stack: Vec<Location>, blocks: u64, size: u64) {
        let stats = AllocStats { allocated_blocks: blocks, allocated_bytes: blocks * size, ..AllocStats::default() };
        self.snapshot.samples.push(StackSample {
            stack: stack.into(),
            end: StackEnd::Whole,
            domain: Domain::Malloc,
            process: ProcessIndex(0),
            thread: None,
            stats,
        });
    }

    /// The snapshot in a format, as a file that is gone with the directory.
    pub fn export(&self, format: &str) -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(format!("export.{format}"));
        let exporter = FORMATS.iter().find(|known| known.name() == format).expect("a format of that name");
        let mut file = BufWriter::new(File::create(&path).expect("a file"));
        write(*exporter, &Export::of(&self.snapshot), &mut file).expect("it can be exported");
        (directory, path)
    }
}

/// Names that a page or a picture must not take for markup or code.
pub const HOSTILE: [&str; 5] = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "\"'`${window.hacked = 1}`]]>&lt;",
    "line\u{2028}\u{2029}\u{202e}ends",
    "\u{1b}[2J\0\u{fffe}",
];

/// A snapshot of hostile names.
pub fn hostile() -> Scene {
    let mut scene = Scene::new(&HOSTILE.concat());
    for name in HOSTILE {
        scene.add(&["main", name], 1, 1000);
    }
    scene
}
