//! Functions that the user names: pools and arenas.

use std::sync::Arc;

use memtrace::{
    allocators::{UserFunction, UserFunctions},
    tracer::{ProbePlan, Search, TracerOptions},
};

use crate::{
    numbers::{Use, run_attached},
    support::{options, program},
};

fn with(alloc: &[&str], free: &[&str]) -> TracerOptions {
    let alloc = alloc.iter().map(|text| UserFunction::allocating(text).expect("a function"));
    let free = free.iter().map(|text| UserFunction::freeing(text).expect("a function"));
    TracerOptions { functions: Arc::new(UserFunctions(alloc.chain(free).collect())), ..options() }
}

/// A pool's blocks count with its callers; the chunk that it takes from malloc within the call does not, and other
/// blocks of malloc do.
#[test]
fn blocks_of_a_pool() {
    let options = with(
        &["exe:pool_alloc(size=arg1)", "exe:pool_make(size=arg3, count=arg2, result=*arg1, ok=zero)"],
        &["pool:pool_free(ptr=arg1)"],
    );
    let outcome = run_attached(&[program("pool").to_str().expect("UTF-8")], &options);
    assert_eq!(outcome.status.code(), Some(0));
    assert_eq!(outcome.usage_by("use"), Use { allocated: (300, 30_000), freed: (100, 10_000) });
    assert_eq!(outcome.usage_by("make"), Use { allocated: (1, 60), freed: (0, 0) });
    assert_eq!(outcome.usage(), Use { allocated: (302, 30_071), freed: (100, 10_000) });
    assert_eq!((outcome.profile.totals.unknown_frees, outcome.losses()), (0, vec![]));
}

/// Functions of a Go program, whose stacks move, get no return probes: their exits are probed, and the numbers are the
/// same. (What makes it one is the section that Go's unwinder reads.)
#[test]
fn functions_of_go_are_seen_at_their_exits() {
    let go = program("pool").with_file_name("pool-go");
    let status = std::process::Command::new("objcopy")
        .args(["--add-section", ".gopclntab=/dev/null"])
        .args([program("pool"), go.clone()])
        .status();
    assert!(status.expect("objcopy runs").success());
    let file = std::fs::File::open(&go).expect("it is there");
    let options = with(&["exe:pool_alloc(size=arg1)"], &["exe:pool_free(ptr=arg1)"]);
    let search = Search { user: &options.functions, is_executable: true };
    let plan = ProbePlan::of(&file, "pool-go", search).expect("an ELF file").expect("named functions");
    assert!(plan.probes.iter().all(|probe| probe.is_go));
    let outcome = run_attached(&[go.to_str().expect("UTF-8")], &options);
    assert_eq!(outcome.usage_by("use"), Use { allocated: (300, 30_000), freed: (100, 10_000) });
    assert_eq!(outcome.losses(), []);
}

/// A name that the file does not have is said, and the rest is traced.
#[test]
fn a_wrong_name_is_said() {
    let outcome = run_attached(&[program("pool").to_str().expect("UTF-8")], &with(&["exe:pool_take(size=arg1)"], &[]));
    let notes = &outcome.profile.process.notes;
    assert!(notes.iter().any(|note| note.contains("exe:pool_take(size=arg1)") && note.contains("no such function")));
    assert_eq!(outcome.usage_by("main").allocated, (1, 11));
}
