//! The Python interpreter of a process: found among the files that it has mapped, told to the BPF programs, and asked what
//! its frames are.

mod environment;
mod following;
mod hooks;
mod pooled;
mod remarks;
mod shared;

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    sync::{Arc, MutexGuard},
};

use memtrace_common::python::PythonRecord;

pub(super) use self::{
    environment::{remark, variables_for},
    shared::Shared,
};
use self::{
    following::Waiting,
    pooled::Looks,
    shared::{Kind, List},
};
use crate::{
    process::AddressSpace,
    profile::{AllocStats, CallStack, Frame, Location, ModuleId},
    python::{
        Check, Hooks, Interpreter, Known, Mapped, Piece, PythonFile, ThreadValues, arena_bytes, merge, pool_bytes,
    },
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
    /// How often it was not as it should be when it was looked at.
    strange_looks: u32,
}

/// Looks, 50 ms apart, after which an interpreter is taken for a strange one: while it begins, for less than a millisecond, each is.
const MOST_STRANGE_LOOKS: u32 = 10;

/// What a session knows of Python besides what it knows of each process.
#[derive(Debug, Default)]
pub(super) struct State {
    waiting: Waiting,
    pools: Looks,
    /// Allocator hooks that are probed, by where their processes have begun.
    hooks: Vec<(u32, Hooks)>,
    /// Processes, by where they have begun, whose interpreters have not been looked at when they run.
    unchecked: Vec<u32>,
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

    /// Bytes of the pools that its small objects are in, which are not seen; `None` where all are seen, or nothing is known.
    fn pool_bytes(&self) -> Option<u64> {
        let is_pooled = self.record.as_ref().is_some_and(|record| record.check_innermost != 0);
        self.interpreter.as_ref().filter(|_| is_pooled).map(|interpreter| pool_bytes(interpreter.version))
    }

    /// Its file, once there is one.
    fn file(&self) -> Option<&(Arc<PythonFile>, ModuleId)> {
        self.file.as_ref()
    }

    /// The interpreter, once it is known.
    fn interpreter(&self) -> Option<&Interpreter> {
        self.interpreter.as_deref()
    }

    /// Its frames are not seen any more.
    fn forget(&mut self) {
        (self.record, self.interpreter, self.settled) = (None, None, true);
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
        let Some(interpreter) = mapped.and_then(|mapped| Interpreter::of(file, mapped, values)) else {
            return Ok(None);
        };
        let pointer = thread_pointer();
        let pointer = pointer.ok_or_else(|| "the kernel does not tell where threads keep their pointer".to_owned())?;
        log::info!("{}: CPython {}.{}", interpreter.path, interpreter.version.0, interpreter.version.1);
        let sees_frees = space.has_environment(b"PYTHONMALLOC=malloc");
        let record = interpreter.record(pointer, values, sees_frees, to_its_end);
        self.interpreter = Some(Arc::new(interpreter));
        Ok(Some(Box::new(record)))
    }

    /// Looks whether an interpreter that has been found is as it should be: `None` when that cannot be said yet. Until then its
    /// frames are seen: what they name is looked at by itself.
    fn check(&mut self, space: &AddressSpace) -> Option<Result<(), String>> {
        let Some(interpreter) = &self.interpreter else { return Some(Ok(())) };
        match check(interpreter, space) {
            Check::NotBegun => None,
            Check::Understood => Some(Ok(())),
            Check::Strange if self.strange_looks < MOST_STRANGE_LOOKS => {
                self.strange_looks += 1;
                None
            }
            Check::Strange => Some(Err(strange(interpreter))),
        }
    }

    /// What was strange about the interpreter, if anything.
    fn strange(&self) -> Option<String> {
        self.interpreter.as_deref().filter(|_| self.strange_looks > 0).map(strange)
    }

    /// Finds the interpreter's file and the C library, without which it does not run.
    fn look_at_files(&mut self, space: &AddressSpace) -> Result<Option<ThreadValues>, String> {
        let mut values = None;
        let mut known = self.shared.list();
        for region in space.present_regions() {
            match known.kind(region.module, space.file_list()) {
                Kind::CLibrary(found) => values = Some(*found),
                Kind::Interpreter(file) if self.file.is_none() => self.file = Some((Arc::clone(file), region.module)),
                Kind::Other | Kind::Interpreter(_) => {}
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

    /// Whether what was mapped through these frames are arenas, out of which the interpreter takes its pools: by their size, and as
    /// it is the interpreter that has called for them.
    pub(super) fn is_arena(&self, frames: &[Location], mapped: &AllocStats) -> bool {
        let Some((interpreter, innermost)) = self.interpreter.as_ref().zip(frames.first()) else { return false };
        let is_own = |frame: &&Location| frame.module == interpreter.module;
        let caller = frames.iter().find(|frame| is_own(frame) || frame.module != innermost.module);
        let arenas = mapped.allocated_blocks.saturating_mul(arena_bytes(interpreter.version));
        caller.is_some_and(|caller| is_own(&caller)) && arenas > 0 && mapped.allocated_bytes == arenas
    }

    /// Whether a block with these frames is the interpreter's: it has called the allocator. Code of a program that an interpreter is
    /// linked into cannot be told from it.
    pub(super) fn is_own(&self, frames: &[Location]) -> bool {
        let Some((interpreter, innermost)) = self.interpreter.as_ref().zip(frames.first()) else { return false };
        let name = interpreter.path.rsplit('/').next().unwrap_or_default();
        innermost.module == interpreter.module && name.trim_start_matches("lib").starts_with("python")
    }

    /// Takes in a code object; `false` when it is none, so that the interpreter is not understood.
    fn take_code(&self, record: &[u8], memory: &dyn Fn(u64, &mut [u8]) -> bool) -> bool {
        let Some(interpreter) = &self.interpreter else { return true };
        self.shared.list().codes.add(record, interpreter, memory)
    }
}

fn check(interpreter: &Interpreter, space: &AddressSpace) -> Check {
    let memory = space.memory();
    interpreter.check(&|address, bytes| read(memory.as_ref(), address, bytes))
}

fn strange(interpreter: &Interpreter) -> String {
    let Interpreter { path, version, .. } = interpreter;
    format!("{path} does not keep its threads as CPython {}.{} does", version.0, version.1)
}

fn read(memory: Option<&File>, address: u64, bytes: &mut [u8]) -> bool {
    memory.is_some_and(|memory| memory.read_exact_at(bytes, address).is_ok())
}
