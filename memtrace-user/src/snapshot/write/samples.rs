//! Samples: a stack, four numbers, and labels.
//!
//! Samples are many, stacks and combinations of labels few: both are encoded once and copied.

use std::{collections::HashMap, io, rc::Rc};

use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::{
    locations::{Locations, stack_key},
    strings::Strings,
};
use crate::{
    profile::{CallStack, Domain, ProcessIndex, Snapshot, StackEnd, StackSample, ThreadIndex},
    snapshot::{
        labels,
        proto::{Label, profile, sample},
        time,
        wire::put_message,
    },
};

/// Bytes of samples that are handed on at once.
const CHUNK: usize = 64 << 10;

/// What a sample's labels are made of.
type LabelKey = (ProcessIndex, Option<ThreadIndex>, Domain, StackEnd);

/// A snapshot's samples, ready to be written.
#[derive(Debug)]
pub struct Samples<'a> {
    of_snapshot: &'a [StackSample],
    /// Whether the numbers are estimates, whose errors are written.
    sampled: bool,
    stacks: Stacks<'a>,
    labels: HashMap<LabelKey, Vec<u8>>,
    /// Stack and index of each sample, those of one stack in a row: compressed, all but the first take little room.
    order: Vec<(u32, usize)>,
}

impl<'a> Samples<'a> {
    /// Encodes all labels, as their texts must be known before the first sample is written.
    pub fn new(snapshot: &'a Snapshot, locations: &'a Locations, strings: &mut Strings<'a>) -> Self {
        let mut labels = HashMap::new();
        let mut stacks = Stacks { locations, encoded: Vec::new(), by_place: HashMap::new(), by_ids: HashMap::new() };
        let mut order = Vec::with_capacity(snapshot.samples.len());
        for (index, sample) in snapshot.samples.iter().enumerate() {
            order.push((stacks.number(&sample.stack), index));
            let key = label_key(sample);
            labels.entry(key).or_insert_with(|| encode_labels(snapshot, key, strings));
        }
        order.sort_unstable();
        let sampled = snapshot.about.options.sample_bytes.is_some();
        Self { of_snapshot: &snapshot.samples, sampled, stacks, labels, order }
    }

    /// Hands the encoded samples to `write`, in chunks of some size.
    pub fn write(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut chunk = Vec::with_capacity(2 * CHUNK);
        for (stack, index) in &self.order {
            let sample = &self.of_snapshot[*index];
            let labels = self.labels.get(&label_key(sample)).map_or(&[][..], |labels| labels);
            put_sample(self.stacks.encoded(*stack), values(sample, &mut [0; 6], self.sampled), labels, &mut chunk);
            if chunk.len() >= CHUNK {
                write(&chunk)?;
                chunk.clear();
            }
        }
        write(&chunk)
    }
}

/// Appends a sample whose stack and labels are encoded.
fn put_sample(stack: &[u8], values: &[u64], labels: &[u8], out: &mut Vec<u8>) {
    let values_length: usize = values.iter().map(|value| encoded_len_varint(*value)).sum();
    // Tag and length of the values take a byte each: there are six numbers of ten bytes at most.
    let length = stack.len() + 2 + values_length + labels.len();
    encode_key(profile::SAMPLE, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
    out.extend_from_slice(stack);
    encode_key(sample::VALUE, WireType::LengthDelimited, out);
    encode_varint(values_length as u64, out);
    for value in values {
        encode_varint(*value, out);
    }
    out.extend_from_slice(labels);
}

/// The distinct stacks, encoded.
#[derive(Debug)]
struct Stacks<'a> {
    locations: &'a Locations,
    encoded: Vec<Rc<[u8]>>,
    /// By where a stack lies in memory, which most samples of one stack share.
    by_place: HashMap<(usize, usize), u32>,
    /// By its content.
    by_ids: HashMap<Rc<[u8]>, u32>,
}

impl Stacks<'_> {
    fn number(&mut self, stack: &CallStack) -> u32 {
        if let Some(number) = self.by_place.get(&stack_key(stack)) {
            return *number;
        }
        let ids = self.locations.ids(stack);
        let mut bytes = Vec::new();
        prost::encoding::uint64::encode_packed(sample::LOCATION_ID, &ids, &mut bytes);
        let bytes: Rc<[u8]> = bytes.into();
        let encoded = &mut self.encoded;
        let number = *self.by_ids.entry(bytes).or_insert_with_key(|bytes| {
            encoded.push(Rc::clone(bytes));
            u32::try_from(encoded.len() - 1).unwrap_or(u32::MAX)
        });
        self.by_place.insert(stack_key(stack), number);
        number
    }

    fn encoded(&self, number: u32) -> &[u8] {
        self.encoded.get(number as usize).map_or(&[], |bytes| bytes)
    }
}

fn label_key(sample: &StackSample) -> LabelKey {
    (sample.process, sample.thread, sample.domain, sample.end)
}

/// Allocated blocks and bytes, live blocks and bytes, and the errors of the bytes if they are `sampled`, as numbers that
/// pprof's signed ones can hold.
fn values<'a>(sample: &StackSample, values: &'a mut [u64; 6], sampled: bool) -> &'a [u64] {
    let stats = &sample.stats;
    let error = |variance: u128| u64::try_from(variance.isqrt()).unwrap_or(u64::MAX);
    *values = [
        stats.allocated_blocks,
        stats.allocated_bytes,
        stats.live_blocks(),
        stats.live_bytes(),
        error(stats.allocated_variance),
        error(stats.allocated_variance.saturating_sub(stats.freed_variance)),
    ]
    .map(|value| value.min(i64::MAX.unsigned_abs()));
    if sampled { values } else { &values[..4] }
}

fn encode_labels<'s>(
    snapshot: &'s Snapshot,
    (process, thread, domain, end): LabelKey,
    strings: &mut Strings<'s>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut text = |key, value: &'s str| {
        if !value.is_empty() {
            let label = Label { key: strings.id(key), text: strings.id(value), ..Label::default() };
            put_message(sample::LABEL, &label, &mut out);
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
            put_message(sample::LABEL, &label, &mut out);
        }
    };
    number(labels::PID, process.map_or(0, |process| i64::from(process.info.pid)), "");
    number(labels::TID, thread.map_or(0, |thread| i64::from(thread.tid)), "");
    let started = process.and_then(|process| process.started_at).map_or(0, time::to_nanos);
    number(labels::START_TIME, started, labels::START_TIME_UNIT);
    out
}
