//! What a command gets in its environment so that each Python object is seen.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::shared::may_be_python;
use crate::{
    python::{PythonError, PythonFile},
    tracer::TracerOptions,
};

/// Has Python ask the C library for each object.
const EACH_OBJECT: &[(&str, &str)] = &[("PYTHONMALLOC", "malloc")];

/// The environment that a command is to get besides memtrace's own: so that each object is seen, if it is Python. What the
/// user has set stays.
pub(in crate::session) fn variables_for(
    program: &Path,
    paths: &[PathBuf],
    options: &TracerOptions,
) -> &'static [(&'static str, &'static str)] {
    if options.keep_pymalloc || std::env::var_os("PYTHONMALLOC").is_some() {
        return &[];
    }
    // Of a script, its interpreter is among them. One that is no Python may run it in the end, as a shell does.
    let kinds: Vec<Kind> = paths.iter().map(|path| kind(path)).collect();
    let may_ask = is_script(program) && !kinds.contains(&Kind::Strange);
    if may_ask || kinds.contains(&Kind::Understood) { EACH_OBJECT } else { &[] }
}

/// What a file is to Python.
#[derive(PartialEq, Eq)]
enum Kind {
    Other,
    Understood,
    /// A build without the global lock, for one, which does not begin at all when it is told to use malloc.
    Strange,
}

fn kind(path: &Path) -> Kind {
    let name = path.display().to_string();
    let Some(file) = File::open(path).ok().filter(|_| may_be_python(&name)) else { return Kind::Other };
    match PythonFile::of(&file, &name) {
        Ok(Some(_)) => Kind::Understood,
        // Neither are files that are no ELF files.
        Ok(None) | Err(PythonError::Elf(_)) => Kind::Other,
        Err(_) => Kind::Strange,
    }
}

/// Whether a program begins as scripts do.
fn is_script(program: &Path) -> bool {
    let mut beginning = [0; 2];
    File::open(program).is_ok_and(|file| file.read_exact_at(&mut beginning, 0).is_ok()) && beginning == *b"#!"
}

/// What is said of a variable that is set.
pub(in crate::session) fn remark((name, value): &(&str, &str)) -> String {
    format!(
        "{name}={value} is set for the command, so that each Python object is seen (not with --keep-pymalloc); exact, that is slower \
         than tracemalloc; --sample-bytes 512KiB takes about half the time, for estimates"
    )
}
