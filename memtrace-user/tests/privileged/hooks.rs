//! A real program in C++ with tcmalloc, and what tcmalloc's own hooks count in the same run.

use std::fs;

use crate::{
    numbers::{Use, run_attached},
    support::{options, program_with},
};

/// clang reads a program of the standard library's templates: some fifty thousand blocks by operators new and delete of all
/// kinds, as many as tcmalloc says, to the byte.
#[test]
fn clang_with_tcmalloc() {
    let hooks = program_with("tcmalloc_hooks", "tcmalloc_hooks.so", &["-shared", "-fPIC", "-ltcmalloc_minimal"]);
    let directory = tempfile::tempdir().expect("a directory");
    let place = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let (source, counts) = (place("source.cc"), place("counts"));
    fs::write(&source, "#include <map>\n#include <regex>\nstd::map<int, std::regex> map;\nauto &e = map[1];\n")
        .expect("written");
    fs::write(&counts, [0; 4096]).expect("written");
    let variables = [format!("LD_PRELOAD=libtcmalloc_minimal.so.4:{}", hooks.display()), format!("COUNTS={counts}")];
    // With this option alone, the compiler proper runs in the same process.
    let words = ["/usr/bin/env", &variables[0], &variables[1], "clang++", "-fsyntax-only", &source];
    let outcome = run_attached(&words, &options());
    assert_eq!(outcome.status.code(), Some(0));
    let counts = fs::read(&counts).expect("readable");
    let word = |index: usize| u64::from_ne_bytes(counts[index * 8..][..8].try_into().expect("eight bytes"));
    let Use { allocated, freed } = outcome.usage();
    assert!(word(0) > 10_000, "{} blocks", word(0));
    assert_eq!(allocated, (word(0), word(2)));
    // Blocks from before, as static objects of its libraries have made them.
    assert_eq!(freed.0 + outcome.profile.totals.unknown_frees, word(1));
    assert_eq!(outcome.losses(), []);
}
