//! What tracing does not do to a process, and what it says when it sees too little.

use std::{collections::BTreeSet, sync::Arc};

use memtrace::{
    profile::Profile,
    session::{self, Session, Update},
    tracer::{Accelerator, TracerOptions},
};

use crate::{
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
