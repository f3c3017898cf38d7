//! Writes a snapshot as a gzip-compressed pprof profile.
//!
//! Texts come first, then files, functions and locations, and the samples last, so that a reader knows everything that
//! a sample refers to before it meets it. pprof leaves the order open.

mod locations;
mod samples;
mod strings;

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};

use self::{locations::Locations, samples::Samples, strings::Strings};
use super::{
    comments,
    proto::{ValueType, profile},
    time,
    wire::{put_message, put_number},
};
use crate::profile::{Snapshot, SortBy};

/// Sample types and their units, in the order of a sample's values. pprof and its relatives know these names.
pub const SAMPLE_TYPES: [(&str, &str); 4] =
    [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")];

/// Further ones of estimates: the standard errors of the bytes.
pub const ERROR_TYPES: [(&str, &str); 2] = [("alloc_space_error", "bytes"), ("inuse_space_error", "bytes")];

/// Sample types that a reader may want first, and the order they stand for.
pub const DEFAULTS: [(SortBy, &str); 4] = [
    (SortBy::LiveBytes, "inuse_space"),
    (SortBy::LiveBlocks, "inuse_objects"),
    (SortBy::AllocatedBytes, "alloc_space"),
    (SortBy::AllocatedBlocks, "alloc_objects"),
];

/// Level 1 of 9: levels above make files a little smaller and take several times as long.
const LEVEL: u32 = 1;

/// Writes a snapshot.
///
/// Of a sample that was freed more often than allocated, as much is written as freed as was allocated; pprof has
/// allocated and live numbers, and no negative ones.
///
/// # Errors
/// Those of `output`.
pub fn write(output: impl Write, snapshot: &Snapshot) -> io::Result<()> {
    let mut output = GzEncoder::new(output, Compression::new(LEVEL));
    let mut strings = Strings::default();
    let mut head = Vec::new();
    put_types(snapshot, &mut strings, &mut head);
    put_times(snapshot, &mut head);
    put_comments(snapshot, &mut strings, &mut head);
    let locations = Locations::put(snapshot, &mut strings, &mut head);
    let samples = Samples::new(snapshot, &locations, &mut strings);
    output.write_all(strings.encoded())?;
    output.write_all(&head)?;
    samples.write(|chunk| output.write_all(chunk))?;
    output.finish()?.flush()
}

fn put_types<'a>(snapshot: &'a Snapshot, strings: &mut Strings<'a>, out: &mut Vec<u8>) {
    let mut value_type = |(kind, unit)| ValueType { kind: strings.id(kind), unit: strings.id(unit) };
    let errors = if snapshot.about.options.sample_bytes.is_some() { &ERROR_TYPES[..] } else { &[] };
    for sample_type in SAMPLE_TYPES.iter().chain(errors).copied() {
        put_message(profile::SAMPLE_TYPE, &value_type(sample_type), out);
    }
    if let Some(mean) = snapshot.about.options.sample_bytes {
        put_message(profile::PERIOD_TYPE, &value_type(("space", "bytes")), out);
        put_number(profile::PERIOD, i64::try_from(mean).unwrap_or(i64::MAX), out);
    }
    let default =
        DEFAULTS.iter().find(|(sort, _)| *sort == snapshot.about.default_sort).map_or("inuse_space", |(_, name)| name);
    put_number(profile::DEFAULT_SAMPLE_TYPE, strings.id(default), out);
}

fn put_times(snapshot: &Snapshot, out: &mut Vec<u8>) {
    let about = &snapshot.about;
    put_number(profile::TIME_NANOS, about.taken_at.map_or(0, time::to_nanos), out);
    put_number(profile::DURATION_NANOS, about.elapsed.map_or(0, time::duration_to_nanos), out);
}

fn put_comments<'a>(snapshot: &'a Snapshot, strings: &mut Strings<'a>, out: &mut Vec<u8>) {
    let ids: Vec<i64> = comments::encode(snapshot).into_iter().map(|comment| strings.id(comment)).collect();
    prost::encoding::int64::encode_packed(profile::COMMENT, &ids, out);
}
