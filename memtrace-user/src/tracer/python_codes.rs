//! What the BPF programs know of Python's code objects, and the copies that come of them.

use std::{mem::offset_of, sync::atomic::Ordering};

use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use memtrace_common::python::{
    Bucket, CODE_BUCKET_BITS, CodeRecord, Generations, LATE_CODES, LateCode, TABLE_BYTES, frame, numbers,
};

use super::{TracerError, mapped::MappedArray, setup::mapped};
use crate::readable::Readable;

/// Code objects after which those that are known become unknown, so that numbers do not run out, and what is known of those that are
/// gone is given back.
const PART: u64 = frame::CODES / 32;

/// See the module.
pub struct PythonCodes {
    ring: RingBuf<MapData>,
    numbers: MappedArray<u64>,
    late: MappedArray<LateCode>,
    known: MappedArray<Bucket>,
    generations: MappedArray<Generations>,
    /// Late ones that have been written when they were last taken.
    late_taken: u64,
    /// Number of the last code object before this part.
    part: u64,
}

impl PythonCodes {
    /// Takes the ring out of the object.
    ///
    /// # Errors
    /// When there is no such map, or no memory.
    pub fn new(ebpf: &mut Ebpf) -> Result<Self, TracerError> {
        let setup = TracerError::setup("the map PYTHON_CODE_RING");
        let ring = ebpf.take_map("PYTHON_CODE_RING").ok_or_else(|| setup("the object has no such map".into()))?;
        let ring = RingBuf::try_from(ring).map_err(|error| setup(Box::new(error)))?;
        Ok(Self {
            ring,
            numbers: mapped(ebpf, "PYTHON_NUMBERS", numbers::COUNT)?,
            late: mapped(ebpf, "PYTHON_LATE", LATE_CODES)?,
            known: mapped(ebpf, "PYTHON_CODES", 1 << CODE_BUCKET_BITS)?,
            generations: mapped(ebpf, "PYTHON_GENERATIONS", 1)?,
            late_taken: 0,
            part: 0,
        })
    }

    /// What becomes readable when code objects come. Needs a tokio runtime.
    pub fn readable(&self) -> Option<Readable> {
        Readable::of(&self.ring).ok()
    }

    /// Takes the copies of code objects, [`CodeRecord`], in the order in which they were seen; behind them those for which the ring
    /// had no room, as records without the object.
    pub fn take(&mut self, mut take: impl FnMut(&[u8])) {
        while let Some(record) = self.ring.next() {
            take(&record);
        }
        let written = self.numbers.load(numbers::LATE_WRITTEN, 0);
        if written == self.late_taken {
            return;
        }
        self.late_taken = written;
        for place in 0..LATE_CODES {
            let code_and_slot = self.late.load(place, offset_of!(LateCode, code_and_slot));
            if code_and_slot == 0 {
                continue;
            }
            let address = self.late.load(place, offset_of!(LateCode, address));
            let mark = self.late.load(place, offset_of!(LateCode, mark));
            self.late.store(place, offset_of!(LateCode, code_and_slot), 0);
            take(&late_record([code_and_slot, address, mark]));
        }
    }

    /// Makes all code objects unknown when many have come since that was last done: those that are met again get other numbers.
    /// Returns whether it has.
    pub fn begin_part(&mut self) -> bool {
        let last = self.numbers.load(numbers::LAST_CODE, 0);
        if last.wrapping_sub(self.part) < PART {
            return false;
        }
        self.part = last;
        for bucket in 0..1 << CODE_BUCKET_BITS {
            for word in self.known.words(bucket) {
                word.store(0, Ordering::Relaxed);
            }
        }
        for generation in self.generations.words(0) {
            generation.fetch_add(1, Ordering::Release);
        }
        true
    }
}

/// The record of a late code object.
fn late_record(words: [u64; 3]) -> Vec<u8> {
    let mut record: Vec<u8> = words.into_iter().flat_map(u64::to_ne_bytes).collect();
    record.resize(size_of::<CodeRecord>() - TABLE_BYTES, 0);
    record
}
