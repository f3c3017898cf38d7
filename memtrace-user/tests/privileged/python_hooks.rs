//! A running interpreter with allocator hooks: each object is seen, in Python's own pools as well.

use std::process::{Command, ExitStatus};

use memtrace::{profile::AllocStats, session, tracer::Accelerator};

use crate::{
    python::{PYTHON, lines, script},
    support::{Outcome, is_without, options, runtime},
    target::Target,
};

/// What a line holds and has had, as blocks and bytes.
type Amounts = ((u64, u64), (u64, u64));

fn amounts(stats: &AllocStats) -> Amounts {
    ((stats.live_blocks(), stats.live_bytes()), (stats.allocated_blocks, stats.freed_blocks))
}

/// Objects of a process that runs already are seen one by one, at the size that they have asked for, where it runs with
/// `-X dev` or `tracemalloc`; and when the hooks are taken away, that is said.
#[test]
fn objects_are_seen_through_hooks() {
    if is_without(Accelerator::BpfLoop) {
        return;
    }
    for way in ["dev", "tracemalloc"] {
        let mut target = Target::start_command(Command::new(PYTHON).args(["-X", way]).arg(script("hooked.py")));
        let (outcome, after) = runtime().block_on(async {
            let mut session = session::attach(target.pid(), &options()).expect("it is traced");
            assert_eq!(target.ask("go"), "done");
            let (profile, symbols) = session.read_now().await;
            let outcome = Outcome { profile, symbols, status: ExitStatus::default() };
            assert_eq!(target.ask("stop"), "done");
            (outcome, session.read_now().await.0)
        });
        let lines = lines(&outcome);
        let file = script("hooked.py").display().to_string();
        let on = |line: u32| amounts(&lines[&(file.clone(), line)]);
        // Head and end of each object; and what the list has grown to.
        let ((blocks, bytes), _) = on(6);
        assert!(
            (5001..=5003).contains(&blocks) && (5000 * 133..5000 * 133 + 50_000).contains(&bytes),
            "{way}: {lines:?}"
        );
        // Each array grows once: a block is given back, a larger one is held.
        let ((blocks, bytes), (allocated, freed)) = on(8);
        assert!(blocks == 1000 && bytes >= 301 * 1000, "{way}: {lines:?}");
        assert!(allocated >= 2000 && freed == allocated - 1000, "{way}: {lines:?}");
        let (live, (allocated, freed)) = on(9);
        assert!(live.0 <= 2 && allocated >= 3000 && freed >= allocated - 2, "{way}: {lines:?}");
        let says = |notes: &[String], what: &str| notes.iter().any(|note| note.contains(what));
        let notes = &outcome.profile.process.notes;
        assert!(says(notes, "allocator hooks") && !says(notes, "pymalloc") && !says(notes, "taken away"), "{notes:?}");
        assert_eq!(says(&after.process.notes, "taken away"), way == "tracemalloc", "{:?}", after.process.notes);
        assert_eq!(outcome.profile.losses.total(), 0, "{:?}", outcome.profile.losses);
        target.say("end");
        assert!(target.wait().success(), "{way}: it is not disturbed");
    }
}
