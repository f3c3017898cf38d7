//! What pprof has no field for: comments of the form `memtrace.KEY=VALUE`. `docs/snapshot-format.md` lists the keys.
//!
//! Values are texts as they are, or decimal numbers. Keys that are not known, or whose value makes no sense, are kept
//! as comments, so that a file may have more than this memtrace knows of.

mod about;
mod process;

use std::collections::BTreeMap;

use super::SnapshotProblem;
use crate::profile::{About, Snapshot, TracedProcess};

/// What every key begins with.
const PREFIX: &str = "memtrace.";

/// Version of the format: raised when an older memtrace would misread a file.
const FORMAT: u64 = 1;

/// What the comments of a file tell.
#[derive(Debug, Default)]
pub struct Details {
    /// memtrace wrote the file.
    pub own: bool,
    /// How it was taken; time and losses included, sample types not.
    pub about: About,
    /// The processes, in the order of the snapshot.
    pub processes: Vec<TracedProcess>,
}

/// The comments of a snapshot.
pub fn encode(snapshot: &Snapshot) -> Vec<String> {
    let mut comments = Vec::new();
    let mut put = |key: &str, value: &dyn std::fmt::Display| comments.push(format!("{PREFIX}{key}={value}"));
    put("format", &FORMAT);
    about::encode(&snapshot.about, &mut put);
    for (number, process) in (1..).zip(&snapshot.processes) {
        process::encode(process, &mut |key, value| put(&format!("process.{number}.{key}"), value));
    }
    comments.extend(snapshot.about.comments.iter().cloned());
    comments
}

/// Reads the comments of a file.
pub fn decode<'a>(comments: impl Iterator<Item = &'a str>) -> Result<Details, SnapshotProblem> {
    let mut details = Details::default();
    let mut processes: BTreeMap<u32, TracedProcess> = BTreeMap::new();
    for comment in comments {
        let known = comment.strip_prefix(PREFIX).and_then(|rest| rest.split_once('='));
        let taken = match known {
            Some(("format", version)) => {
                let version = number(version).filter(|version| *version > 0);
                let version = version.ok_or_else(|| SnapshotProblem::damaged("its format has no number"))?;
                if version > FORMAT {
                    return Err(SnapshotProblem::Newer(version));
                }
                details.own = true;
                true
            }
            Some((key, value)) => match process_key(key) {
                Some((number, key)) => process::decode(key, value, processes.entry(number).or_default()),
                None => about::decode(key, value, &mut details.about),
            },
            None => false,
        };
        if !taken {
            details.about.comments.push(comment.to_owned());
        }
    }
    details.processes = processes.into_values().collect();
    Ok(details)
}

/// `process.3.pid`: the number and the key behind it.
fn process_key(key: &str) -> Option<(u32, &str)> {
    let (number, key) = key.strip_prefix("process.")?.split_once('.')?;
    Some((number.parse().ok()?, key))
}

/// A number that pprof could hold too, so that sums of a few of them fit in 64 bits.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number| i64::try_from(*number).is_ok())
}
