//! Mappings of commands, from their first system call on: each stops itself, and is compared then.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use memtrace::{
    process::{CommandSpec, SignalState},
    profile::{Domain, Profile, SymbolTable, sum_of_domain},
    session::{self, Launched, Session, Update},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{LARGE_BLOCK, assert_ranges, below, both_ways, has_callers, is_at_rest, is_stopped, page};
use crate::{
    binary::eventually,
    support::{program, runtime},
};

/// Kills a process, be it stopped, at the end of the test.
struct Killed(u32);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.cast_signed()), Signal::SIGKILL);
    }
}

/// Starts a command that stops itself, and reads it then.
fn launched(words: &[&str], check: impl AsyncFnOnce(&mut Session, u32, Arc<Profile>, Arc<SymbolTable>)) {
    let mut words = words.iter().map(std::ffi::OsString::from);
    let program = words.next().expect("a command");
    let command = CommandSpec { program, arguments: words.collect(), run_as: None, signals: SignalState::default() };
    runtime().block_on(async {
        let launched = session::launch(&command, &both_ways()[0]).expect("the command is traced");
        let Launched { mut session, pid, status } = launched;
        let running = Killed(pid);
        session.set_interval(Duration::from_millis(50));
        while !is_stopped(pid) {
            session.next(&BTreeSet::new()).await.expect("events arrive");
            assert!(!session.has_ended());
        }
        let (profile, symbols) = session.read_now().await;
        check(&mut session, pid, profile, symbols).await;
        drop(running);
        drop(status.await);
    });
}

/// Updates of a session that are waited for, of which there is one every 50 ms.
const MOST_UPDATES: u32 = 600;

/// The first reading that has a stack with the program's functions: one that was met before its file's unwind table was made is
/// followed when that is there.
async fn when_followed(
    session: &mut Session,
    mut profile: Arc<Profile>,
    mut symbols: Arc<SymbolTable>,
) -> (Arc<Profile>, Arc<SymbolTable>) {
    for _ in 0..MOST_UPDATES {
        if below(&profile, &symbols, "split", Domain::Mmap) != (0, 0) {
            break;
        }
        if let Update::Reading { profile: next, symbols: names } =
            session.next(&BTreeSet::new()).await.expect("events arrive")
        {
            (profile, symbols) = (next, names);
        }
    }
    (profile, symbols)
}

/// From the program's first system call on, the same holds.
#[test]
fn mappings_are_exact_from_the_start() {
    let program = program("mappings");
    launched(&[program.to_str().expect("a UTF-8 path"), "stop"], async |session, pid, mut profile, mut symbols| {
        assert_ranges(session, pid);
        if has_callers() {
            (profile, symbols) = when_followed(session, profile, symbols).await;
            assert_eq!(below(&profile, &symbols, "split", Domain::Mmap), (1, 7));
            assert_eq!(below(&profile, &symbols, "large_block", Domain::Allocator), (1, LARGE_BLOCK / page() + 1));
        }
    });
}

/// Of a program that stops itself, each range is known, and some of them it maps by itself.
fn assert_known(words: &[&str]) {
    launched(words, async |session, pid, profile, _| {
        // Other threads may run on for a moment.
        eventually("the process is at rest", || is_at_rest(pid));
        assert_ranges(session, pid);
        assert!(sum_of_domain(&profile.samples, Domain::Mmap).live_bytes() > 0);
    });
}

/// Of Python with its own pools, each range is known.
#[test]
fn mappings_of_python_are_known() {
    let script = "import json, os, signal; x = [str(i) * 9 for i in range(30000)]; y = bytearray(9 << 20); del x
os.kill(os.getpid(), signal.SIGSTOP)";
    assert_known(&["/usr/bin/python3", "-c", script]);
}

/// Of node, a program of many threads, each range is known.
#[test]
fn mappings_of_node_are_known() {
    let script = "const a = []; for (let i = 0; i < 300; i++) a.push(new Array(9999).fill(i), Buffer.alloc(99999));
a.length = 99; process.kill(process.pid, 'SIGSTOP')";
    assert_known(&["/usr/bin/node", "-e", script]);
}
