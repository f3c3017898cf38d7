//! Tests of the symbolizer, with files compiled on the spot.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path, process::Command, sync::OnceLock};

use object::{Object, ObjectSegment, ObjectSymbol};
use proptest::prelude::*;

use super::*;
use crate::profile::ModuleId;

const PROGRAM: &str = "static int twice(int x);
__attribute__((noinline)) int leaf(int x) { __asm__ volatile(\"\"); return x + 1; }
static inline __attribute__((always_inline)) int middle(int x) {
    return leaf(x) + 2;
}
__attribute__((noinline)) int outer(int x) {
    return middle(x) * 3;
}
int main(int argc, char **argv) { (void)argv; return outer(argc) + twice(argc); }
static __attribute__((noinline)) int twice(int x) { return leaf(x) * 2; }
";

fn compile(directory: &Path, options: &[&str]) -> Arc<File> {
    let (source, program) = (directory.join("program.c"), directory.join("program"));
    fs::write(&source, PROGRAM).unwrap();
    let status = Command::new("cc").arg("-o").arg(&program).arg(&source).args(options).status().unwrap();
    assert!(status.success());
    Arc::new(File::open(program).unwrap())
}

/// File offsets of a function's first byte and of the byte after its last.
fn extent(data: &[u8], name: &str) -> (u64, u64) {
    let parsed = object::File::parse(data).unwrap();
    let symbol = parsed.symbols().chain(parsed.dynamic_symbols()).find(|symbol| symbol.name() == Ok(name)).unwrap();
    let segment = parsed
        .segments()
        .find(|segment| (segment.address()..segment.address() + segment.size()).contains(&symbol.address()))
        .unwrap();
    let offset = symbol.address() - segment.address() + segment.file_range().0;
    (offset, offset + symbol.size())
}

fn bytes(file: &File) -> Vec<u8> {
    fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file))).unwrap()
}

fn resolve(symbolizer: &Symbolizer, file: &Arc<File>, offset: u64, detail: Detail) -> Arc<[Frame]> {
    let location = Location { module: ModuleId(1), offset };
    let queries = vec![Query { location, file: Some(Arc::clone(file)) }];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let answers = runtime.block_on(symbolizer.resolve(queries, detail));
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].0, location);
    Arc::clone(&answers[0].1)
}

fn names(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.function.as_deref().unwrap_or("?")).collect()
}

/// A return address behind a function's last call still belongs to that function, though the next one begins there.
#[test]
fn return_address_belongs_to_the_caller() {
    let directory = tempfile::tempdir().unwrap();
    let file = compile(directory.path(), &["-O1"]);
    let (start, end) = extent(&bytes(&file), "outer");
    let symbolizer = Symbolizer::start().unwrap();
    assert_eq!(names(&resolve(&symbolizer, &file, end, Detail::Names)), ["outer"]);
    assert_eq!(names(&resolve(&symbolizer, &file, start + 1, Detail::Names)), ["outer"]);
    assert_ne!(names(&resolve(&symbolizer, &file, start, Detail::Names)), ["outer"]);
    assert_eq!(resolve(&symbolizer, &file, u64::MAX, Detail::Names).len(), 0);
}

/// With lines asked for, an inlined call is a frame of its own, inner before outer, each with its line.
#[test]
fn inlined_calls_have_their_own_frames() {
    let directory = tempfile::tempdir().unwrap();
    let file = compile(directory.path(), &["-O1", "-g"]);
    let (start, end) = extent(&bytes(&file), "outer");
    // The file is gone from its directory: only the descriptor leads to it.
    fs::remove_file(directory.path().join("program")).unwrap();
    let symbolizer = Symbolizer::start().unwrap();
    let deepest = (start + 1..=end)
        .map(|offset| resolve(&symbolizer, &file, offset, Detail::Lines))
        .max_by_key(|frames| frames.len())
        .unwrap();
    assert_eq!(names(&deepest), ["middle", "outer"]);
    assert_eq!(deepest.iter().map(|frame| frame.inlined).collect::<Vec<_>>(), [true, false]);
    let lines: Vec<u32> = deepest.iter().map(|frame| frame.source.as_ref().unwrap().line).collect();
    assert_eq!(lines, [4, 7]);
    assert!(deepest[0].source.as_ref().unwrap().file.ends_with("program.c"));
    assert_eq!(names(&resolve(&symbolizer, &file, end, Detail::Names)), ["outer"]);
}

/// A stripped file's functions are found in its debug file, which its build id and debug link lead to.
#[test]
fn debug_file_is_found_by_build_id() {
    let path = Path::new("/lib/x86_64-linux-gnu/libc.so.6");
    let Ok(file) = File::open(path) else { return eprintln!("skipped: no Debian libc here") };
    let data = bytes(&file);
    let parsed = object::File::parse(&*data).unwrap();
    let id: Vec<String> = parsed.build_id().unwrap().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    let debug = format!("/usr/lib/debug/.build-id/{}/{}.debug", id[0], id[1..].concat());
    let Ok(debug_data) = fs::read(debug) else { return eprintln!("skipped: libc6-dbg is not installed") };
    // A function that the stripped file does not name; its address is the same in both.
    let debug_file = object::File::parse(&*debug_data).unwrap();
    let local = debug_file.symbols().find(|symbol| symbol.name() == Ok("_int_malloc")).unwrap();
    let segment = parsed
        .segments()
        .find(|segment| (segment.address()..segment.address() + segment.size()).contains(&local.address()))
        .unwrap();
    let offset = local.address() - segment.address() + segment.file_range().0 + local.size() / 2;
    let (symbolizer, file) = (Symbolizer::start().unwrap(), Arc::new(file));
    assert_eq!(names(&resolve(&symbolizer, &file, offset, Detail::Names)), ["_int_malloc"]);
    let with_lines = resolve(&symbolizer, &file, offset, Detail::Lines);
    assert_eq!(with_lines.last().unwrap().function.as_deref(), Some("_int_malloc"));
    assert!(with_lines.last().unwrap().source.as_ref().unwrap().file.ends_with("malloc.c"));
}

