//! The messages of a profile as they come, with nothing resolved.

use std::sync::Arc;

use super::samples::Samples;
use crate::snapshot::{
    SnapshotProblem,
    limits::{Budget, MAX_STACK, MAX_TYPES},
    proto::{self, Function, Line, Mapping, ValueType, profile},
    wire::{Value, each_number, message},
};

/// A location whose lines lie in [`Tables::lines`].
#[derive(Debug, Clone, Copy)]
pub struct LocationEntry {
    /// As the file has it.
    pub id: u64,
    /// Its mapping, 0 when there is none.
    pub mapping_id: u64,
    /// Its address, 0 when there is none.
    pub address: u64,
    /// Where its lines begin and end.
    pub lines: (usize, usize),
}

/// All messages of a profile.
#[derive(Debug, Default)]
pub struct Tables {
    /// What may still be taken.
    pub budget: Budget,
    /// The string table.
    pub strings: Vec<Arc<str>>,
    /// Meaning of each sample's values.
    pub sample_types: Vec<ValueType>,
    /// The samples.
    pub samples: Samples,
    /// Mapped files.
    pub mappings: Vec<Mapping>,
    /// Locations.
    pub locations: Vec<LocationEntry>,
    /// Lines of all locations.
    pub lines: Vec<Line>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Comments, as strings.
    pub comments: Vec<u64>,
    /// Time of the reading; 0 when not told.
    pub time_nanos: i64,
    /// Time that was traced; 0 when not told.
    pub duration_nanos: i64,
    /// What is counted between two samples.
    pub period_type: Option<ValueType>,
    /// How much of it, on average.
    pub period: i64,
    /// Name of a sample type, as a string.
    pub default_sample_type: u64,
}

impl Tables {
    /// Takes in a field of the profile.
    pub fn take(&mut self, field: u32, value: Value<'_>) -> Result<(), SnapshotProblem> {
        match (field, value) {
            (profile::SAMPLE, Value::Bytes(bytes)) => self.samples.take(bytes, &mut self.budget),
            (profile::LOCATION, Value::Bytes(bytes)) => self.take_location(bytes),
            (profile::STRING, Value::Bytes(bytes)) => self.take_string(bytes),
            (profile::SAMPLE_TYPE, Value::Bytes(bytes)) => {
                if self.sample_types.len() == MAX_TYPES {
                    return Err(SnapshotProblem::damaged(format!("more than {MAX_TYPES} sample types")));
                }
                push(&mut self.sample_types, message(bytes)?, &mut self.budget)
            }
            (profile::MAPPING, Value::Bytes(bytes)) => push(&mut self.mappings, message(bytes)?, &mut self.budget),
            (profile::FUNCTION, Value::Bytes(bytes)) => push(&mut self.functions, message(bytes)?, &mut self.budget),
            (profile::COMMENT, value) => each_number(value, |id| push(&mut self.comments, id, &mut self.budget)),
            (profile::PERIOD_TYPE, Value::Bytes(bytes)) => {
                self.period_type = Some(message(bytes)?);
                Ok(())
            }
            (field, Value::Number(number)) => {
                self.take_number(field, number);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A text of the string table.
    pub fn string(&self, id: u64) -> Result<&Arc<str>, SnapshotProblem> {
        let text = usize::try_from(id).ok().and_then(|index| self.strings.get(index));
        text.ok_or_else(|| SnapshotProblem::damaged(format!("there is no string {id}")))
    }

    /// The same for the signed numbers that most messages have.
    pub fn text(&self, id: i64) -> Result<&Arc<str>, SnapshotProblem> {
        self.string(u64::try_from(id).map_err(|_| SnapshotProblem::damaged(format!("there is no string {id}")))?)
    }

    fn take_number(&mut self, field: u32, number: u64) {
        match field {
            profile::TIME_NANOS => self.time_nanos = number.cast_signed(),
            profile::DURATION_NANOS => self.duration_nanos = number.cast_signed(),
            profile::PERIOD => self.period = number.cast_signed(),
            profile::DEFAULT_SAMPLE_TYPE => self.default_sample_type = number,
            _ => {}
        }
    }

    fn take_string(&mut self, bytes: &[u8]) -> Result<(), SnapshotProblem> {
        // Twice, as invalid bytes become characters of three.
        self.budget.memory(2 * size_of::<Arc<str>>() + 3 * bytes.len())?;
        self.strings.push(String::from_utf8_lossy(bytes).into());
        Ok(())
    }

    fn take_location(&mut self, bytes: &[u8]) -> Result<(), SnapshotProblem> {
        let location: proto::Location = message(bytes)?;
        if location.lines.len() > MAX_STACK {
            return Err(SnapshotProblem::damaged(format!("location {} has over {MAX_STACK} lines", location.id)));
        }
        let lines = (self.lines.len(), self.lines.len() + location.lines.len());
        for line in location.lines {
            push(&mut self.lines, line, &mut self.budget)?;
        }
        let entry =
            LocationEntry { id: location.id, mapping_id: location.mapping_id, address: location.address, lines };
        push(&mut self.locations, entry, &mut self.budget)
    }
}

/// Adds an item whose memory is accounted for; twice, for what is made of it later.
fn push<T>(items: &mut Vec<T>, item: T, budget: &mut Budget) -> Result<(), SnapshotProblem> {
    budget.memory(2 * size_of::<T>())?;
    items.push(item);
    Ok(())
}
