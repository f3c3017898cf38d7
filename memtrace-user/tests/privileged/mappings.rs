//! What processes map by themselves: ranges that are the kernel's own to the byte, under the calls that have mapped them.

mod launched;

use std::{collections::BTreeSet, fs, process::Command};

use memtrace::{
    process::anonymous_memory,
    profile::{AllocStats, Domain, LossReason, Losses, Profile, SymbolTable, sum_of_domain},
    session::{self, Session, Update},
    tracer::{Accelerator, Follow, Recorded, TracerOptions},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    binary::eventually,
    servers::Cluster,
    support::{options, program, run_traced, runtime},
    target::Target,
    targets::{ask_redis, start_redis},
};

/// Bytes of a block that malloc maps by itself.
const LARGE_BLOCK: u64 = 64 << 20;

/// Bytes of the machine's pages: 4 KiB, and 16 or 64 on some aarch64 kernels.
fn page() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).expect("a machine has a page size");
    u64::try_from(size.expect("it is known")).expect("it is positive")
}

fn both() -> TracerOptions {
    TracerOptions { recorded: Recorded::Both, ..options() }
}

/// With blocks and mappings, by trampolines where there are any, and by tracepoints.
fn both_ways() -> [TracerOptions; 2] {
    let with = both();
    let mut by_tracepoints = with.clone();
    by_tracepoints.without.push(Accelerator::Trampolines);
    [with, by_tracepoints]
}

/// Ranges with access or without, neighbours of one kind being one.
type Ranges = Vec<(u64, u64, bool)>;

fn joined(ranges: impl Iterator<Item = (u64, u64, bool)>) -> Ranges {
    let mut joined = Ranges::new();
    for (start, end, accessible) in ranges {
        match joined.last_mut() {
            Some(last) if last.1 == start && last.2 == accessible => last.1 = end,
            _ => joined.push((start, end, accessible)),
        }
    }
    joined
}

/// That memtrace knows of each range that the kernel tells, and of no other. The process must be at rest.
fn assert_ranges(session: &Session, pid: u32) {
    let kernel = anonymous_memory(pid).expect("the process lives");
    let kernel = joined(kernel.into_iter().map(|range| (range.start, range.end, range.accessible)));
    let known = session.mapped_ranges();
    let known = joined(known.into_iter().map(|range| (range.start, range.end, range.accessible)));
    let text = |ranges: &Ranges| {
        ranges.iter().map(|range| format!("{:x}-{:x} {}", range.0, range.1, range.2)).collect::<Vec<_>>()
    };
    assert_eq!(text(&known), text(&kernel), "left: memtrace, right: the kernel");
}

/// Whether stacks have the function that has called the C library: frame pointers lose it, as the library has none.
fn has_callers() -> bool {
    options().allows(Accelerator::BpfLoop)
}

/// What the profile has in a domain.
fn in_domain(profile: &Profile, domain: Domain) -> (u64, u64) {
    let stats = sum_of_domain(&profile.samples, domain);
    (stats.live_blocks(), stats.live_bytes() / page())
}

/// What the profile has under a function of the program, in a domain.
fn below(profile: &Profile, symbols: &SymbolTable, function: &str, domain: Domain) -> (u64, u64) {
    let calls = |location| symbols.frames(location).iter().any(|frame| frame.function.as_deref() == Some(function));
    let samples = profile.samples.iter().filter(|sample| sample.domain == domain);
    let stats: AllocStats =
        samples.filter(|sample| sample.stack.iter().any(|location| calls(*location))).map(|sample| sample.stats).sum();
    (stats.live_blocks(), stats.live_bytes() / page())
}

/// What `expected` of the program has mapped.
fn assert_expected(profile: &Profile, symbols: &SymbolTable) {
    assert_mapped(profile, symbols);
    if has_callers() {
        assert_eq!(below(profile, symbols, "large_block", Domain::Malloc), (1, LARGE_BLOCK / page()));
    }
}

/// The same without the blocks.
fn assert_mapped(profile: &Profile, symbols: &SymbolTable) {
    assert_eq!(profile.totals.stats, sum_of_domain(&profile.samples, Domain::Malloc), "totals are of blocks alone");
    assert_eq!(profile.losses, Losses::default());
    // The sums of what follows.
    assert_eq!(in_domain(profile, Domain::Mmap), (8, 41));
    assert_eq!(in_domain(profile, Domain::Reserved), (1, 11));
    if !has_callers() {
        return;
    }
    let live = |function, domain| below(profile, symbols, function, domain);
    for (function, pages) in [
        ("split", 7),
        ("covered", 4),
        ("covers", 2),
        ("moves", 9),
        ("kept", 8),
        ("reserved", 5),
        ("shared", 2),
        ("broken", 4),
    ] {
        assert_eq!(live(function, Domain::Mmap), (1, pages), "{function}");
    }
    for function in ["moved", "gone", "of_file"] {
        assert_eq!(live(function, Domain::Mmap), (0, 0), "{function}");
    }
    assert_eq!(live("reserved", Domain::Reserved), (1, 11));
    assert_eq!(live("moves", Domain::Reserved), (0, 0));
    assert_eq!(live("large_block", Domain::Allocator), (1, LARGE_BLOCK / page() + 1));
    assert_eq!(live("large_block", Domain::Mmap), (0, 0));
}