/// Names are demangled.
#[test]
fn names_are_demangled() {
    let here = names_are_demangled as *const () as u64;
    let mut space = crate::process::AddressSpace::of_pid(std::process::id()).unwrap();
    space.refresh().unwrap();
    let location = space.locate(here + 1).unwrap();
    let file = space.file(location.module).unwrap();
    let frames = resolve(&Symbolizer::start().unwrap(), &file, location.offset, Detail::Names);
    assert_eq!(names(&frames), ["memtrace::symbolize::tests::names_are_demangled"]);
}

/// The kernel's own code in the process has names too.
#[test]
fn vdso_functions_are_named() {
    let mut space = crate::process::AddressSpace::of_pid(std::process::id()).unwrap();
    space.refresh().unwrap();
    let Some(vdso) = space.files().into_iter().find(|file| &*file.path == "[vdso]") else {
        return eprintln!("skipped: none");
    };
    let file = vdso.file.as_ref().unwrap();
    let data = bytes(file);
    let parsed = object::File::parse(&*data).unwrap();
    let symbol = parsed.dynamic_symbols().find(|symbol| symbol.is_definition() && symbol.size() > 1).unwrap();
    let (start, _) = extent(&data, symbol.name().unwrap());
    let frames = resolve(&Symbolizer::start().unwrap(), file, start + 2, Detail::Lines);
    let found = frames[0].function.as_deref().unwrap();
    assert!(parsed.dynamic_symbols().any(|other| other.name() == Ok(found) && other.address() == symbol.address()));
}

/// A location without a file, or with one that is no ELF file, has no frames and is answered.
#[test]
fn no_file_is_no_name() {
    let symbolizer = Symbolizer::start().unwrap();
    let text = Arc::new(File::open(file!().replace("memtrace-user/", "")).unwrap());
    assert_eq!(resolve(&symbolizer, &text, 100, Detail::Names).len(), 0);
    assert_eq!(resolve(&symbolizer, &text, 100, Detail::Lines).len(), 0);
    let location = Location { module: ModuleId(1), offset: 1 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let answers = runtime.block_on(symbolizer.resolve(vec![Query { location, file: None }], Detail::Lines));
    assert_eq!(answers, [(location, Arc::default())]);
}

/// A worker that is stuck is replaced, and the file it was at is left alone; others are still named.
#[test]
fn stuck_worker_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let sound = compile(directory.path(), &["-O1"]);
    let (start, _) = extent(&bytes(&sound), "outer");
    // Opening a fifo again through its descriptor waits until someone writes.
    let path = directory.path().join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let endless = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let location = |module| Location { module: ModuleId(module), offset: start + 1 };
    let queries = vec![
        Query { location: location(1), file: Some(Arc::new(endless)) },
        Query { location: location(2), file: Some(sound) },
    ];
    let symbolizer = Symbolizer::with_timeout(Duration::from_secs(1), Vec::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut answers = runtime.block_on(symbolizer.resolve(queries, Detail::Names));
    answers.sort_by_key(|(location, _)| *location);
    assert_eq!((answers[0].0, answers[0].1.len()), (location(1), 0));
    assert_eq!((answers[1].0, names(&answers[1].1)), (location(2), vec!["outer"]));
    assert_eq!(lock(&symbolizer.worker).generation(), 1);
    // Lets the abandoned thread end.
    drop(File::options().write(true).open(&path).unwrap());
}

fn compiled_once() -> Arc<File> {
    static FILE: OnceLock<Arc<File>> = OnceLock::new();
    Arc::clone(FILE.get_or_init(|| compile(tempfile::tempdir().unwrap().path(), &["-O1", "-g"])))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Damaged files are answered, with or without names, and the worker lives on.
    #[test]
    fn damaged_files_are_survived(damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..200), cut in 0..2000_usize) {
        let directory = tempfile::tempdir().unwrap();
        let sound = compiled_once();
        let mut data = bytes(&sound);
        let (start, _) = extent(&data, "outer");
        for (at, byte) in damage {
            let index = at % data.len();
            data[index] = byte;
        }
        data.truncate(data.len() - cut.min(data.len() / 2));
        let path = directory.path().join("damaged");
        fs::write(&path, data).unwrap();
        let damaged = Arc::new(File::open(path).unwrap());
        let symbolizer = Symbolizer::start().unwrap();
        resolve(&symbolizer, &damaged, start + 1, Detail::Names);
        resolve(&symbolizer, &damaged, start + 1, Detail::Lines);
        let frames = resolve(&symbolizer, &sound, start + 1, Detail::Names);
        prop_assert_eq!(names(&frames), ["outer"]);
    }
}
