//! What tracing does not do to a process, and what it says when it sees too little.

use std::{collections::BTreeSet, sync::Arc};

use memtrace::{
    profile::Profile,
    session::{self, Session, Update},
    tracer::{Accelerator, TracerOptions},
};

use crate::{
    binary::Attached,
    numbers::{Use, run_attached},
    support::{options, program, runtime},
    target::Target,
};

/// A process that seccomp kills for any call but three is traced, by return probes and without them, and lives: this
/// kernel's own system call for return probes is let through, or none is made.
#[test]
fn a_process_confined_by_seccomp_lives() {
    let program = program("confined");
    for without in [vec![], vec![Accelerator::ReturnProbes]] {
        let options = TracerOptions { without, ..options() };
        let outcome = run_attached(&[program.to_str().expect("UTF-8")], &options);
        assert_eq!(outcome.status.code(), Some(0), "{:?}", outcome.status);
        assert_eq!(outcome.usage(), Use { allocated: (100, 10_000), freed: (50, 5_000) });
        assert_eq!(outcome.losses(), []);
    }
}

/// Two tracers on one process, one with return probes and one without: each sees all, with whole stacks.
#[test]
fn exits_beside_the_return_probes_of_another() {
    let mut target = Target::start(program("leak"));
    let without = Attached::with(target.pid(), &["--without", "return-probes"]);
    let with = Attached::to(target.pid());
    for _ in 0..3 {
        assert_eq!(target.ask("leak"), "done");
    }
    target.say("quit");
    for mut memtrace in [without, with] {
        memtrace.wait_for_allocations();
        let ended = memtrace.end();
        assert_eq!((ended.allocated_blocks(), ended.freed_blocks()), (30, 0), "{ended:#?}");
        let report = ended.last_report();
        assert!(report.contains("100.0% whole") && report.contains("Losses      none"), "{report}");
        assert!(report.contains("leak_here (leak.c:7)"), "{report}");
    }
}

async fn reading(session: &mut Session) -> Arc<Profile> {
    loop {
        if let Update::Reading { profile, .. } = session.next(&BTreeSet::new()).await.expect("events arrive") {
            return profile;
        }
    }
}

/// Memory that grows past every traced function is said, not shown as calm.
#[test]
fn growth_that_no_allocation_explains_is_said() {
    let mut target = Target::start(program("maps_memory"));
    runtime().block_on(async {
        let mut session = session::attach(target.pid(), &options()).expect("the program is traced");
        assert_eq!(reading(&mut session).await.process.notes, Vec::<String>::new());
        assert_eq!(target.ask("go"), "done");
        let notes = session.read_now().await.0.process.notes.clone();
        assert!(
            notes.len() == 1 && notes[0].contains("64 MiB") && notes[0].contains("no allocation was seen"),
            "{notes:?}"
        );
    });
}
