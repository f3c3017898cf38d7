//! Which of a profile's values are which counters.

use super::tables::Tables;
use crate::{
    profile::{AllocStats, Lack, SortBy},
    snapshot::{SnapshotProblem, write::ERROR_TYPES},
};

/// A counter that a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counter {
    AllocatedBlocks,
    AllocatedBytes,
    LiveBlocks,
    LiveBytes,
}

/// One line a sample type that some program writes: its name, its unit and what it is. Of two that a file has for one
/// counter, the first here is taken.
const KNOWN: [(&str, &str, Counter); 20] = [
    // memtrace, Go, jemalloc's and tcmalloc's converters.
    ("alloc_objects", "count", Counter::AllocatedBlocks),
    ("alloc_space", "bytes", Counter::AllocatedBytes),
    ("inuse_objects", "count", Counter::LiveBlocks),
    ("inuse_space", "bytes", Counter::LiveBytes),
    // gperftools and jemalloc through pprof, Node.js, tcmalloc.
    ("objects", "count", Counter::LiveBlocks),
    ("space", "bytes", Counter::LiveBytes),
    // heapprofd.
    ("Total malloc count", "count", Counter::AllocatedBlocks),
    ("Total malloc size", "bytes", Counter::AllocatedBytes),
    ("Unreleased malloc count", "count", Counter::LiveBlocks),
    ("Unreleased malloc size", "bytes", Counter::LiveBytes),
    // async-profiler, Pyroscope's Java agent.
    ("alloc", "count", Counter::AllocatedBlocks),
    ("alloc", "bytes", Counter::AllocatedBytes),
    ("live", "count", Counter::LiveBlocks),
    ("live", "bytes", Counter::LiveBytes),
    // Datadog's profilers.
    ("alloc-samples", "count", Counter::AllocatedBlocks),
    ("alloc-size", "bytes", Counter::AllocatedBytes),
    ("alloc-space", "bytes", Counter::AllocatedBytes),
    ("heap-live-samples", "count", Counter::LiveBlocks),
    ("heap-live-size", "bytes", Counter::LiveBytes),
    ("heap-space", "bytes", Counter::LiveBytes),
];

/// Longest name of a sample type in a message, and most of them: they come from the file.
const SHOWN_NAME: usize = 40;
const SHOWN_TYPES: usize = 8;

/// Where in a sample's values each counter is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns {
    allocated_blocks: Option<usize>,
    allocated_bytes: Option<usize>,
    live_blocks: Option<usize>,
    live_bytes: Option<usize>,
    /// Standard errors of estimated bytes, in files of our own.
    allocated_error: Option<usize>,
    live_error: Option<usize>,
    /// Values a sample.
    pub width: usize,
    /// The counter to show first.
    pub default_sort: SortBy,
}

impl Columns {
    /// Finds the counters among the sample types.
    pub fn of(tables: &Tables) -> Result<Self, SnapshotProblem> {
        let mut types = Vec::new();
        for sample_type in &tables.sample_types {
            types.push((&**tables.text(sample_type.kind)?, &**tables.text(sample_type.unit)?));
        }
        if types.is_empty() {
            return Err(SnapshotProblem::NotAProfile);
        }
        let mut columns = Self { width: types.len(), ..Self::default() };
        let default = tables.string(tables.default_sample_type)?;
        let mut told = None;
        for (kind, unit, counter) in KNOWN {
            let place = types.iter().position(|known| *known == (kind, unit));
            let slot = columns.slot(counter);
            *slot = slot.or(place);
            if place.is_some() && kind == &**default {
                told = told.or(Some(counter.sort()));
            }
        }
        let error = |name| types.iter().position(|known| *known == (name, "bytes"));
        [columns.allocated_error, columns.live_error] = ERROR_TYPES.map(|(name, _)| error(name));
        let all = [columns.allocated_blocks, columns.allocated_bytes, columns.live_blocks, columns.live_bytes];
        if all.iter().all(Option::is_none) {
            return Err(SnapshotProblem::NotHeap(describe(&types)));
        }
        let fallback = if columns.lacks().contains(&Lack::Bytes) { SortBy::LiveBlocks } else { SortBy::LiveBytes };
        Ok(Self { default_sort: told.unwrap_or(fallback), ..columns })
    }

