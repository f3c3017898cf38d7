//! A build of a project by several processes at a time, under tracing: each of them is accounted for, exactly, and the build
//! does what it does untraced.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
};

use memtrace::{
    profile::{Coverage, LossReason, Profile, TracedProcess},
    tracer::{Accelerator, Follow, TracerOptions},
};

use crate::support::{is_without, options, program_with, run_traced};

/// Source files of the project.
const SOURCES: usize = 30;

/// Bytes of a record of the census, and of its file: see tests/programs/census.c.
const RECORD: usize = 32;
const RECORDS: u64 = 65536;

/// What one image of a process has done: blocks, bytes, frees.
type Numbers = (u64, u64, u64);

/// A directory that is removed in the end.
struct Project(PathBuf);

impl Project {
    /// A program of some files, each of which is compiled by itself, and what makes it.
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _none = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a directory");
        let mut main = String::new();
        let mut body = String::new();
        for number in 0..SOURCES {
            let text = format!("#include <stdio.h>\nint part{number}(int n) {{ return n * {number} + getchar(); }}\n");
            fs::write(directory.join(format!("part{number}.c")), text).expect("a source");
            writeln!(main, "int part{number}(int);").expect("a string grows");
            write!(body, " + part{number}(1)").expect("a string grows");
        }
        fs::write(directory.join("main.c"), format!("{main}int main(void) {{ return 0{body}; }}\n")).expect("a source");
        let rules = "OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))\nprogram: parts.a\n\tcc -o $@ main.o parts.a\n\
                     parts.a: $(OBJECTS)\n\tar rc $@ $^\n%.o: %.c\n\tcc -O1 -c -o $@ $<\n";
        fs::write(directory.join("Makefile"), rules).expect("a makefile");
        Self(directory)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The census of all images of processes that have allocated, by process, each in the order of its images.
fn census(file: &Path) -> BTreeMap<u32, Vec<Numbers>> {
    let bytes = fs::read(file).expect("the census");
    let word = |record: &[u8], at: usize| u64::from_ne_bytes(record[8 * at..8 * at + 8].try_into().expect("a word"));
    let records: Vec<&[u8]> = bytes.chunks_exact(RECORD).collect();
    let used = usize::try_from(word(records[0], 1)).expect("a number");
    let mut all: BTreeMap<u32, Vec<Numbers>> = BTreeMap::new();
    for record in &records[1..=used] {
        let numbers = (word(record, 1), word(record, 2), word(record, 3));
        if numbers.0 > 0 {
            all.entry(u32::try_from(word(record, 0)).expect("an id")).or_default().push(numbers);
        }
    }
    all
}

/// The same as traced.
fn traced(profile: &Profile) -> BTreeMap<u32, Vec<Numbers>> {
    let others = profile.others.iter().map(|process| (process.info.pid, process.totals.expect("counters")));
    // The image that the process has in the end comes last.
    let images = others.chain([(profile.process.pid, profile.own_totals)]);
    let mut all: BTreeMap<u32, Vec<Numbers>> = BTreeMap::new();
    for (pid, totals) in images.filter(|(_, totals)| totals.stats.allocated_blocks > 0) {
        let stats = totals.stats;
        // What is freed of what a parent has allocated is no block of the process's own.
        let frees = stats.freed_blocks + totals.unknown_frees;
        all.entry(pid).or_default().push((stats.allocated_blocks, stats.allocated_bytes, frees));
    }
    all
}

/// Every process of a parallel build is there, none is missing, and what each has allocated and freed is what a library
/// preloaded into it has counted; stacks of compilers are whole once their files are known; the
/// program is built.
#[test]
fn every_process_of_a_parallel_build_is_accounted_for() {
    let project = Project::new("parallel-build");
    let file = project.0.join("census");
    File::create(&file).and_then(|file| file.set_len((1 + RECORDS) * RECORD as u64)).expect("a census");
    let define = format!("-DCENSUS=\"{}\"", file.display());
    let library = program_with("census", "census.so", &["-shared", "-fPIC", &define]);
    let preload = format!("LD_PRELOAD={}", library.display());
    let directory = project.0.to_str().expect("UTF-8");
    // The pause is no wait for an event: that memtrace has caught up is told to nobody, least of all to a shell (see AFTERWARDS).
    let script = format!(
        "cd '{directory}' && make -j2 program && for number in $(seq {AFTERWARDS}); do sleep 0.1; cc -O1 -c -o again.o part0.c || exit; done"
    );
    let words = ["env", &preload, "sh", "-c", &script];
    let outcome = run_traced(&words, &TracerOptions { follow: Follow::Children, ..options() });
    assert!(outcome.status.success() && project.0.join("program").exists(), "{:?}", outcome.status);
    let profile = &outcome.profile;
    let (counted, mut traced) = (census(&file), traced(profile));
    // The first image, `env`, runs without the library.
    traced.get_mut(&profile.process.pid).expect("the build's own").remove(0);
    assert!(counted.len() > 3 * SOURCES, "{} processes", counted.len());
    let differing: Vec<_> = counted.iter().filter(|(pid, images)| traced.get(pid) != Some(images)).collect();
    assert!(differing.is_empty(), "census: {differing:?}\ntraced: {traced:?}");
    assert_eq!(counted.len(), traced.len());
    // The preloaded library is probed once it is met; the C library below it is from the start.
    assert_eq!(profile.losses.total(), profile.losses.count(LossReason::LateProbes), "{:?}", profile.losses);
    // Compilers have no frame pointers.
    let coverage = coverage_of_last_compilers(profile);
    assert!(coverage.incomplete < 0.05 || is_without(Accelerator::BpfLoop), "{coverage:?}");
}

/// Compilers that run one after the other when all is built, with a pause before each: on a slow or busy machine, too, memtrace has
/// made tables of their files by then, and has given back the room that the build's stacks have taken.
const AFTERWARDS: usize = 24;

/// How much of what the last of the compilers have allocated has whole stacks: by then, tables of all their files have been
/// made.
fn coverage_of_last_compilers(profile: &Profile) -> Coverage {
    let is_compiler = |(_, process): &(u32, &TracedProcess)| process.info.command.contains("cc1");
    let compilers: Vec<u32> = (1..).zip(&profile.others).filter(is_compiler).map(|(index, _)| index).collect();
    assert!(compilers.len() > SOURCES + AFTERWARDS, "{} compilers", compilers.len());
    let last = &compilers[compilers.len() - AFTERWARDS / 4..];
    let samples: Vec<_> = profile.samples.iter().filter(|sample| last.contains(&sample.process.0)).cloned().collect();
    Coverage::of(&samples)
}
