//! The Python interpreter of a process: found among its files, told to the BPF programs, and asked what its frames are.

use std::{
    collections::HashSet,
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use memtrace_common::python::PythonRecord;

use super::{Session, locate::Locator, unwinding::file_id};
use crate::{
    process::{AddressSpace, MappedFile},
    profile::{CallStack, Frame, Location, ModuleId, PYTHON_MODULE},
    python::{Codes, Interpreter, Known, Mapped, Piece, PythonFile, ThreadValues, merge},
    tracer::{FileId, TracerOptions, thread_pointer},
};

/// What is known of the interpreter of one process.
#[derive(Debug, Default)]
pub(super) struct Python {
    examined: HashSet<FileId>,
    file: Option<(PythonFile, ModuleId)>,
    values: Option<ThreadValues>,
    interpreter: Option<Interpreter>,
    /// Its lines' module, once it has an interpreter.
    module: Option<ModuleId>,
    codes: Codes,
    /// It is not looked for: it is not understood, or has been found.
    settled: bool,
}

/// What a look at the files has brought.
pub(super) enum Found {
    /// Nothing yet, or nothing new.
    Nothing,
    /// An interpreter whose frames can be seen.
    Interpreter(Box<PythonRecord>),
    /// Why the frames of one cannot.
    NotUnderstood(String),
}

impl Python {
    /// Looks at files that have not been looked at.
    fn look(&mut self, space: &mut AddressSpace, sees_frees: bool, to_its_end: bool) -> Found {
        if self.settled {
            return Found::Nothing;
        }
        if let Err(reason) = self.look_at_files(space) {
            self.settled = true;
            return Found::NotUnderstood(reason);
        }
        let Some((file, module)) = &self.file else { return Found::Nothing };
        // It comes with the C library, without which it does not run.
        let Some(values) = self.values else { return Found::Nothing };
        let mapped = space.present_regions().find(|region| region.module == *module).map(|region| Mapped {
            module: *module,
            start: region.start,
            file_offset: region.file_offset,
        });
        let Some(interpreter) = mapped.and_then(|mapped| Interpreter::of(file, mapped)) else { return Found::Nothing };
        self.settled = true;
        let path = Arc::clone(&interpreter.path);
        let memory = space.memory();
        let memory = |address: u64, bytes: &mut [u8]| read(memory.as_ref(), address, bytes);
        if interpreter.is_understood(&memory) == Some(false) {
            return Found::NotUnderstood(format!("{path} does not keep its threads as CPython {} does", version(file)));
        }
        let Some(pointer) = thread_pointer() else {
            return Found::NotUnderstood("the kernel does not tell where threads keep their pointer".to_owned());
        };
        log::info!("{path}: CPython {}", version(file));
        self.module = Some(space.add_pseudo_file(PYTHON_MODULE));
        let record = interpreter.record(pointer, values, sees_frees, to_its_end);
        self.interpreter = Some(interpreter);
        Found::Interpreter(Box::new(record))
    }

    fn look_at_files(&mut self, space: &AddressSpace) -> Result<(), String> {
        for mapped in space.files() {
            let Some(file) = &mapped.file else { continue };
            let Some(id) = file_id(file) else { continue };
            if !self.examined.insert(id) {
                continue;
            }
            if may_be_c_library(&mapped) {
                self.values = self.values.or_else(|| ThreadValues::of(file, &mapped.path));
            } else if self.file.is_none() && may_be_python(&mapped.path) {
                let found = PythonFile::of(file, &mapped.path).map_err(|error| error.to_string())?;
                self.file = found.map(|file| (file, mapped.module));
            }
        }
        Ok(())
    }

    /// The line that a location stands for.
    pub(super) fn frame(&self, location: Location) -> Option<Frame> {
        if Some(location.module) != self.module {
            return None;
        }
        let unknown = || Frame { function: Some("<unknown Python code>".into()), source: None, inlined: false };
        Some(self.codes.frame(location.offset.saturating_sub(1)).cloned().unwrap_or_else(unknown))
    }

    /// The native stack with the Python frames of `words` where they belong.
    pub(super) fn merge(&mut self, native: Vec<Location>, words: &[u64]) -> CallStack {
        let (Some(interpreter), Some(module)) = (&self.interpreter, self.module) else { return native.into() };
        if words.is_empty() {
            return native.into();
        }
        let is_loop = |location: &Location| {
            // Of a return address, the call lies before it.
            location.module == interpreter.module && interpreter.is_loop(location.offset.saturating_sub(1))
        };
        let pieces = merge(interpreter.rule(), native.iter().map(is_loop), words);
        let codes = &mut self.codes;
        let located = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Native(index) => Some(native[index]),
            Piece::Python(index) => match codes.line(words[index]) {
                // As of a return address: what is looked up lies one before it.
                Known::Line(number) => Some(Location { module, offset: number + 1 }),
                Known::Incomplete => None,
            },
        });
        located.collect()
    }

    /// Takes in a code object; `false` when it is none, so that the interpreter is not understood.
    pub(super) fn take_code(&mut self, record: &[u8], memory: Option<&File>) -> bool {
        let Some(interpreter) = &self.interpreter else { return true };
        self.codes.add(record, interpreter, &|address, bytes| read(memory, address, bytes))
    }
}