    fn slot(&mut self, counter: Counter) -> &mut Option<usize> {
        match counter {
            Counter::AllocatedBlocks => &mut self.allocated_blocks,
            Counter::AllocatedBytes => &mut self.allocated_bytes,
            Counter::LiveBlocks => &mut self.live_blocks,
            Counter::LiveBytes => &mut self.live_bytes,
        }
    }

    /// What a sample's values say. Where live or allocated is not told, one repeats the other.
    pub fn stats(&self, values: &[i64]) -> Result<AllocStats, SnapshotProblem> {
        let value = |place: Option<usize>| -> Result<Option<u64>, SnapshotProblem> {
            let value = place.and_then(|place| values.get(place));
            value.map(|value| u64::try_from(*value).map_err(|_| SnapshotProblem::Negative)).transpose()
        };
        let pair = |allocated, live| -> Result<(u64, u64), SnapshotProblem> {
            let (allocated, live) = (value(allocated)?, value(live)?);
            let live = live.or(allocated).unwrap_or_default();
            // Sampled numbers are scaled one by one, so more may seem to live than was ever allocated.
            let allocated = allocated.unwrap_or_default().max(live);
            Ok((allocated, allocated - live))
        };
        let (allocated_blocks, freed_blocks) = pair(self.allocated_blocks, self.live_blocks)?;
        let (allocated_bytes, freed_bytes) = pair(self.allocated_bytes, self.live_bytes)?;
        let variance = |place| -> Result<u128, SnapshotProblem> {
            Ok(u128::from(value(place)?.unwrap_or_default()).saturating_pow(2))
        };
        let allocated_variance = variance(self.allocated_error)?;
        let freed_variance = allocated_variance.saturating_sub(variance(self.live_error)?);
        Ok(AllocStats {
            allocated_variance,
            freed_variance,
            allocated_blocks,
            allocated_bytes,
            freed_blocks,
            freed_bytes,
            short_lived_blocks: 0,
        })
    }

    /// What the sample types do not tell.
    pub fn lacks(&self) -> Vec<Lack> {
        let lacks = [
            (Lack::Allocated, self.allocated_blocks.is_none() && self.allocated_bytes.is_none()),
            (Lack::Live, self.live_blocks.is_none() && self.live_bytes.is_none()),
            (Lack::Blocks, self.allocated_blocks.is_none() && self.live_blocks.is_none()),
            (Lack::Bytes, self.allocated_bytes.is_none() && self.live_bytes.is_none()),
        ];
        lacks.into_iter().filter_map(|(lack, is_lacking)| is_lacking.then_some(lack)).collect()
    }
}

impl Counter {
    fn sort(self) -> SortBy {
        match self {
            Self::AllocatedBlocks => SortBy::AllocatedBlocks,
            Self::AllocatedBytes => SortBy::AllocatedBytes,
            Self::LiveBlocks => SortBy::LiveBlocks,
            Self::LiveBytes => SortBy::LiveBytes,
        }
    }
}

/// `samples (count), cpu (nanoseconds)`.
fn describe(types: &[(&str, &str)]) -> String {
    let cut = |text: &str| text[..text.floor_char_boundary(SHOWN_NAME)].to_owned();
    let shown = types.iter().take(SHOWN_TYPES).map(|(kind, unit)| format!("{} ({})", cut(kind), cut(unit)));
    let more = (types.len() > SHOWN_TYPES).then(|| "…".to_owned());
    shown.chain(more).collect::<Vec<_>>().join(", ")
}
