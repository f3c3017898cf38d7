//! Comments about a traced process.

use std::fmt::Display;

use super::number;
use crate::{
    profile::{ProcessTotals, TracedProcess},
    snapshot::time,
};

/// A counter of a process.
type Counter = fn(&mut ProcessTotals) -> &mut u64;

/// One line a counter.
const COUNTERS: [(&str, Counter); 12] = [
    ("current_bytes", |totals| &mut totals.current_bytes),
    ("peak_bytes", |totals| &mut totals.peak_bytes),
    ("allocated_blocks", |totals| &mut totals.stats.allocated_blocks),
    ("allocated_bytes", |totals| &mut totals.stats.allocated_bytes),
    ("freed_blocks", |totals| &mut totals.stats.freed_blocks),
    ("freed_bytes", |totals| &mut totals.stats.freed_bytes),
    ("failed_calls", |totals| &mut totals.failed_calls),
    ("unknown_frees", |totals| &mut totals.unknown_frees),
    ("entry_hits", |totals| &mut totals.entry_hits),
    ("return_hits", |totals| &mut totals.return_hits),
    ("release_hits", |totals| &mut totals.release_hits),
    ("cpu_nanos", |totals| &mut totals.cpu_nanos),
];

/// Hands each key and value to `put`.
pub fn encode(process: &TracedProcess, put: &mut dyn FnMut(&str, &dyn Display)) {
    let info = &process.info;
    put("pid", &info.pid);
    put("command", &info.command);
    if let Some(started) = process.started_at {
        put("started", &time::to_nanos(started));
    }
    if info.exited {
        put("exited", &true);
    }
    if let Some(rss) = info.rss_bytes {
        put("rss_bytes", &rss);
    }
    for allocator in &info.allocators {
        put("allocator", allocator);
    }
    for note in &info.notes {
        put("note", note);
    }
    if process.further > 0 {
        put("further", &process.further);
    }
    if let Some(mut totals) = process.totals {
        for (key, counter) in COUNTERS {
            put(key, counter(&mut totals));
        }
    }
}

/// Takes in one comment; whether it is known and makes sense.
pub fn decode(key: &str, value: &str, process: &mut TracedProcess) -> bool {
    try_decode(key, value, process).is_some()
}

fn try_decode(key: &str, value: &str, process: &mut TracedProcess) -> Option<()> {
    let info = &mut process.info;
    match key {
        "pid" => info.pid = value.parse().ok()?,
        "command" => value.clone_into(&mut info.command),
        "started" => process.started_at = Some(time::from_nanos(value.parse().ok()?)),
        "exited" => info.exited = value.parse().ok()?,
        "further" => process.further = value.parse().ok()?,
        "rss_bytes" => info.rss_bytes = Some(number(value)?),
        "allocator" => info.allocators.push(value.to_owned()),
        "note" => info.notes.push(value.to_owned()),
        _ => {
            let (_, counter) = COUNTERS.iter().find(|(name, _)| *name == key)?;
            let value = number(value)?;
            *counter(process.totals.get_or_insert_default()) = value;
        }
    }
    Some(())
}