/// That nothing was lost, but for calls during which the kernel has taken the CPU from a trampoline's program and given it
/// to another thread or process that makes the same call: preemptible kernels leave the second run out, and count it.
fn assert_losses(losses: &Losses, options: &TracerOptions) {
    let left_out = losses.count(LossReason::MappingDropped);
    let may_leave_out = options.allows(Accelerator::Trampolines);
    assert_eq!(losses.total(), left_out, "{losses:?}");
    assert!(left_out == 0 || may_leave_out && left_out < 100, "{losses:?}");
}

/// Partial and failing munmap(2), `MAP_FIXED`, mremap(2), mprotect(2), shared memory, files and brk(2) are counted under the
/// functions that do them, a large block's pages apart from the block; after threads have done all that at random, the
/// ranges are the kernel's.
#[test]
fn mappings_are_exact() {
    for options in both_ways() {
        let mut target = Target::start(program("mappings"));
        let pid = target.pid();
        runtime().block_on(async {
            let mut session = session::attach(pid, &options).expect("the program is traced");
            assert_ranges(&session, pid);
            assert_eq!(target.ask("e"), "done");
            let (profile, symbols) = session.read_now().await;
            assert_expected(&profile, &symbols);
            assert_ranges(&session, pid);
            assert_eq!(target.ask("t"), "done");
            assert_ranges(&session, pid);
            let (profile, symbols) = session.read_now().await;
            assert_losses(&profile.losses, &options);
            assert!(!has_callers() || below(&profile, &symbols, "torture", Domain::Mmap).0 > 0);
            // A thread's stack: its guard page is reserved.
            assert!(profile.samples.iter().any(|sample| sample.domain == Domain::Reserved));
        });
    }
}

/// Mappings are counted one by one where blocks are sampled or left out, and what malloc maps for such blocks is the
/// allocator's.
#[test]
fn mappings_are_exact_where_blocks_are_not() {
    for options in [TracerOptions { sample_bytes: 1 << 20, ..both() }, TracerOptions { min_size: 1 << 20, ..both() }] {
        let mut target = Target::start(program("mappings"));
        let pid = target.pid();
        runtime().block_on(async {
            let mut session = session::attach(pid, &options).expect("the program is traced");
            assert_eq!(target.ask("b"), "done");
            assert_eq!(target.ask("e"), "done");
            assert_ranges(&session, pid);
            let (profile, symbols) = session.read_now().await;
            assert_mapped(&profile, &symbols);
            assert_eq!(below(&profile, &symbols, "small_blocks", Domain::Mmap), (0, 0), "{options:?}");
            // Without the large block.
            let heap = (in_domain(&profile, Domain::Allocator).1 - LARGE_BLOCK / page() - 1) * page();
            assert!((4_000_000..5_000_000).contains(&heap), "{heap} bytes, {options:?}");
        });
    }
}

/// Each process that is followed has its own mappings, by image, and what a child does to its copy of its parent's is no
/// matter of the parent's.
#[test]
fn mappings_of_followed_processes() {
    for sample_bytes in [0, 1 << 20] {
        let options = TracerOptions { follow: Follow::Children, sample_bytes, ..both() };
        let outcome = run_traced(&[program("mappings").to_str().expect("UTF-8"), "forks"], &options);
        assert_eq!(outcome.status.code(), Some(0));
        let profile = &outcome.profile;
        let of = |index: u32, function: &str| {
            let samples = profile.samples.iter().filter(|sample| sample.process.0 == index).cloned().collect();
            below(&Profile { samples, ..(**profile).clone() }, &outcome.symbols, function, Domain::Mmap)
        };
        for (index, function, pages) in [(0, "of_parent", 5), (1, "of_child", 7), (2, "of_executed", 3)] {
            for process in 0..3 {
                let expected = if process == index && has_callers() { (1, pages) } else { (0, 0) };
                let own: Vec<_> = profile.samples.iter().filter(|sample| sample.process.0 == process).collect();
                assert_eq!(of(process, function), expected, "{function}, process {process}: {own:#?}");
            }
        }
        assert_eq!(profile.others.len(), 2);
        assert_losses(&profile.losses, &options);
    }
}

