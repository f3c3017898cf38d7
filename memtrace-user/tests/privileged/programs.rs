//! How the programs of `tests/programs` are compiled: for the tests, and for `cargo xtask vm-test`, which takes compiled
//! ones into virtual machines that have no compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program: the name of its file, that of its source, and flags beyond [`FLAGS`].
pub type Program = (&'static str, &'static str, &'static [&'static str]);

/// What tests in virtual machines trace. Those of the other tests are compiled when they are asked for.
pub const IN_VMS: [Program; 14] = [
    ("accounting", "accounting", &[]),
    ("family", "family", &[]),
    ("fork_storm", "fork_storm", &[]),
    ("hammer", "hammer", &[]),
    ("jumps", "jumps", &[]),
    ("mappings", "mappings", &[]),
    ("on_request", "on_request", &[]),
    ("preload.so", "preload", &["-shared", "-fPIC", "-O2", "-foptimize-sibling-calls"]),
    ("signals", "signals", &[]),
    ("sampled", "sampled", &[]),
    ("simple", "simple", &[]),
    ("stacks", "stacks", &["-fno-inline"]),
    ("stacks-without-frame-pointers", "stacks", &["-fno-inline", "-fomit-frame-pointer"]),
    ("threads", "threads", &[]),
];

/// Sources that are compiled with musl, too, and the programs' names.
pub const WITH_MUSL: [(&str, &str); 2] = [("simple", "simple-musl"), ("threads", "threads-musl")];

/// With frame pointers and without tail calls, so that stacks are as in the source.
const FLAGS: [&str; 6] =
    ["-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-builtin", "-pthread"];

/// The source of a program, in C or in C++; `None` when there is none.
pub fn source(package: &Path, name: &str) -> Option<PathBuf> {
    let base = package.join("tests/programs").join(name);
    [base.with_extension("c"), base.with_extension("cc")].into_iter().find(|source| source.exists())
}

/// The compiler's call for a program.
pub fn compile(compiler: &str, source: &Path, flags: &[&str], output: &Path) -> Command {
    let mut command = Command::new(compiler);
    command.args(FLAGS).arg("-o").arg(output).arg(source).args(flags);
    command
}
