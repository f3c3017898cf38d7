//! Python interpreters, as the BPF programs know them.

use std::{fs::File, mem::offset_of, sync::Arc};

use aya::maps::Array;
use memtrace_common::{
    process::{Era, NO_SLOT, ProcessRecord},
    python::{PythonRecord, interpreter},
};

use super::{
    Probe, ProbedFile, Tracer, TracerError,
    links::{BEGINNING, ENDING},
    probe_point::{self, Purpose},
    probes::inode_of,
    python_codes::PythonCodes,
};
use crate::{allocators::Call, process::elf::Function, python::PythonFile, readable::Readable};

impl Tracer {
    /// Whether Python's frames can be walked: the kernel has `bpf_loop`.
    #[must_use]
    pub const fn sees_python(&self) -> bool {
        self.python_codes.is_some()
    }

    /// Tells the BPF programs of the interpreter of the process that has begun in a slot, or, with `None`, to look at it no more.
    ///
    /// # Errors
    /// [`TracerError::Setup`].
    pub fn set_python(&mut self, slot: u32, record: Option<&PythonRecord>) -> Result<(), TracerError> {
        let processes = &self.reader.maps().processes;
        let place = offset_of!(ProcessRecord, python);
        let Some(record) = record else {
            processes.store(slot, place, 0);
            return Ok(());
        };
        // A new number for each: what the programs know of code objects and threads belongs to it. They count those of
        // forked children upwards.
        self.pythons += 1;
        let word = interpreter::pack(slot, u32::MAX - self.pythons);
        let setup = TracerError::setup("the map PYTHONS");
        let pythons = self.ebpf.map_mut("PYTHONS").ok_or_else(|| setup("the object has no such map".into()))?;
        let pythons = Array::<_, PythonRecord>::try_from(pythons);
        pythons.and_then(|mut pythons| pythons.set(slot, record, 0)).map_err(|error| setup(Box::new(error)))?;
        // When all the rest is there.
        processes.store(slot, place, word);
        Ok(())
    }

    /// Probes what an interpreter calls as it begins with its program and, unless recording goes on `to_its_end`, as it ends:
    /// in one process or, when others are followed, in all. Once for each file.
    ///
    /// # Errors
    /// As [`Self::place_probes`].
    pub fn probe_python(
        &mut self,
        file: &PythonFile,
        opened: &Arc<File>,
        pid: u32,
        to_its_end: bool,
    ) -> Result<(), TracerError> {
        let ends = if to_its_end { &[][..] } else { &file.ends };
        let begins = probed(file, opened, &file.begins);
        if self.python_ends.insert(inode_of(&begins)?) {
            for (names, file) in [(BEGINNING, begins), (ENDING, probed(file, opened, ends))] {
                if !file.probes.is_empty() {
                    self.link(names, &file, pid)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes that were live in the process that has begun in slot `home` when its interpreter began with the program; `None`
    /// when that was not seen.
    #[must_use]
    pub fn live_before_python(&self, home: u32) -> Option<u64> {
        if !self.has_python(home) {
            return None;
        }
        let pythons = Array::<_, PythonRecord>::try_from(self.ebpf.map("PYTHONS")?).ok()?;
        pythons.get(&home, 0).ok()?.began.checked_sub(1)
    }

    /// Whether the BPF programs know of an interpreter of the process that has begun in a slot.
    #[must_use]
    pub fn has_python(&self, slot: u32) -> bool {
        self.reader.maps().processes.load(slot, offset_of!(ProcessRecord, python)) != 0
    }

    /// Whether the process that has begun in slot `home` is counted no more, as its interpreter has taken itself apart.
    #[must_use]
    pub fn has_python_ended(&self, home: u32) -> bool {
        let processes = &self.reader.maps().processes;
        home != NO_SLOT && Era(processes.load(home, offset_of!(ProcessRecord, era))).slot() == NO_SLOT
    }

    /// Lets what is counted in slot `to` know the interpreter of slot `from`: one process counts in both.
    pub fn share_python(&mut self, from: u32, to: u32) {
        let processes = &self.reader.maps().processes;
        let place = offset_of!(ProcessRecord, python);
        processes.store(to, place, processes.load(from, place));
    }

    /// What becomes readable when code objects come; `None` where there is no Python to be seen. Needs a tokio runtime.
    #[must_use]
    pub fn python_codes(&self) -> Option<Readable> {
        self.python_codes.as_ref()?.readable()
    }

    /// Takes the copies of code objects that have come: `memtrace_common::python::CodeRecord`.
    pub fn take_python_codes(&mut self, take: impl FnMut(&[u8])) {
        if let Some(codes) = &mut self.python_codes {
            codes.take(take);
        }
    }

    /// Makes all code objects unknown when many have come since that was last done, and returns whether it has.
    pub fn begin_python_part(&mut self) -> bool {
        self.python_codes.as_mut().is_some_and(PythonCodes::begin_part)
    }
}

/// Functions of an interpreter, of whose calls nothing matters but that they are made.
fn probed(file: &PythonFile, opened: &Arc<File>, functions: &[Function]) -> ProbedFile {
    let purpose = Purpose { arguments: Vec::new(), with_return: false, skip_null: None };
    let probe = |function: &Function| {
        let point = probe_point::choose(function.into(), file.machine, &purpose).ok()?;
        Some(Probe {
            name: function.names.first()?.clone(),
            offset: function.offset + point.offset_in_function,
            call: Call::release(0),
            exits: Ok(Vec::new()),
            without_return_probe: true,
            nests: false,
        })
    };
    let probes = functions.iter().filter_map(probe).collect();
    ProbedFile { name: file.path.to_string(), file: Arc::clone(opened), probes }
}
