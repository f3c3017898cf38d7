//! Stacks of real programs that lack frame pointers, against libgcc's unwinder in the same process: a preloaded library
//! records `backtrace()` after every malloc. Each stack must be the same frame for frame, with the same count and bytes.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use memtrace::{
    profile::{Modules, Profile, StackEnd, SymbolTable},
    tracer::{Accelerator, CodeMapping, FileTable, Tracer, TracerOptions, UnwindMode},
    unwind::UnwindTable,
};

use crate::{
    numbers::run_attached,
    support::{is_without, options, program_with},
};

/// A stack from the caller of malloc outwards: file and offset of each return address.
type Stack = Vec<(String, u64)>;

/// Calls and bytes of each stack.
type Stacks = HashMap<Stack, (u64, u64)>;

/// One line a program: a name, and how it is run. All come from Debian's packages, built without frame pointers.
/// `CC1` and `NGINX_CONF` are put in by the test.
const PROGRAMS: &[(&str, &[&str])] = &[
    (
        "python3",
        &["/usr/bin/python3", "-c", "import json, re; print(len(json.dumps([{'a': str(i)} for i in range(3000)])))"],
    ),
    ("perl", &["perl", "-e", "my %h; $h{$_} = [1..5] for 1..3000; print scalar(keys %h), qq(\\n)"]),
    (
        "sqlite3",
        &[
            "sqlite3",
            ":memory:",
            "create table t(a); insert into t select value from generate_series(1,3000); select count(*) from t",
        ],
    ),
    ("git", &["git", "--no-pager", "log", "--stat", "-n", "3"]),
    ("jq", &["jq", "-n", "[range(3000)|tostring]|length"]),
    ("xz", &["xz", "--info-memory", "--verbose"]),
    ("sort", &["sort", "/usr/include/stdlib.h"]),
    ("gcc", &["gcc", "-E", "-include", "stdio.h", "/dev/null", "-o", "/dev/null"]),
    (
        "cc1",
        &["CC1", "-quiet", "-O1", "-imultiarch", "MULTIARCH", "-include", "stdlib.h", "/dev/null", "-o", "/dev/null"],
    ),
    ("clang", &["clang", "-x", "c", "-O1", "-S", "-include", "stdlib.h", "/dev/null", "-o", "/dev/null"]),
    ("node", &["node", "-e", "for (let i = 0; i < 30; i++) JSON.stringify(Buffer.alloc(10000 + i))"]),
    ("postgres", &["postgres", "--describe-config"]),
    ("nginx", &["nginx", "-e", "/dev/null", "-T", "-c", "NGINX_CONF"]),
    ("gdb", &["gdb", "--batch", "-ex", "print 1"]),
    ("bash", &["bash", "-c", "declare -A a; for i in {1..500}; do a[$i]=x$i; done; echo ${#a[@]}"]),
];

/// Name of the directory that Debian has this machine's headers in.
const MULTIARCH: &str = if cfg!(target_arch = "aarch64") { "aarch64-linux-gnu" } else { "x86_64-linux-gnu" };

/// Frames of the preloaded library before the caller: the recording function and its malloc.
const OWN_FRAMES: usize = 2;

/// Frames that memtrace keeps beside those.
const KEPT_FRAMES: usize = 127 - OWN_FRAMES;

/// What the library's mappings, written at the program's end, do not have: V8 unmaps its code before. It is where libgcc
/// ended, and is left out.
const UNKNOWN: &str = "[unknown]";

/// Every recorded stack of fifteen real programs is libgcc's, frame for frame, with the same calls and bytes. libgcc
/// ends where it finds no unwind information, in code compiled at run time and V8's built-in functions; what memtrace
/// has beyond that does not count.
#[test]
fn stacks_of_real_programs_are_those_of_libgcc() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let library = oracle_library();
    let (mut total, mut few) = (0, Vec::new());
    for (name, words) in PROGRAMS {
        let (calls, same) = compare(&library, name, words);
        total += calls;
        if same * 1000 < calls * 995 {
            few.push((name, same, calls));
        }
    }
    println!("{total} calls in all");
    assert!(total > 10_000, "only {total} calls");
    assert!(few.is_empty(), "too few of the calls have the same stack: {few:?}");
}

/// Exceptions, jumps, contexts of ucontext.h, hand-made stacks, a signal handler on a stack of its own and cancelled
/// threads, all at once and allocating: every stack is libgcc's, and the program comes to its end.
#[test]
fn unusual_control_flow_is_followed() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let program = program_with("unusual", "unusual", &["-fomit-frame-pointer"]);
    let (calls, same) = compare(&oracle_library(), "unusual", &[program.to_str().expect("UTF-8")]);
    assert!(calls > 5_000, "only {calls} calls");
    assert_eq!(same, calls);
}

