//! Tests of address spaces, with real processes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use super::*;
use crate::process::elf::ElfFile;

/// A program that loads and unloads a library on demand and says where its function is.
const LOADER: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
    char line[16];
    void *library = 0;
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'o') { library = dlopen(argv[1], RTLD_NOW); printf("%p\n", dlsym(library, "function")); }
        if (line[0] == 'c') { printf("%d\n", dlclose(library)); }
        fflush(stdout);
    }
}"#;

struct Loader {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Loader {
    fn start(directory: &Path, library: &str) -> Self {
        compile(directory, library, "int function(void) { return 7; }", &["-shared", "-fPIC"]);
        compile(directory, "loader", LOADER, &["-ldl"]);
        let mut child = Command::new(directory.join("loader"))
            .arg(directory.join(library))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn ask(&mut self, order: &str) -> u64 {
        writeln!(self.input, "{order}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        u64::from_str_radix(answer.trim().trim_start_matches("0x"), 16).unwrap()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn compile(directory: &Path, name: &str, source: &str, options: &[&str]) {
    let input = directory.join("source.c");
    fs::write(&input, source).unwrap();
    let status = Command::new("cc").arg("-o").arg(directory.join(name)).arg(&input).args(options).status().unwrap();
    assert!(status.success());
}

fn space_of(pid: u32) -> AddressSpace {
    let mut space = AddressSpace::of_pid(pid).unwrap();
    space.refresh().unwrap();
    space
}

/// A library that is loaded, deleted, unloaded, and whose process exits, stays known and readable.
#[test]
fn library_outlives_its_mapping_its_file_and_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let library = "odd\nna me.so";
    let mut loader = Loader::start(directory.path(), library);
    let mut space = space_of(loader.child.id());
    let function = loader.ask("o");
    assert_eq!(space.locate(function + 1), None);
    let path = directory.path().join(library);
    let inode = fs::metadata(&path).unwrap().ino();
    fs::remove_file(&path).unwrap();
    space.refresh().unwrap();
    let location = space.locate(function + 1).unwrap();
    assert_eq!(space.modules().path(location.module).as_ref(), path.to_str().unwrap());
    let known = space.files().into_iter().find(|file| file.module == location.module).unwrap();
    assert!(known.deleted);
    match &known.file {
        Some(file) => assert_eq!(file.metadata().unwrap().ino(), inode),
        None => eprintln!("not checked: no permission for /proc/PID/map_files"),
    }
    assert_eq!(loader.ask("c"), 0);
    space.refresh().unwrap();
    assert_eq!(space.locate(function + 1), Some(location));
    drop(loader);
    assert!(space.refresh().is_err());
    assert_eq!(space.locate(function + 1), Some(location));
}

/// The program of a process in another mount namespace is opened although its path leads nowhere here.
#[test]
fn other_mount_namespace_is_seen_through() {
    let directory = tempfile::tempdir().unwrap();
    compile(directory.path(), "loader", LOADER, &["-ldl"]);
    let hidden = directory.path().join("hidden");
    fs::create_dir(&hidden).unwrap();
    let script = "mount -t tmpfs none \"$2\" && cp \"$1\" \"$2\" && echo ready && exec \"$2/loader\"";
    let started = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([&directory.path().join("loader"), &hidden])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else { return eprintln!("skipped: no unshare command") };
    let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut loader = Loader { child, input, output };
    let mut line = String::new();
    loader.output.read_line(&mut line).unwrap();
    if line != "ready\n" {
        return eprintln!("skipped: no permission to make a mount namespace");
    }
    let target = match TargetProcess::open(loader.child.id()) {
        Ok(target) => target,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    while fs::read_link(format!("/proc/{}/exe", target.pid())).unwrap() != hidden.join("loader") {
        std::thread::yield_now();
    }
    let mut space = AddressSpace::new(&target).unwrap();
    space.refresh().unwrap();
    let program = space.files().into_iter().find(|file| file.path.ends_with("/hidden/loader")).unwrap();
    assert!(!hidden.join("loader").exists());
    let expected = fs::metadata(directory.path().join("loader")).unwrap().len();
    assert_eq!(program.file.as_ref().unwrap().metadata().unwrap().len(), expected);
}

/// A new mapping takes the place of an old one, and an exec forgets all.
#[test]
fn later_mappings_replace_earlier_ones() {
    let mut space = AddressSpace::of_pid(std::process::id()).unwrap();
    let pid = std::process::id();
    let map = |address, name: &str, inode| {
        let (length, file_offset, device) = (0x1000, 0x4000, 1);
        MappingEvent::Map(MapEvent { pid, address, length, file_offset, device, inode, name: name.into() })
    };
    space.apply(&map(0x10000, "/first.so", 1));
    let first = space.locate(0x10001).unwrap();
    assert_eq!((&**space.modules().path(first.module), first.offset), ("/first.so", 0x4001));
    // A call that is the last instruction of a mapping returns behind it.
    assert_eq!(space.locate(0x11000), Some(Location { offset: 0x5000, ..first }));
    assert_eq!(space.locate(0x10000), None);
    space.apply(&map(0x10000, "/second.so", 2));
    assert_eq!(&**space.modules().path(space.locate(0x10001).unwrap().module), "/second.so");
    space.apply(&map(0x10000, "//anon", 0));
    assert_eq!(space.locate(0x10001), Some(Location { module: ModuleId::UNKNOWN, offset: 0x10001 }));
    space.apply(&MappingEvent::Exec { pid: 1 });
    assert!(space.locate(0x10001).is_some());
    space.apply(&MappingEvent::Exec { pid });
    assert_eq!(space.locate(0x10001), None);
}

/// Each file is opened once, however many mappings it has, and is the one that is mapped.
#[test]
fn files_of_this_process_are_opened_once() {
    let space = space_of(std::process::id());
    let executable = fs::metadata(std::env::current_exe().unwrap()).unwrap();
    let own: Vec<_> = space.files().into_iter().filter(|file| file.inode == executable.ino()).collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0].file.as_ref().unwrap().metadata().unwrap().dev(), executable.dev());
    let vdso = space.files().into_iter().find(|file| &*file.path == "[vdso]").unwrap();
    assert!(vdso.file.as_ref().unwrap().metadata().unwrap().len() >= 4096);
    let here = files_of_this_process_are_opened_once as *const () as u64;
    assert_eq!(space.locate(here + 1).unwrap().module, own[0].module);
}

/// A process with 30,000 executable mappings is taken in without a pause that a user would notice.
#[expect(unsafe_code, reason = "mapping a file many times")]
#[test]
fn many_mappings_are_handled() {
    const MAPPINGS: usize = 30_000;
    let own = File::open(std::env::current_exe().unwrap()).unwrap();
    let page = 4096;
    // Pages that alternate between two protections cannot be merged by the kernel.
    // SAFETY: a new private mapping of a file of ours, which nothing else uses; it is unmapped below.
    let base = unsafe {
        let file = std::os::fd::AsRawFd::as_raw_fd(&own);
        libc::mmap(std::ptr::null_mut(), MAPPINGS * 2 * page, libc::PROT_READ, libc::MAP_PRIVATE, file, 0)
    };
    assert_ne!(base, libc::MAP_FAILED);
    for index in 0..MAPPINGS {
        // SAFETY: the page lies in the mapping made above.
        let changed =
            unsafe { libc::mprotect(base.byte_add(index * 2 * page), page, libc::PROT_READ | libc::PROT_EXEC) };
        assert_eq!(changed, 0);
    }
    let mut space = AddressSpace::of_pid(std::process::id()).unwrap();
    let started = std::time::Instant::now();
    space.refresh().unwrap();
    space.refresh().unwrap();
    let elapsed = started.elapsed();
    eprintln!("two refreshes of {MAPPINGS} mappings: {elapsed:?}");
    let address = base as u64 + (MAPPINGS as u64 - 2) * 2 * page as u64 + 5;
    let location = space.locate(address).unwrap();
    assert_eq!(location.offset, (MAPPINGS as u64 - 2) * 2 * page as u64 + 5);
    // SAFETY: the mapping made above, which nothing uses any more.
    unsafe { libc::munmap(base, MAPPINGS * 2 * page) };
    // Well below a second; the bound leaves room for an unoptimised build on a busy machine and none for a quadratic
    // search.
    assert!(elapsed.as_secs() < 15, "{elapsed:?}");
}

/// Each mapped file's build id is that of the file itself.
#[test]
fn build_ids_are_read() {
    let space = space_of(std::process::id());
    let own = fs::canonicalize("/proc/self/exe").unwrap();
    let expected = ElfFile::open(&own).unwrap().build_id().unwrap();
    let modules = space.modules();
    let module = modules.iter().find(|(_, module)| Path::new(&*module.path) == own).unwrap().1;
    assert!(expected.is_some());
    assert_eq!(module.build_id.as_deref(), expected.as_deref());
}
