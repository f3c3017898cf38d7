//! The Python interpreter of a process: found among the files that it has mapped, told to the BPF programs, and asked what
//! its frames are.

mod environment;
mod following;
mod shared;

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{Arc, MutexGuard},
};

use memtrace_common::python::PythonRecord;

use self::shared::{Kind, List};
pub(super) use self::{
    environment::{remark, variables_for},
    following::Waiting,
    shared::Shared,
};
use crate::{
    process::AddressSpace,
    profile::{CallStack, Frame, Location, ModuleId},
    python::{Interpreter, Known, Mapped, Piece, PythonFile, ThreadValues, merge},
    tracer::thread_pointer,
};

/// What is known of the interpreter of one image of a process. A forked child has its parent's.
#[derive(Debug, Clone, Default)]
pub(super) struct Python {
    shared: Shared,
    file: Option<(Arc<PythonFile>, ModuleId)>,
    interpreter: Option<Arc<Interpreter>>,
    /// What the BPF programs know of it; `None` when its frames are not seen.
    record: Option<Box<PythonRecord>>,
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
    /// Of an image that nothing is known of yet, in a session that this is known of.
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared, ..Self::default() }
    }

    /// What it shares with the other processes of the session.
    pub(super) const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What the BPF programs are to know of it.
    pub(super) fn record(&self) -> Option<&PythonRecord> {
        self.record.as_deref()
    }

    /// Its file, once there is one.
    fn file(&self) -> Option<&(Arc<PythonFile>, ModuleId)> {
        self.file.as_ref()
    }

    /// Its frames are not seen any more.
    fn forget(&mut self) {
        (self.record, self.settled) = (None, true);
    }

    /// Looks at what is mapped. `to_its_end` says whether recording goes on when an interpreter takes itself apart.
    fn look(&mut self, space: &AddressSpace, to_its_end: bool) -> Found {
        if self.settled {
            return Found::Nothing;
        }
        let found = self.find(space, to_its_end).transpose();
        self.settled = found.is_some();
        match found {
            None => Found::Nothing,
            Some(Ok(record)) => {
                self.record = Some(record.clone());
                Found::Interpreter(record)
            }
            Some(Err(reason)) => Found::NotUnderstood(reason),
        }
    }

    /// What BPF must know of the interpreter among the mapped files, if there is one; or why it cannot.
    fn find(&mut self, space: &AddressSpace, to_its_end: bool) -> Result<Option<Box<PythonRecord>>, String> {
        let Some(values) = self.look_at_files(space)? else { return Ok(None) };
        let Some((file, module)) = &self.file else { return Ok(None) };
        let mapped = space.present_regions().find(|region| region.module == *module).map(|region| Mapped {
            module: *module,
            start: region.start,
            file_offset: region.file_offset,
        });
        let Some(interpreter) = mapped.and_then(|mapped| Interpreter::of(file, mapped)) else { return Ok(None) };
        let (path, version) = (&interpreter.path, format!("{}.{}", file.version.0, file.version.1));
        let memory = space.memory();
        if interpreter.is_understood(&|address, bytes| read(memory.as_ref(), address, bytes)) == Some(false) {
            return Err(format!("{path} does not keep its threads as CPython {version} does"));
        }
        let pointer = thread_pointer();
        let pointer = pointer.ok_or_else(|| "the kernel does not tell where threads keep their pointer".to_owned())?;
        log::info!("{path}: CPython {version}");
        let sees_frees = space.has_environment(b"PYTHONMALLOC=malloc");
        let record = interpreter.record(pointer, values, sees_frees, to_its_end);
        self.interpreter = Some(Arc::new(interpreter));
        Ok(Some(Box::new(record)))
    }

    /// Finds the interpreter's file and the C library, without which it does not run.
    fn look_at_files(&mut self, space: &AddressSpace) -> Result<Option<ThreadValues>, String> {
        let mut values = None;
        let mut known = self.shared.list();
        for region in space.present_regions() {
            match known.kind(region.module, space.file_list()) {
                Kind::Other => {}
                Kind::CLibrary(found) => values = Some(*found),
                Kind::Interpreter(file) if self.file.is_none() => self.file = Some((Arc::clone(file), region.module)),
                Kind::Interpreter(_) => {}
                Kind::NotUnderstood(reason) => return Err(reason.clone()),
            }
        }
        Ok(values)
    }

    /// The line that a location stands for.
    pub(super) fn frame(&self, location: Location) -> Option<Frame> {
        let known = self.shared.list();
        if Some(location.module) != known.module {
            return None;
        }
        let unknown = || Frame { function: Some("<unknown Python code>".into()), source: None, inlined: false };
        Some(known.codes.frame(location.offset.saturating_sub(1)).cloned().unwrap_or_else(unknown))
    }

    /// The native stack with the Python frames of `words` where they belong.
    pub(super) fn merge(&mut self, native: Vec<Location>, words: &[u64], space: &AddressSpace) -> CallStack {
        let Some(interpreter) = self.interpreter.as_ref().filter(|_| !words.is_empty()) else { return native.into() };
        let is_loop = |location: &Location| {
            // Of a return address, the call lies before it.
            location.module == interpreter.module && interpreter.is_loop(location.offset.saturating_sub(1))
        };
        let pieces = merge(interpreter.rule(), native.iter().map(is_loop), words);
        let mut known: MutexGuard<'_, List> = self.shared.list();
        let module = known.module(space);
        let located = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Native(index) => Some(native[index]),
            Piece::Python(index) => match known.codes.line(words[index]) {
                // As of a return address: what is looked up lies one before it.
                Known::Line(number) => Some(Location { module, offset: number + 1 }),
                Known::Incomplete => None,
            },
        });
        located.collect()
    }

    /// Takes in a code object; `false` when it is none, so that the interpreter is not understood.
    fn take_code(&self, record: &[u8], memory: &dyn Fn(u64, &mut [u8]) -> bool) -> bool {
        let Some(interpreter) = &self.interpreter else { return true };
        self.shared.list().codes.add(record, interpreter, memory)
    }
}

fn read(memory: Option<&File>, address: u64, bytes: &mut [u8]) -> bool {
    memory.is_some_and(|memory| memory.read_exact_at(bytes, address).is_ok())
}
