//! Programs as Debian ships them, without frame pointers, with blocks whose sizes are known.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use memtrace::{
    profile::StackEnd,
    session::{self, Session, Update},
    tracer::Accelerator,
};

use crate::{
    binary::eventually,
    programs,
    support::{Outcome, Running, compiled, is_without, options, run_traced, runtime},
};

/// Blocks of a size that no other block of the program has.
fn blocks_of(outcome: &Outcome, size: u64) -> u64 {
    let stats = outcome.profile.samples.iter().map(|sample| sample.stats);
    stats
        .filter(|stats| stats.allocated_bytes == stats.allocated_blocks * size)
        .map(|stats| stats.allocated_blocks)
        .sum()
}

/// `CPython`: each of a hundred `bytes` objects is a block of the length and 33 bytes, and all are freed but the last.
#[test]
fn python3() {
    let script = "for i in range(100): x = b'x' * 1000003\nimport os; os._exit(0)";
    let outcome = run_traced(&["/usr/bin/python3", "-S", "-c", script], &options());
    assert_eq!(outcome.status.code(), Some(0));
    assert_eq!(blocks_of(&outcome, 1_000_003 + 33), 100);
    let usage = outcome.usage();
    assert!(usage.freed.1 >= 99 * 1_000_036, "{usage:?}");
    assert!(outcome.profile.totals.current_bytes >= 1_000_036);
    assert_eq!(outcome.losses(), []);
}

/// A program with musl: the same numbers as with glibc.
#[test]
fn musl() {
    let (source, program) = programs::WITH_MUSL[0];
    let program = compiled("musl-gcc", source, program, &[]);
    let outcome = run_traced(&[program.to_str().expect("a UTF-8 path")], &options());
    assert!(outcome.status.success());
    let totals = &outcome.profile.totals;
    assert_eq!((totals.stats.allocated_blocks, totals.stats.allocated_bytes), (101, 100 * 1000 + 5));
    assert_eq!((totals.stats.freed_blocks, totals.stats.freed_bytes), (50, 50 * 1000));
    assert_eq!(totals.peak_bytes, 100 * 1000);
    assert_eq!(outcome.losses(), []);
}

/// With musl, of which nothing describes the code, stacks come to where the program and its threads begin.
#[test]
fn stacks_are_whole_with_musl() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    let (source, program) = programs::WITH_MUSL[1];
    let program = compiled("musl-gcc", source, program, &[]);
    let outcome = run_traced(&[program.to_str().expect("a UTF-8 path"), "100"], &options());
    assert!(outcome.status.success());
    // Eight threads, a hundred rounds, two blocks each.
    assert_eq!(outcome.usage_below("exchange_blocks").allocated.0, 1600);
    let cut: Vec<_> = outcome.profile.samples.iter().filter(|sample| sample.end != StackEnd::Whole).collect();
    assert!(cut.is_empty(), "{cut:?}");
    outcome.assert_consistent();
}

/// Redis, which serves its heap by jemalloc: a hundred values of 100,000 bytes are live, and no more than its own
/// bookkeeping beside them.
#[test]
fn redis() {
    const VALUES: u64 = 100;
    const BYTES: u64 = 100_000;
    let directory = tempfile::tempdir().expect("a directory");
    let (server, socket) = start_redis(directory.path());
    let live = runtime().block_on(async {
        let mut session = session::attach(server.pid(), &options()).expect("redis is traced");
        reading(&mut session).await;
        let request = |key| format!("SETRANGE key{key} {} x\n", BYTES - 1);
        let requests = (0..VALUES).map(request).collect::<Vec<_>>().concat();
        let answers = vec![BYTES.to_string(); 100].join("\n");
        // On a thread of its own: events go on meanwhile.
        let asked = tokio::task::spawn_blocking(move || ask_redis(&socket, &requests));
        assert_eq!(asked.await.expect("redis-cli runs"), answers);
        let (profile, _) = session.read_now().await;
        assert_eq!(profile.losses.total(), 0);
        profile.totals.current_bytes
    });
    let values = VALUES * BYTES;
    assert!((values..values + values / 20).contains(&live), "{live} bytes live");
}

/// A redis-server that answers at a socket.
pub fn start_redis(directory: &Path) -> (Running, PathBuf) {
    let socket = directory.join("socket");
    let server = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(&socket)
        .current_dir(directory)
        .stdout(File::create(directory.join("log")).expect("a log"))
        .spawn();
    let server = Running(server.expect("redis-server starts"));
    eventually("redis answers", || ask_redis(&socket, "PING\n") == "PONG");
    (server, socket)
}

async fn reading(session: &mut Session) {
    while !matches!(session.next(&BTreeSet::new()).await.expect("events arrive"), Update::Reading { .. }) {}
}

/// What redis answers to some requests.
pub fn ask_redis(socket: &Path, requests: &str) -> String {
    let mut client = Command::new("redis-cli");
    client.arg("-s").arg(socket).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut client = client.spawn().expect("redis-cli starts");
    client.stdin.take().expect("a pipe").write_all(requests.as_bytes()).expect("redis-cli listens");
    let output = client.wait_with_output().expect("redis-cli ends");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
