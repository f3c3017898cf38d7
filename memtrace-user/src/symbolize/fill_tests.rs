//! Snapshots without names are completed from files that certainly are theirs, with programs compiled on the spot.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

use super::*;
use crate::{
    process::elf::ElfFile,
    profile::{AllocStats, Domain, ProcessIndex, Snapshot, StackEnd, StackSample},
};

const PROGRAM: &str = "#include <stdlib.h>
static inline __attribute__((always_inline)) void *make(void) {
    return malloc(10);
}
__attribute__((noinline)) void *load(void) { void *made = make(); __asm__ volatile(\"\" ::: \"memory\"); return made; }
int main(void) { return load() == 0; }
";

struct Build {
    directory: TempDir,
    /// An offset in `load`, behind its call of malloc.
    snapshot: Snapshot,
}

impl Build {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.directory.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn fill(&self, debug_dirs: &[PathBuf]) -> (Snapshot, Filled) {
        let mut snapshot = self.snapshot.clone();
        let files = LocalFiles::new(debug_dirs);
        let symbolizer = Symbolizer::with_debug_dirs(files.debug_dirs().to_vec()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let filled = runtime.block_on(fill(&mut snapshot, &files, &symbolizer, |_, _, _| {}));
        (snapshot, filled)
    }
}

/// Compiles the program and makes a snapshot of one stack in it, without names.
fn build() -> Build {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("program.c"), PROGRAM).unwrap();
    let mut build = Build { directory, snapshot: Snapshot::default() };
    build.run("cc", &["-g", "-O1", "-fno-optimize-sibling-calls", "-Wl,--build-id", "-o", "program", "program.c"]);
    let disassembly = build.run("objdump", &["-d", "--no-show-raw-insn", "program"]);
    let load = disassembly.split("<load>:").nth(1).unwrap();
    let after_call = load.lines().skip_while(|line| !line.contains("malloc")).nth(1).unwrap();
    let address = u64::from_str_radix(after_call.split(':').next().unwrap().trim(), 16).unwrap();
    let elf = ElfFile::open(&build.path("program")).unwrap();
    let (offset, _) = elf.offset_of(address).unwrap();
    let path = build.path("program").to_str().unwrap().into();
    let build_id = elf.build_id().unwrap().map(Into::into);
    let module = build.snapshot.modules.push(Module { path, build_id });
    let sample = StackSample {
        stack: [Location { module, offset }].into(),
        end: StackEnd::Incomplete,
        domain: Domain::Malloc,
        process: ProcessIndex(0),
        thread: None,
        stats: AllocStats { allocated_blocks: 1, allocated_bytes: 10, ..AllocStats::default() },
    };
    build.snapshot.samples = vec![sample];
    build
}

fn names(snapshot: &Snapshot) -> Vec<(String, u32)> {
    let frames = snapshot.symbols.frames(snapshot.samples[0].stack[0]).iter();
    let line = |frame: &Frame| frame.source.as_ref().map_or(0, |source| source.line);
    frames.map(|frame| (frame.function.as_deref().unwrap_or("?").to_owned(), line(frame))).collect()
}

fn with_lines() -> Vec<(String, u32)> {
    vec![("make".into(), 3), ("load".into(), 5)]
}

/// The program at the module's path gives functions, lines and inlined functions, and there is nothing to do after that.
#[test]
fn program_at_its_path_is_used() {
    let mut build = build();
    let (snapshot, filled) = build.fill(&[]);
    assert_eq!(names(&snapshot), with_lines());
    assert_eq!(filled, Filled { wanted: 1, completed: 1, not_found: vec![] });
    build.snapshot = snapshot;
    assert_eq!(build.fill(&[]).1, Filled::default());
}

/// A stripped program gives what it exports, and all with its debug file in a debug directory.
#[test]
fn debug_files_are_found_by_build_id() {
    let build = build();
    let [_, debug] = super::super::local_files::by_build_id(
        &build.path("debug"),
        build.snapshot.modules.module(ModuleId(1)).build_id.as_ref().unwrap(),
    );
    fs::create_dir_all(debug.parent().unwrap()).unwrap();
    let debug = debug.to_str().unwrap();
    build.run("objcopy", &["--only-keep-debug", "program", debug]);
    build.run("objcopy", &["--strip-all", &format!("--add-gnu-debuglink={debug}"), "program", "stripped"]);
    fs::rename(build.path("stripped"), build.path("program")).unwrap();
    assert_eq!(names(&build.fill(&[]).0), []);
    assert_eq!(names(&build.fill(&[build.path("debug")]).0), with_lines());
    fs::remove_file(build.path("program")).unwrap();
    let (snapshot, filled) = build.fill(&[build.path("debug")]);
    assert_eq!(names(&snapshot), []);
    assert!(matches!(filled.not_found[..], [(_, 1, NotFound::DebugOnly(_))]), "{filled:?}");
}

/// A program that was moved is found by its name in a debug directory.
#[test]
fn moved_program_is_found_by_name() {
    let build = build();
    fs::create_dir(build.path("elsewhere")).unwrap();
    fs::rename(build.path("program"), build.path("elsewhere/program")).unwrap();
    let (_, filled) = build.fill(&[]);
    assert!(matches!(filled.not_found[..], [(_, 1, NotFound::Nowhere)]), "{filled:?}");
    assert_eq!(names(&build.fill(&[build.path("elsewhere")]).0), with_lines());
}

/// Another build at the same path, or a module of unknown build, is never used.
#[test]
fn other_builds_are_not_used() {
    let mut build = build();
    fs::write(build.path("program.c"), PROGRAM.replace("10", "11")).unwrap();
    build.run("cc", &["-g", "-O1", "-Wl,--build-id", "-o", "program", "program.c"]);
    let (snapshot, filled) = build.fill(&[]);
    assert_eq!(names(&snapshot), []);
    assert!(matches!(filled.not_found[..], [(_, 1, NotFound::OtherBuild(_))]), "{filled:?}");
    build.snapshot.modules.set_build_id(ModuleId(1), None);
    assert!(matches!(build.fill(&[]).1.not_found[..], [(_, 1, NotFound::NoBuildId)]));
}

/// A path in a profile that leads to a pipe or a directory holds nothing up.
#[test]
fn odd_paths_are_passed_over() {
    let mut build = build();
    fs::remove_file(build.path("program")).unwrap();
    nix::unistd::mkfifo(&build.path("program"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert!(matches!(build.fill(&[]).1.not_found[..], [(_, 1, NotFound::Nowhere)]));
    let build_id = build.snapshot.modules.module(ModuleId(1)).build_id.clone();
    for path in ["/", "/dev/zero", "relative", "", "[stack]", "/../../etc/passwd/"] {
        let module = build.snapshot.modules.push(Module { path: path.into(), build_id: build_id.clone() });
        build.snapshot.samples[0].stack = [Location { module, offset: 1 }].into();
        assert_eq!(build.fill(&[]).1.not_found.len(), 1, "{path}");
    }
}
