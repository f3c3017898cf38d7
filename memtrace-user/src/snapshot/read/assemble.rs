//! Builds a snapshot from the tables of a profile.

use std::{sync::Arc, time::Duration};

use super::{
    columns::Columns,
    label_sets::{LabelReader, LabelSet},
    places::Places,
    tables::Tables,
};
use crate::{
    profile::{About, AllocStats, CallStack, Lack, Location, ProcessInfo, Snapshot, StackSample, TracedProcess},
    snapshot::{
        SnapshotProblem,
        comments::{self, Details},
        limits::MAX_STACK,
        time,
        wire::{Value, each_number},
    },
};

/// A call stack with the number of its frames, inlined ones included.
type Stack = (CallStack, usize);

/// Resolves and checks everything.
pub fn snapshot(mut tables: Tables) -> Result<Snapshot, SnapshotProblem> {
    if tables.strings.first().is_none_or(|first| !first.is_empty()) {
        return Err(SnapshotProblem::NotAProfile);
    }
    let columns = Columns::of(&tables)?;
    if tables.samples.width.is_some_and(|width| width != columns.width) {
        return Err(SnapshotProblem::damaged("its samples have other numbers of values than it has sample types"));
    }
    let details = details(&tables)?;
    let places = Places::of(&tables, details.own)?;
    let stacks = stacks(&mut tables, &places)?;
    let mut reader = LabelReader::new(details.own, details.processes);
    let sets = label_sets(&mut tables, &mut reader)?;
    let samples = samples(&mut tables, &columns, &stacks, &sets)?;
    let mut snapshot = Snapshot {
        about: about(&tables, &columns, details.about)?,
        processes: reader.processes,
        threads: reader.threads,
        modules: places.modules,
        samples,
        symbols: places.symbols,
    };
    if !details.own {
        complete_foreign(&mut snapshot, &columns, reader.tells_process);
    }
    Ok(snapshot)
}

fn details(tables: &Tables) -> Result<Details, SnapshotProblem> {
    let mut texts = Vec::with_capacity(tables.comments.len());
    for id in &tables.comments {
        texts.push(&**tables.string(*id)?);
    }
    comments::decode(texts.into_iter())
}

fn about(tables: &Tables, columns: &Columns, mut about: About) -> Result<About, SnapshotProblem> {
    about.taken_at = (tables.time_nanos != 0).then(|| time::from_nanos(tables.time_nanos));
    about.elapsed = u64::try_from(tables.duration_nanos).ok().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
    about.default_sort = columns.default_sort;
    if let Some(period_type) = &tables.period_type
        && (&**tables.text(period_type.kind)?, &**tables.text(period_type.unit)?) == ("space", "bytes")
    {
        about.options.sample_bytes = u64::try_from(tables.period).ok().filter(|period| *period > 1);
    }
    Ok(about)
}

fn stacks(tables: &mut Tables, places: &Places) -> Result<Vec<Stack>, SnapshotProblem> {
    let encoded = tables.samples.take_stacks();
    let mut stacks = Vec::with_capacity(encoded.len());
    let mut locations: Vec<Location> = Vec::new();
    for row in encoded {
        locations.clear();
        let mut frames = 0;
        each_number(Value::Bytes(&row), |id| {
            let Some((location, count)) = places.place(id)? else { return Ok(()) };
            frames += count;
            if frames > MAX_STACK {
                return Err(SnapshotProblem::TooLarge(format!("a stack has more than {MAX_STACK} frames")));
            }
            locations.push(location);
            Ok(())
        })?;
        tables.budget.memory(size_of::<Stack>() + size_of_val(&*locations))?;
        stacks.push((locations.as_slice().into(), frames));
    }
    Ok(stacks)
}

fn label_sets(tables: &mut Tables, reader: &mut LabelReader) -> Result<Vec<LabelSet>, SnapshotProblem> {
    let encoded = tables.samples.take_labels();
    let mut sets = Vec::with_capacity(encoded.len());
    for row in encoded {
        tables.budget.memory(2 * size_of::<TracedProcess>())?;
        sets.push(reader.read(&row, tables)?);
    }
    Ok(sets)
}

fn samples(
    tables: &mut Tables,
    columns: &Columns,
    stacks: &[Stack],
    sets: &[LabelSet],
) -> Result<Vec<StackSample>, SnapshotProblem> {
    let keys = std::mem::take(&mut tables.samples.keys);
    let values = std::mem::take(&mut tables.samples.values);
    let mut samples = Vec::with_capacity(keys.len());
    let mut total = AllocStats::default();
    for ((stack, set), values) in keys.iter().zip(values.chunks_exact(columns.width)) {
        let (Some((stack, frames)), Some(set)) = (stacks.get(*stack as usize), sets.get(*set as usize)) else {
            continue;
        };
        tables.budget.frames(*frames)?;
        let stats = columns.stats(values)?;
        total += stats;
        let LabelSet { process, thread, domain, end } = *set;
        samples.push(StackSample { stack: Arc::clone(stack), end, domain, process, thread, stats });
    }
    let largest = [total.allocated_blocks, total.allocated_bytes].into_iter().max().unwrap_or_default();
    if i64::try_from(largest).is_err() {
        return Err(SnapshotProblem::damaged("its numbers add up to more than 2^63"));
    }
    Ok(samples)
}

/// Says what a profile of another program does not tell, and names its process after its first file.
fn complete_foreign(snapshot: &mut Snapshot, columns: &Columns, tells_process: bool) {
    let used = || snapshot.symbols.iter().map(|(_, frames)| frames);
    let is_named = |frames: &[crate::profile::Frame]| frames.iter().any(|frame| frame.function.is_some());
    let functions = used().all(|frames| is_named(frames));
    let lines = used().any(|frames| frames.iter().any(|frame| frame.source.is_some()));
    let mut lacks = columns.lacks();
    for (lack, is_told) in
        [(Lack::Process, tells_process), (Lack::StackEnds, false), (Lack::Functions, functions), (Lack::Lines, lines)]
    {
        if !is_told {
            lacks.push(lack);
        }
    }
    snapshot.about.lacks = lacks;
    let program = snapshot.modules.iter().nth(1).map(|(_, module)| module.path.to_string()).unwrap_or_default();
    if snapshot.processes.is_empty() {
        snapshot.processes.push(TracedProcess::default());
    }
    for process in &mut snapshot.processes {
        if process.info == ProcessInfo::default() {
            process.info.command.clone_from(&program);
        }
    }
}
