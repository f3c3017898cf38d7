//! Samples: a stack, four numbers, and labels.
//!
//! Samples are many, stacks and combinations of labels few: both are encoded once and copied.

use std::{collections::HashMap, ops::Range};

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::{
    locations::{Locations, stack_key},
    strings::Strings,
};
use crate::{
    profile::{Domain, ProcessIndex, Snapshot, StackEnd, StackSample, ThreadIndex},
    snapshot::{
        labels,
        proto::{Label, profile, sample},
        time,
        wire::put_message,
    },
};

/// What a sample's labels are made of.
type LabelKey = (ProcessIndex, Option<ThreadIndex>, Domain, StackEnd);

/// Writes samples.
#[derive(Debug)]
pub struct Samples<'a> {
    locations: &'a Locations,
    pieces: Vec<u8>,
    stacks: HashMap<(usize, usize), Range<usize>>,
    labels: HashMap<LabelKey, Range<usize>>,
}

impl<'a> Samples<'a> {
    /// Encodes all labels, as their texts must be known before the first sample is written.
    pub fn new<'s>(snapshot: &'s Snapshot, locations: &'a Locations, strings: &mut Strings<'s>) -> Self {
        let mut samples = Self { locations, pieces: Vec::new(), stacks: HashMap::new(), labels: HashMap::new() };
        for sample in &snapshot.samples {
            let key = label_key(sample);
            if !samples.labels.contains_key(&key) {
                let start = samples.pieces.len();
                put_labels(snapshot, key, strings, &mut samples.pieces);
                samples.labels.insert(key, start..samples.pieces.len());
            }
        }
        samples
    }

    /// Appends a sample.
    pub fn put(&mut self, sample: &StackSample, out: &mut Vec<u8>) {
        let stack = self.stack(sample);
        let labels = self.labels.get(&label_key(sample)).cloned().unwrap_or_default();
        let values = values(sample);
        let values_length: usize = values.iter().map(|value| encoded_len_varint(*value)).sum();
        // Tag and length of the values take a byte each: there are four numbers of ten bytes at most.
        let length = stack.len() + 2 + values_length + labels.len();
        encode_key(profile::SAMPLE, WireType::LengthDelimited, out);
        encode_varint(length as u64, out);
        out.extend_from_slice(&self.pieces[stack]);
        encode_key(sample::VALUE, WireType::LengthDelimited, out);
        encode_varint(values_length as u64, out);
        for value in values {
            encode_varint(value, out);
        }
        out.extend_from_slice(&self.pieces[labels]);
    }

    /// Where the sample's stack lies, encoded.
    fn stack(&mut self, sample: &StackSample) -> Range<usize> {
        let pieces = &mut self.pieces;
        let encoded = self.stacks.entry(stack_key(&sample.stack)).or_insert_with(|| {
            let start = pieces.len();
            let ids: Vec<u64> = sample.stack.iter().map(|location| self.locations.id(*location)).collect();
            prost::encoding::uint64::encode_packed(sample::LOCATION_ID, &ids, pieces);
            start..pieces.len()
        });
        encoded.clone()
    }
}

fn label_key(sample: &StackSample) -> LabelKey {
    (sample.process, sample.thread, sample.domain, sample.end)
}

/// Allocated blocks and bytes, live blocks and bytes, as numbers that pprof's signed ones can hold.
fn values(sample: &StackSample) -> [u64; 4] {
    let stats = &sample.stats;
    [stats.allocated_blocks, stats.allocated_bytes, stats.live_blocks(), stats.live_bytes()]
        .map(|value| value.min(i64::MAX.unsigned_abs()))
}

fn put_labels<'s>(
    snapshot: &'s Snapshot,
    (process, thread, domain, end): LabelKey,
    strings: &mut Strings<'s>,
    out: &mut Vec<u8>,
) {
    let mut text = |key, value: &'s str| {
        if !value.is_empty() {
            let label = Label { key: strings.id(key), text: strings.id(value), ..Label::default() };
            put_message(sample::LABEL, &label, out);
        }
    };
    let process = snapshot.processes.get(process.0 as usize);
    let thread = thread.and_then(|index| snapshot.threads.get(index.0 as usize));
    text(labels::PROCESS, process.map_or("", |process| labels::process_name(&process.info.command)));
    text(labels::THREAD, thread.map_or("", |thread| &thread.name));
    text(labels::DOMAIN, domain.name());
    text(labels::STACK, end.name());
    let mut number = |key, value: i64, unit| {
        if value != 0 {
            let label = Label { key: strings.id(key), number: value, unit: strings.id(unit), ..Label::default() };
            put_message(sample::LABEL, &label, out);
        }
    };
    number(labels::PID, process.map_or(0, |process| i64::from(process.info.pid)), "");
    number(labels::TID, thread.map_or(0, |thread| i64::from(thread.tid)), "");
    let started = process.and_then(|process| process.started_at).map_or(0, time::to_nanos);
    number(labels::START_TIME, started, labels::START_TIME_UNIT);
}
