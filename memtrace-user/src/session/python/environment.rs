//! What a command gets in its environment so that each Python object is seen.

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::shared::may_be_python;
use crate::{python::PythonFile, tracer::TracerOptions};

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
    let is_python = |path: &PathBuf| {
        let name = path.display().to_string();
        let file = || File::open(path).ok();
        may_be_python(&name) && file().is_some_and(|file| matches!(PythonFile::of(&file, &name), Ok(Some(_))))
    };
    if is_script(program) || paths.iter().any(is_python) { EACH_OBJECT } else { &[] }
}

/// Whether a program begins as scripts do. What it runs may be Python in the end, as of `#!/usr/bin/env python3`.
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
