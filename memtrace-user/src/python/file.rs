//! Recognises a CPython interpreter in an executable or a library.

use std::{fs::File, ops::Range, sync::Arc};

use thiserror::Error;

use super::layout::{self, Layout, Version};
use crate::process::elf::{ElfError, ElfFile, Function, Machine, Segment};

/// An interpreter's file. Addresses are those before relocation.
#[derive(Debug, Clone)]
pub struct PythonFile {
    /// Its path, for messages.
    pub path: Arc<str>,
    /// The machine that it is for.
    pub machine: Machine,
    /// Its version.
    pub version: Version,
    /// Where things are in it.
    pub layout: Layout,
    /// Its state.
    pub runtime: u64,
    /// The type of code objects.
    pub code_type: u64,
    /// Where the file is mapped.
    pub segments: Vec<Segment>,
    /// The interpreter's loop, as places in the file.
    pub eval: Vec<Range<u64>>,
    /// The function by which a program's interpreter begins with the program, when it has set itself up.
    pub begins: Vec<Function>,
    /// Functions that it calls as it ends, when threads and exit handlers are done and nothing is taken apart yet. (Few
    /// programs call them at other times.)
    pub ends: Vec<Function>,
}

/// Why the frames of an interpreter are not seen.
#[derive(Debug, Error)]
pub enum PythonError {
    /// The file cannot be read.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// It says nowhere which version it is.
    #[error("{path}: its version is not known")]
    NoVersion {
        /// The file.
        path: Arc<str>,
    },
    /// A build without the global lock.
    #[error(
        "{path}: CPython {}.{} without the global lock is not understood; its objects, which do not come from malloc, are seen if the \
         file is not stripped",
        .version.0,
        .version.1
    )]
    NoLock {
        /// The file.
        path: Arc<str>,
        /// Its version.
        version: Version,
    },
    /// A version, or a build, that memtrace does not understand.
    #[error("{path}: CPython {}.{} of this kind is not understood (3.8 to 3.14 with the global lock are)", .version.0, .version.1)]
    Unknown {
        /// The file.
        path: Arc<str>,
        /// Its version.
        version: Version,
    },
}

/// The interpreter's loop, and the part of it that compilers put apart.
const EVAL: [&str; 2] = ["_PyEval_EvalFrameDefault", "_PyEval_EvalFrameDefault.cold"];
/// What runs the program, of interpreters that are programs themselves.
const BEGINS: [&str; 1] = ["Py_RunMain"];
/// What `Py_FinalizeEx` calls first once `_PyRuntime` says so: to 3.8 the one, from 3.9 on the other.
const ENDS: [&str; 2] = ["_PyGC_CollectIfEnabled", "PyGC_Collect"];
/// Data that an interpreter exports.
const DATA: [&str; 3] = ["_PyRuntime", "PyCode_Type", "Py_Version"];

impl PythonFile {
    /// The interpreter in a file; `None` where there is none.
    ///
    /// # Errors
    /// [`PythonError`], when there is one that is not understood.
    pub fn of(file: &File, path: &str) -> Result<Option<Self>, PythonError> {
        let Ok(file) = file.try_clone() else { return Ok(None) };
        let elf = ElfFile::new(file, path)?;
        let [Some(runtime), Some(code_type), version] = elf.data_addresses(DATA)? else { return Ok(None) };
        let path: Arc<str> = path.into();
        let version = match version {
            Some(address) => word(&elf.bytes_at(address, 8)?).and_then(of_number),
            None => of_name(&path),
        };
        let version = version.ok_or_else(|| PythonError::NoVersion { path: Arc::clone(&path) })?;
        let layout = layout::known(version).map_or_else(|| layout_by_table(&elf, &path, version, runtime), Ok)?;
        let segments = elf.segments().collect();
        let (eval, begins, ends) = (eval_loop(&elf), elf.functions(BEGINS)?.found, elf.functions(ENDS)?.found);
        let machine = elf.machine();
        Ok(Some(Self { path, machine, version, layout, runtime, code_type, segments, eval, begins, ends }))
    }
}

/// By the table that an interpreter carries.
fn layout_by_table(elf: &ElfFile, path: &Arc<str>, version: Version, runtime: u64) -> Result<Layout, PythonError> {
    let path = Arc::clone(path);
    let table = elf.bytes_at(runtime, layout::TABLE_BYTES).unwrap_or_default();
    if layout::lacks_lock(version, &table) {
        return Err(PythonError::NoLock { path, version });
    }
    layout::from_table(version, &table).ok_or(PythonError::Unknown { path, version })
}

/// The interpreter's loop. Its second part is named in files that are not stripped.
fn eval_loop(elf: &ElfFile) -> Vec<Range<u64>> {
    let exported = elf.functions(EVAL);
    let private = elf.private_functions(EVAL);
    let found = [exported, private].into_iter().filter_map(Result::ok).flat_map(|functions| functions.found);
    let mut ranges: Vec<_> = found.map(|function| function.offset..function.offset + function.size.max(1)).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup();
    ranges
}

fn word(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// `PY_VERSION_HEX`.
fn of_number(number: u64) -> Option<Version> {
    let byte = |shift: u32| u8::try_from(number >> shift & 0xff).ok();
    Some(Version(byte(24)?, byte(16)?)).filter(|version| *version > Version(3, 0))
}

/// To 3.10, the file's name: `libpython3.9.so.1.0`, `python3.9`, `python3.8d`.
fn of_name(path: &str) -> Option<Version> {
    let name = path.rsplit('/').next()?;
    let minor = name.strip_prefix("lib").unwrap_or(name).strip_prefix("python3.")?;
    let digits = minor.split(|c: char| !c.is_ascii_digit()).next()?;
    // A debug build has longer objects.
    if minor[digits.len()..].starts_with('d') {
        return None;
    }
    digits.parse().ok().map(|minor| Version(3, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The version is that of the file's name where nothing better is there.
    #[test]
    fn versions_are_read_from_names() {
        let version = |path| of_name(path).map(|version| version.1);
        assert_eq!(version("/usr/lib/libpython3.9.so.1.0"), Some(9));
        assert_eq!(version("/usr/bin/python3.10"), Some(10));
        assert_eq!([version("/usr/bin/python3"), version("python3.8d"), version("uwsgi")], [None; 3]);
        assert_eq!(of_number(0x030b_07f0), Some(Version(3, 11)));
        assert_eq!(of_number(0), None);
    }

    /// A file that is no interpreter is passed over, and so is one that is no ELF file at all.
    #[test]
    fn other_files_are_no_interpreters() {
        let own = File::open("/proc/self/exe").expect("own program");
        assert!(PythonFile::of(&own, "self").expect("an ELF file").is_none());
        assert!(PythonFile::of(&File::open("/dev/null").expect("a file"), "python3.9").is_err());
    }
}
