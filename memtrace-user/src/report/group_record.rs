//! Groups as records: what the machine-readable formats have of each, field by field. `docs/report.md` lists the fields.

use std::sync::Arc;

use serde::Serialize;

use super::{group_label, timestamp};
use crate::profile::{AllocStats, GroupBy, GroupName, Interval, Place, ProcessName, StackEnd};

/// What a group is called. Names are as they were recorded; `name` is the text of the plain report, escaped.
#[derive(Debug, Default, Serialize)]
pub struct NameRecord {
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) place: PlaceRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stack: Option<Vec<PlaceRecord>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stack_end: Option<&'static str>,
}

/// A place in the code.
#[derive(Debug, Default, Serialize)]
pub struct PlaceRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) function: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) module: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<u64>,
}

/// The numbers of a group, in bytes and blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StatsRecord {
    pub(super) live_bytes: u64,
    pub(super) live_blocks: u64,
    pub(super) allocated_bytes: u64,
    pub(super) allocated_blocks: u64,
    pub(super) freed_bytes: u64,
    pub(super) freed_blocks: u64,
    pub(super) average_bytes: u64,
    /// Of estimates: between which bytes the truth lies in 95 of 100 cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) live_bytes_low: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) live_bytes_high: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allocated_bytes_low: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allocated_bytes_high: Option<u64>,
}

impl From<&AllocStats> for StatsRecord {
    fn from(stats: &AllocStats) -> Self {
        let (live_bytes_low, live_bytes_high) = stats.live_interval().map(Interval::ends).unzip();
        let (allocated_bytes_low, allocated_bytes_high) = stats.allocated_interval().map(Interval::ends).unzip();
        Self {
            live_bytes: stats.live_bytes(),
            live_blocks: stats.live_blocks(),
            allocated_bytes: stats.allocated_bytes,
            allocated_blocks: stats.allocated_blocks,
            freed_bytes: stats.freed_bytes,
            freed_blocks: stats.freed_blocks,
            average_bytes: stats.average_bytes(),
            live_bytes_low,
            live_bytes_high,
            allocated_bytes_low,
            allocated_bytes_high,
        }
    }
}

impl From<&Place> for PlaceRecord {
    fn from(place: &Place) -> Self {
        Self {
            function: place.function.clone(),
            file: place.file.clone(),
            line: (place.line > 0).then_some(place.line),
            module: place.module.clone(),
            offset: place.offset,
        }
    }
}

impl NameRecord {
    /// The record of a group of this kind.
    #[must_use]
    pub fn of(name: &GroupName, by: GroupBy) -> Self {
        let named = Self { name: group_label::full(name, by), ..Self::default() };
        match name {
            GroupName::Place(place) => Self { place: (&**place).into(), ..named },
            GroupName::Stack { frames, end } => Self {
                stack: Some(frames.iter().map(|place| (&**place).into()).collect()),
                stack_end: Some(StackEnd::name(*end)),
                ..named
            },
            GroupName::Process(process) => named.of_process(process.as_ref()),
            GroupName::Thread { process, thread } => Self {
                tid: thread.as_ref().map(|(_, tid)| *tid),
                thread: thread.as_ref().map(|(name, _)| Arc::clone(name)),
                ..named.of_process(process.as_ref())
            },
            GroupName::Domain(domain) => Self { domain: Some(domain.name()), ..named },
            GroupName::NoStack => named,
        }
    }

    fn of_process(self, process: Option<&ProcessName>) -> Self {
        let Some(process) = process else { return self };
        Self {
            pid: Some(process.pid),
            command: Some(Arc::clone(&process.command)),
            started_at: process.started_at.map(timestamp::rfc3339),
            ..self
        }
    }
}