/// The library that records stacks.
fn oracle_library() -> PathBuf {
    program_with("backtrace_oracle", "backtrace_oracle.so", &["-shared", "-fPIC", "-fomit-frame-pointer"])
}

/// Runs a program; returns its recorded calls, and how many of them have the same stack.
fn compare(library: &Path, name: &str, words: &[&str]) -> (u64, u64) {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("oracle-{name}"));
    let preload = format!("LD_PRELOAD={}", library.display());
    let file = format!("ORACLE_OUT={}", out.display());
    let mut command = vec!["env", &preload, &file];
    let (cc1, configuration) = (cc1(), nginx_configuration());
    command.extend(words.iter().map(|word| match *word {
        "CC1" => cc1.as_str(),
        "MULTIARCH" => MULTIARCH,
        "NGINX_CONF" => configuration.as_str(),
        word => word,
    }));
    assert_eq!(options().unwind, UnwindMode::Auto);
    let native = TracerOptions { native_only: true, ..options() };
    let outcome = run_attached(&command, &native);
    assert!(outcome.status.success(), "{name}: {:?}", outcome.status);
    let expected = oracle(&out);
    let seen = cut_as(&expected, recorded(&outcome.profile, &outcome.symbols));
    let calls: u64 = expected.values().map(|(calls, _)| calls).sum();
    let same: u64 =
        expected.iter().filter(|(stack, sums)| seen.get(*stack) == Some(sums)).map(|(_, (calls, _))| calls).sum();
    println!(
        "{name}: {} stacks, {calls} calls, {same} the same; losses {}",
        expected.len(),
        outcome.profile.losses.total()
    );
    for (stack, sums) in expected.iter().filter(|(stack, sums)| seen.get(*stack) != Some(sums)).take(20) {
        explain(stack, *sums, &seen);
    }
    let _ = fs::remove_file(&out);
    (calls, same)
}

/// Prints where the nearest of memtrace's stacks leaves one that was expected.
fn explain(stack: &Stack, sums: (u64, u64), seen: &Stacks) {
    let common = |other: &Stack| stack.iter().zip(other).take_while(|(one, other)| one == other).count();
    let nearest = seen.keys().max_by_key(|other| common(other));
    let length = nearest.map_or(0, common);
    println!(
        "  libgcc {sums:?}: {} frames, {length} in common, then {:x?}; memtrace {:?}, then {:x?}",
        stack.len(),
        stack.get(length),
        seen.get(stack),
        nearest.and_then(|other| other.get(length)),
    );
}

/// The compiler proper, which has no place on PATH.
fn cc1() -> String {
    let said = Command::new("gcc").arg("-print-prog-name=cc1").output().expect("gcc runs");
    String::from_utf8(said.stdout).expect("UTF-8").trim().to_owned()
}

/// A configuration that needs nothing of the machine.
fn nginx_configuration() -> String {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle-nginx.conf");
    let servers = (0..50).map(|number| format!("server {{ listen 127.0.0.1:1; server_name host{number}.test; }}"));
    let text = format!("pid /dev/null; events {{}}\nhttp {{\n{}\n}}\n", servers.collect::<Vec<_>>().join("\n"));
    fs::write(&file, text).expect("written");
    file.to_str().expect("UTF-8").to_owned()
}

/// Stacks that go on where those expected end, cut there. memtrace keeps the address that a signal interrupted one byte
/// further, so that all addresses are looked up alike.
fn cut_as(expected: &Stacks, seen: Stacks) -> Stacks {
    let mut cut = Stacks::new();
    for (mut stack, (calls, bytes)) in seen {
        for frame in 0..stack.len() {
            stack[frame].1 -= 1;
            if expected.contains_key(&stack) {
                break;
            }
            stack[frame].1 += 1;
        }
        let length = (1..=stack.len()).rev().find(|length| expected.contains_key(&stack[..*length]));
        let sums = cut.entry(stack[..length.unwrap_or(stack.len())].to_vec()).or_default();
        *sums = (sums.0 + calls, sums.1 + bytes);
    }
    cut
}

