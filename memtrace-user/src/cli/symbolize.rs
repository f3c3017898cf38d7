//! Arguments of `symbolize`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `symbolize`.
#[derive(Debug, Args)]
pub struct SymbolizeArgs {
    /// The snapshot, or any pprof heap profile; `-` is standard input.
    pub file: PathBuf,
    /// Where to write the snapshot [default: over FILE]; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// A directory with programs, libraries or debug files: by build id (.build-id/ab/cdef), by path, or by name. May be
    /// given several times; /usr/lib/debug is always looked at.
    #[arg(long, value_name = "DIR")]
    pub debug_dir: Vec<PathBuf>,
    /// Take the file at a module's path where the profile does not tell its build id. Names are wrong if the file has
    /// changed since.
    #[arg(long)]
    pub any_build: bool,
    /// Fetch programs and debug files that are not here by debuginfod-find, from the servers that it is set up for.
    #[arg(long)]
    pub debuginfod: bool,
}