fn read(memory: Option<&File>, address: u64, bytes: &mut [u8]) -> bool {
    memory.is_some_and(|memory| memory.read_exact_at(bytes, address).is_ok())
}

fn version(file: &PythonFile) -> String {
    format!("{}.{}", file.version.0, file.version.1)
}

/// By the names that libraries have: looking through all symbols of every file would take long.
fn may_be_c_library(mapped: &MappedFile) -> bool {
    mapped.path.rsplit('/').next().is_some_and(|name| name.starts_with("libc.so") || name.starts_with("libc-2."))
}

/// The same; programs that have an interpreter in them (uwsgi, blender) may have any name, but no `.so` in it.
fn may_be_python(path: &str) -> bool {
    path.starts_with('/')
        && path.rsplit('/').next().is_some_and(|name| name.contains("python") || !name.contains(".so"))
}

/// Has Python ask the C library for each object.
const EACH_OBJECT: &[(&str, &str)] = &[("PYTHONMALLOC", "malloc")];

/// The environment that a command is to get besides memtrace's own: so that each object is seen, if it is Python. What the
/// user has set stays.
pub(super) fn variables_for(
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
pub(super) fn remark((name, value): &(&str, &str)) -> String {
    format!("{name}={value} is set for the command, so that each Python object is seen (not with --keep-pymalloc)")
}

/// What is shown of a program that has ended.
const ENDED: &str = "shown is what the program held when its last line, its threads and its exit handlers were done: what \
    Python frees as it takes itself apart is not recorded (with --through-exit it is)";

/// What cannot be seen while the interpreter has its own allocator.
const POOLED: &str = "Python hands out objects of up to 512 bytes from memory that it maps itself (pymalloc): they are not \
    seen; `memtrace run` sees each object, as does a program that was started with PYTHONMALLOC=malloc";

impl Locator {
    /// Looks for a Python interpreter among files that have not been looked at.
    pub(super) fn find_python(&mut self, sees_frees: bool, to_its_end: bool) -> Found {
        let (space, python) = self.space_and_python();
        python.look(space, sees_frees, to_its_end)
    }

    /// The file of the interpreter, once there is one.
    fn python_file(&mut self) -> Option<(PythonFile, Arc<File>)> {
        let (space, python) = self.space_and_python();
        let (file, module) = python.file.as_ref()?;
        Some((file.clone(), space.file(*module)?))
    }
}

impl Session {
    /// Looks for a Python interpreter among new files, and tells the BPF programs of it.
    pub(super) fn follow_python(&mut self) {
        if self.slot == 0 || !self.tracer.sees_python() {
            return;
        }
        let sees_frees = || self.target.as_ref().is_some_and(|target| target.has_environment(b"PYTHONMALLOC=malloc"));
        let to_its_end = self.tracer.options().through_exit;
        match self.locator.find_python(sees_frees(), to_its_end) {
            Found::Nothing => {}
            Found::Interpreter(record) => {
                if record.check_innermost != 0 {
                    self.notes.extend([POOLED.to_owned()]);
                }
                if let Err(error) = self.tracer.set_python(self.home, Some(&record)) {
                    log::warn!("Python frames: {error}");
                }
                self.tracer.share_python(self.home, self.slot);
                if !to_its_end {
                    self.probe_python_end();
                }
            }
            Found::NotUnderstood(reason) => self.no_python(&reason),
        }
    }

    fn probe_python_end(&mut self) {
        let Some((file, opened)) = self.locator.python_file() else { return };
        if let Err(error) = self.tracer.probe_python_end(&file, &opened, self.info.pid) {
            log::warn!("{}: its end is not seen: {error}", file.path);
        }
    }

    /// Says so when Python has ended, from when on nothing is recorded.
    pub(super) fn note_python_end(&mut self) {
        if self.tracer.has_python_ended(self.home) {
            self.notes.extend([ENDED.to_owned()]);
        }
    }

    /// Takes in the code objects that have come.
    pub(super) fn take_python_codes(&mut self) {
        let locator = &mut self.locator;
        let mut memory = None;
        let mut is_understood = true;
        self.tracer.take_python_codes(|record| {
            let (space, python) = locator.space_and_python();
            let memory = memory.get_or_insert_with(|| space.memory());
            is_understood &= python.take_code(record, memory.as_ref());
        });
        // Where much code is new, so are many stacks.
        self.tracer.keep_room_for_stacks();
        if !is_understood {
            self.no_python("what its frames name is not code");
        }
    }

    /// Python frames are off from here on.
    fn no_python(&mut self, reason: &str) {
        for slot in [self.home, self.slot] {
            // Without a record, nothing can fail.
            let _none = self.tracer.set_python(slot, None);
        }
        self.notes.extend([format!("Python frames are not seen: {reason}")]);
    }
}