/// The stacks that memtrace has of the calls that the library recorded.
fn recorded(profile: &Profile, symbols: &SymbolTable) -> Stacks {
    let mut stacks = Stacks::new();
    for sample in &profile.samples {
        let inner = sample.stack.first().and_then(|location| symbols.frames(*location).last());
        if inner.and_then(|frame| frame.function.as_deref()) != Some("oracle_recorded") {
            continue;
        }
        if sample.end == StackEnd::Incomplete {
            let last = sample.stack.last().map(|location| (path(&profile.modules, location), location.offset));
            let name = sample.stack.last().and_then(|location| symbols.frames(*location).last());
            println!(
                "  incomplete: {} calls, at {last:x?} {:?}",
                sample.stats.allocated_blocks,
                name.and_then(|frame| frame.function.as_deref())
            );
        }
        let place = |location: &memtrace::profile::Location| (path(&profile.modules, location), location.offset);
        let stack: Stack = sample.stack.iter().skip(OWN_FRAMES).map(place).collect();
        let sums = stacks.entry(stack).or_default();
        *sums = (sums.0 + sample.stats.allocated_blocks, sums.1 + sample.stats.allocated_bytes);
    }
    stacks
}

fn path(modules: &Modules, location: &memtrace::profile::Location) -> String {
    modules.path(location.module).to_string()
}

/// The library's table.
fn oracle(file: &Path) -> Stacks {
    const FRAMES: usize = 126;
    let maps = fs::read_to_string(file.with_extension("maps")).expect("the library wrote its mappings");
    let maps: Vec<(u64, u64, u64, String)> = maps.lines().filter_map(mapping).collect();
    let place = |address: u64| {
        let map = maps.iter().find(|(start, end, ..)| (*start..*end).contains(&(address - 1)));
        map.map_or((UNKNOWN.to_owned(), address), |(start, _, offset, path)| (path.clone(), address - start + offset))
    };
    let bytes = fs::read(file).expect("the library wrote its table");
    let mut stacks = Stacks::new();
    for entry in bytes.chunks_exact((4 + FRAMES) * 8) {
        let word = |index: usize| u64::from_ne_bytes(entry[index * 8..index * 8 + 8].try_into().expect("eight bytes"));
        if word(0) != 0 {
            let frames = usize::try_from(word(3)).expect("a number of frames").min(KEPT_FRAMES);
            let mut stack: Stack = (4..4 + frames).map(|index| place(word(index))).collect();
            if stack.last().is_some_and(|(path, _)| path == UNKNOWN) {
                stack.pop();
            }
            let sums = stacks.entry(stack).or_default();
            *sums = (sums.0 + word(1), sums.1 + word(2));
        }
    }
    stacks
}

fn mapping(line: &str) -> Option<(u64, u64, u64, String)> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let permissions = fields.next()?;
    let offset = hex(fields.next()?)?;
    let path = fields.nth(2)?;
    permissions.contains('x').then(|| Some((hex(start)?, hex(end)?, offset, path.to_owned())))?
}

/// The table of a file that no process maps any more goes, and its memory is used again or given back, however often files
/// come and go; a table that is prepared before its file is mapped stays.
#[test]
fn tables_go_with_the_last_mapping() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let mut tracer = Tracer::load(&options()).expect("the programs load");
    let store = tracer.unwind_store().expect("stacks are followed by tables");
    let path = "/proc/self/exe";
    let table = UnwindTable::of(&fs::File::open(path).expect("readable"), path).expect("ELF").expect("has a table");
    let table_of = |inode| FileTable { file: (1, inode), segments: Vec::new(), table: Some(table.clone()) };
    let mapping = |inode: u64| CodeMapping {
        start: inode << 20,
        end: (inode << 20) + 4096,
        file_offset: 0,
        file: Some((1, inode)),
        kernel_file: (1, inode),
    };
    store.add(vec![table_of(1), table_of(2)]).expect("stored");
    let both = store.bytes();
    assert!(store.publish(1, vec![mapping(1)]));
    assert!(!store.publish(1, vec![mapping(1)]), "nothing has changed");
    for inode in 3..100 {
        store.add(vec![table_of(inode)]).expect("stored");
        store.publish(1, vec![mapping(1), mapping(inode)]);
        assert!(store.knows((1, inode)) && (inode == 3 || !store.knows((1, inode - 1))));
        assert!(store.bytes() <= 2 * both, "{} bytes", store.bytes());
    }
    assert!(store.knows((1, 2)), "not mapped yet");
    store.publish(1, vec![mapping(2)]);
    store.remove(1);
    assert!(!store.knows((1, 1)) && !store.knows((1, 2)));
    assert_eq!(store.bytes(), 0);
}