/// What is forgotten counts as from before, and what is mapped later counts.
#[test]
fn clearing_forgets_mappings() {
    let mut target = Target::start(program("mappings"));
    let pid = target.pid();
    runtime().block_on(async {
        let mut session = session::attach(pid, &both_ways()[0]).expect("the program is traced");
        for _ in 0..3 {
            assert_eq!(target.ask("e"), "done");
            drop(session.clear());
            while !matches!(session.next(&BTreeSet::new()).await.expect("events arrive"), Update::Cleared) {}
            let (profile, _) = session.read_now().await;
            assert_eq!(profile.samples.iter().map(|sample| sample.stats.live_bytes()).sum::<u64>(), 0);
            assert_ranges(&session, pid);
        }
        assert_eq!(target.ask("e"), "done");
        let (profile, symbols) = session.read_now().await;
        assert_expected(&profile, &symbols);
    });
}

/// Mappings alone are followed without a probe in the process, of a program without a known allocator as well.
#[test]
fn mappings_can_be_all_that_is_recorded() {
    let mut target = Target::start(program("mappings"));
    let only = TracerOptions { recorded: Recorded::Mappings, ..options() };
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &only).expect("the program is traced");
        assert_eq!(crate::traces::breakpoints(target.pid()), 0);
        assert_eq!(target.ask("e"), "done");
        let (profile, symbols) = session.read_now().await;
        assert!(!has_callers() || below(&profile, &symbols, "split", Domain::Mmap) == (1, 7));
        assert_eq!(profile.totals.stats, AllocStats::default());
        assert_ranges(&session, target.pid());
    });
}

/// Follows what a server maps while it is asked for something, and compares when it stands still.
fn compare_at_rest(pid: u32, ask: impl FnOnce()) {
    runtime().block_on(async {
        let mut session = session::attach(pid, &both()).expect("the server is traced");
        ask();
        let target = Pid::from_raw(pid.cast_signed());
        kill(target, Signal::SIGSTOP).expect("it takes signals");
        eventually("the server is at rest", || is_at_rest(pid));
        assert_ranges(&session, pid);
        let (profile, _) = session.read_now().await;
        assert_eq!(profile.losses, Losses::default());
        assert!(profile.samples.iter().any(|sample| sample.domain != Domain::Malloc), "something was mapped");
        kill(target, Signal::SIGCONT).expect("it takes signals");
    });
}

/// Of redis with its jemalloc, which gives memory back, and of a backend of `PostgreSQL`, which has memory in common with
/// others.
#[test]
fn mappings_of_servers_are_known() {
    let directory = tempfile::tempdir().expect("a directory");
    let (redis, socket) = start_redis(directory.path());
    compare_at_rest(redis.pid(), || {
        let request = |key| format!("SETRANGE key{key} {} x\n", (key % 97 + 1) * 9_973);
        ask_redis(&socket, &(0..300).map(request).collect::<Vec<_>>().concat());
        ask_redis(&socket, "FLUSHALL\nMEMORY PURGE\n");
    });
    let directory = tempfile::tempdir().expect("a directory");
    let cluster = Cluster::start(directory.path());
    let mut client = Target::start_shell(cluster.client("psql").arg("-AtXq"));
    let backend = client.ask("select pg_backend_pid();").parse().expect("a process id");
    compare_at_rest(backend, || {
        let sorted = "select i, md5(i::text) from generate_series(1, 50000) as i order by 2";
        let count = client.ask(&format!("set work_mem = '64MB'; select count(*) from ({sorted}) as sorted;"));
        assert_eq!(count, "50000");
    });
}

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// Whether all threads have stopped.
fn is_at_rest(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    tasks.flatten().all(|task| task.file_name().to_str().and_then(|tid| tid.parse().ok()).is_some_and(is_stopped))
}

/// What the child of a fork maps is not its parent's.
#[test]
fn a_child_has_its_own_mappings() {
    let script = "import mmap, os, sys
print('ready', flush=True)
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        m = [mmap.mmap(-1, 1 << 20) for _ in range(9)]
        os._exit(0)
    os.waitpid(pid, 0)
    print('done', flush=True)";
    let mut target = Target::start_command(Command::new("/usr/bin/python3").args(["-c", script]));
    runtime().block_on(async {
        let session = session::attach(target.pid(), &both_ways()[0]).expect("the program is traced");
        for _ in 0..5 {
            assert_eq!(target.ask("fork"), "done");
        }
        assert_ranges(&session, target.pid());
    });
}
