//! A snapshot of a real process without names gets them later, from the files that its build ids name.

use std::process::Command;

use memtrace::{
    profile::{About, AllocStats, Location, ModuleId, Snapshot, SymbolTable},
    snapshot::{read_file, write_file},
};

use crate::support::{options, program, run_traced};

/// Functions that a location is in, the innermost first.
fn names(symbols: &SymbolTable, location: Location) -> Vec<&str> {
    symbols.frames(location).iter().filter_map(|frame| frame.function.as_deref()).collect()
}

/// Every file of code has its build id, and `memtrace symbolize` names what the session named, with lines.
#[test]
fn code_is_named_later_by_build_ids() {
    let program = program("simple");
    let outcome = run_traced(&[program.to_str().expect("a UTF-8 path")], &options());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.pb.gz");
    let snapshot = Snapshot::of(&outcome.profile, &SymbolTable::default(), About::default());
    for (id, module) in snapshot.modules.iter().filter(|(id, _)| *id != ModuleId::UNKNOWN) {
        assert!(
            module.build_id.is_some() || module.path.starts_with("[u") || &*module.path == "[vsyscall]",
            "{id:?}: {module:?}"
        );
    }
    write_file(&file, &snapshot).expect("the file is written");

    let output = Command::new(env!("CARGO_BIN_EXE_memtrace")).arg("symbolize").arg(&file).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let named = read_file(&file).expect("the file is read");
    // How many blocks were short-lived is not kept.
    assert_eq!(named.total(), AllocStats { short_lived_blocks: 0, ..snapshot.total() });
    for sample in &named.samples {
        // Functions of the C library have several names, and debug information knows others than the symbol table.
        let of_program = |at: &&Location| !named.modules.path(at.module).contains("/libc.so");
        for location in sample.stack.iter().filter(of_program) {
            let (later, at_once) = (names(&named.symbols, *location), names(&outcome.symbols, *location));
            // Lines tell inlined functions too, which the session has not looked up.
            assert_eq!(later.last(), at_once.last());
        }
        let innermost = named.symbols.frames(sample.stack[0]);
        assert!(
            innermost.iter().all(|frame| frame.source.as_ref().is_some_and(|source| source.line > 0)),
            "{innermost:?}"
        );
    }
}
