//! Python interpreters, as the BPF programs know them.

use std::mem::offset_of;

use aya::maps::Array;
use memtrace_common::{
    process::{ProcessRecord, SLOTS},
    python::PythonRecord,
};

use super::{Tracer, TracerError};
use crate::readable::Readable;

impl Tracer {
    /// Whether Python's frames can be walked: the kernel has `bpf_loop`.
    #[must_use]
    pub const fn sees_python(&self) -> bool {
        self.python_codes.is_some()
    }

    /// Tells the BPF programs of the interpreter of the process in a slot, or, with `None`, to look at it no more.
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
        // A new place for each: what the programs know of code objects and threads belongs to it.
        let index = self.pythons % SLOTS;
        self.pythons += 1;
        let setup = TracerError::setup("the map PYTHONS");
        let pythons = self.ebpf.map_mut("PYTHONS").ok_or_else(|| setup("the object has no such map".into()))?;
        let pythons = Array::<_, PythonRecord>::try_from(pythons);
        pythons.and_then(|mut pythons| pythons.set(index, record, 0)).map_err(|error| setup(Box::new(error)))?;
        // When all the rest is there.
        processes.store(slot, place, u64::from(index) + 1);
        Ok(())
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
        Readable::of(self.python_codes.as_ref()?).ok()
    }

    /// Takes the copies of code objects out of the ring buffer: `memtrace_common::python::CodeRecord`, in the order in which
    /// they were seen.
    pub fn take_python_codes(&mut self, mut take: impl FnMut(&[u8])) {
        let Some(codes) = &mut self.python_codes else { return };
        while let Some(record) = codes.next() {
            take(&record);
        }
    }
}
