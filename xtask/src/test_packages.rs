//! Programs that the tests trace, compare with or build their targets by, and the Debian packages that have them.

use anyhow::Result;

use crate::apt;

/// A program and the packages that bring it and what it cannot do without.
type Requirement = (&'static str, &'static [&'static str]);

/// One line a program.
const REQUIREMENTS: &[Requirement] = &[
    ("gcc", &["gcc", "libc6-dev"]),
    ("musl-gcc", &["musl-tools"]),
    ("g++", &["g++"]),
    ("valgrind", &["valgrind", "libc6-dbg"]),
    ("python3", &["python3"]),
    ("perl", &["perl"]),
    ("git", &["git"]),
    ("jq", &["jq"]),
    ("sqlite3", &["sqlite3"]),
    ("xz", &["xz-utils"]),
    ("clang", &["clang"]),
    ("node", &["nodejs"]),
    ("tmux", &["tmux"]),
    ("gdb", &["gdb"]),
    ("postgres", &["postgresql"]),
    ("pgbench", &["postgresql-contrib"]),
    ("nginx", &["nginx-light"]),
    ("redis-server", &["redis-server", "redis-tools"]),
    ("ab", &["apache2-utils"]),
    ("bpftool", &["bpftool"]),
    ("chromium", &["chromium"]),
    ("go", &["golang-go"]),
    // Allocators are libraries: a header that comes with them stands for each.
    ("/usr/include/jemalloc/jemalloc.h", &["libjemalloc2", "libjemalloc-dev"]),
    ("/usr/include/gperftools/tcmalloc.h", &["libtcmalloc-minimal4", "libgoogle-perftools-dev"]),
    ("/usr/include/mimalloc.h", &["libmimalloc2.0", "libmimalloc-dev"]),
];

/// Installs what is missing.
///
/// # Errors
/// When something is missing and apt cannot bring it; the message lists the programs and packages.
pub fn install() -> Result<()> {
    let missing: Vec<_> = REQUIREMENTS.iter().filter(|(program, _)| !apt::has_program(program)).collect();
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().flat_map(|(_, packages)| packages.iter().copied()).collect();
    apt::install(&programs, &packages)
}
