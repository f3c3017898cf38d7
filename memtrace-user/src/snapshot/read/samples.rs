//! Samples as they come: a number for the stack, a number for the labels, and the values.
//!
//! A stack is the bytes of its location ids, and labels are the bytes of theirs: most samples share both with others,
//! and looking bytes up is all that is done a sample.

use std::collections::HashMap;

use prost::encoding::encode_varint;

use crate::{
    profile::StackSample,
    snapshot::{
        SnapshotProblem,
        limits::{Budget, MAX_TYPES},
        proto::sample,
        wire::{Value, each_field, each_number},
    },
};

/// Memory of an entry of a hash map beside the bytes that it is found by.
const ENTRY: usize = 64;

/// The samples of a profile.
#[derive(Debug, Default)]
pub struct Samples {
    /// Stack and labels of each, as numbers.
    pub keys: Vec<(u32, u32)>,
    /// Values of each, [`Self::width`] a sample.
    pub values: Vec<i64>,
    /// Values a sample; `None` without any sample.
    pub width: Option<usize>,
    stacks: Distinct,
    labels: Distinct,
    ids: Vec<u8>,
    label: Vec<u8>,
}

impl Samples {
    /// Takes in a sample.
    pub fn take(&mut self, message: &[u8], budget: &mut Budget) -> Result<(), SnapshotProblem> {
        let before = self.values.len();
        self.ids.clear();
        self.label.clear();
        each_field(message, |field, value| {
            match (field, value) {
                (sample::LOCATION_ID, Value::Number(id)) => encode_varint(id, &mut self.ids),
                (sample::LOCATION_ID, Value::Bytes(row)) => self.ids.extend_from_slice(row),
                (sample::VALUE, value) => each_number(value, |value| {
                    self.values.push(value.cast_signed());
                    let fits = self.values.len() - before <= MAX_TYPES;
                    if fits { Ok(()) } else { Err(SnapshotProblem::damaged("a sample has too many values")) }
                })?,
                (sample::LABEL, Value::Bytes(label)) => {
                    encode_varint(label.len() as u64, &mut self.label);
                    self.label.extend_from_slice(label);
                }
                _ => {}
            }
            Ok(())
        })?;
        let count = self.values.len() - before;
        if *self.width.get_or_insert(count) != count {
            return Err(SnapshotProblem::damaged("its samples have different numbers of values"));
        }
        budget.memory(count * size_of::<i64>() + size_of::<(u32, u32)>() + size_of::<StackSample>())?;
        self.keys.push((self.stacks.number(&self.ids, budget)?, self.labels.number(&self.label, budget)?));
        Ok(())
    }

    /// Takes the location ids of each stack, as a row of varints, by number.
    pub fn take_stacks(&mut self) -> Vec<Box<[u8]>> {
        self.stacks.take()
    }

    /// Takes the labels of each combination, each with its length before it, by number.
    pub fn take_labels(&mut self) -> Vec<Box<[u8]>> {
        self.labels.take()
    }
}

/// Numbers for byte strings.
#[derive(Debug, Default)]
struct Distinct(HashMap<Box<[u8]>, u32>);

impl Distinct {
    fn number(&mut self, bytes: &[u8], budget: &mut Budget) -> Result<u32, SnapshotProblem> {
        if let Some(number) = self.0.get(bytes) {
            return Ok(*number);
        }
        budget.memory(ENTRY + bytes.len())?;
        // Entries take memory, and the limit on that is far below 2^32 of them.
        let number = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.insert(bytes.into(), number);
        Ok(number)
    }

    fn take(&mut self) -> Vec<Box<[u8]>> {
        let mut ordered = vec![Box::default(); self.0.len()];
        for (bytes, number) in self.0.drain() {
            ordered[number as usize] = bytes;
        }
        self.0.shrink_to_fit();
        ordered
    }
}
