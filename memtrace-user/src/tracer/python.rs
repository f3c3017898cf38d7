//! Python interpreters, as the BPF programs know them.

use std::mem::offset_of;

use memtrace_common::{
    process::{ProcessRecord, SLOTS},
    python::PythonRecord,
};

use super::{Tracer, TracerError, setup::mapped};
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
        let pythons = mapped::<PythonRecord>(&self.ebpf, "PYTHONS", SLOTS)?;
        // A new place for each: what the programs know of code objects and threads belongs to it.
        let index = self.pythons % SLOTS;
        self.pythons += 1;
        for (field, word) in words(record).into_iter().enumerate() {
            pythons.store(index, field * 8, word);
        }
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

/// In the order of the fields: the kernel reads them as they lie in memory.
fn words(record: &PythonRecord) -> [u64; size_of::<PythonRecord>() / 8] {
    let PythonRecord {
        current_state,
        key,
        thread_pointer,
        thread_below,
        values,
        state_frame,
        step,
        state_thread,
        frame_code,
        frame_previous,
        frame_instruction,
        frame_owner,
        frame_entry,
        frame_length,
        window,
        first_mark,
        by_address,
        code_file,
        code_name,
        code_table,
        code_line,
        check_innermost,
        code_length,
        reserved,
    } = *record;
    [
        current_state,
        key,
        thread_pointer,
        thread_below,
        values,
        state_frame,
        step,
        state_thread,
        frame_code,
        frame_previous,
        frame_instruction,
        frame_owner,
        frame_entry,
        frame_length,
        window,
        first_mark,
        by_address,
        code_file,
        code_name,
        code_table,
        code_line,
        check_innermost,
        code_length,
        reserved,
    ]
}
