//! Writes or reads a large snapshot and prints what that took: the part of `cargo xtask bench snapshot` that is measured,
//! in a process of its own for each way.
//!
//! `snapshot_scale write FILE SAMPLES STACKS`, `snapshot_scale read FILE`. Prints a name and a number a line: seconds on the
//! clock and on the processor (of all threads), bytes.

#[expect(dead_code, reason = "the benchmarks use the rest")]
#[path = "../benches/made_up/mod.rs"]
mod made_up;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use memtrace::{
    profile::{GroupOptions, Groups, ProcessInfo, Snapshot, SortBy, TracedProcess},
    snapshot,
};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

/// Processes that the samples are of.
const PROCESSES: u32 = 10;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["write", file, samples, stacks] => write(Path::new(file), samples.parse()?, stacks.parse()?)?,
        ["read", file] => read(Path::new(file))?,
        _ => bail!("usage: snapshot_scale write FILE SAMPLES STACKS | snapshot_scale read FILE"),
    }
    figure("peak-bytes", peak_bytes()?);
    Ok(())
}

fn write(file: &Path, samples: usize, stacks: usize) -> Result<()> {
    let made = made_up::made(stacks / 5, stacks, PROCESSES);
    if made.samples.len() != samples {
        bail!("{stacks} stacks in {PROCESSES} processes are {} samples, not {samples}", made.samples.len());
    }
    let process =
        |pid| TracedProcess { info: ProcessInfo { pid, ..ProcessInfo::default() }, ..TracedProcess::default() };
    let snapshot = Snapshot {
        processes: (1..=PROCESSES).map(process).collect(),
        modules: made.modules,
        samples: made.samples,
        symbols: made.symbols,
        ..Snapshot::default()
    };
    figure("own-bytes", peak_bytes()?);
    timed("write", || snapshot::write_file(file, &snapshot))?.with_context(|| file.display().to_string())?;
    figure("file-bytes", file.metadata()?.len());
    Ok(())
}

fn read(file: &Path) -> Result<()> {
    let snapshot = timed("read", || snapshot::read_file(file))?.with_context(|| file.display().to_string())?;
    let groups = timed("rank", || Groups::of(&[(&snapshot).into()], &GroupOptions::default(), SortBy::LiveBytes))?;
    figure("groups", groups.groups.len() as u64);
    Ok(())
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> Result<T> {
    let (before, start) = (processor_time()?, Instant::now());
    let result = work();
    println!("{what}-seconds {}", start.elapsed().as_secs_f64());
    println!("{what}-processor-seconds {}", processor_time()?.saturating_sub(before).as_secs_f64());
    Ok(result)
}

fn figure(name: &str, bytes: u64) {
    println!("{name} {bytes}");
}

fn processor_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

fn peak_bytes() -> Result<u64> {
    // In KiB: getrusage(2).
    Ok(getrusage(UsageWho::RUSAGE_SELF)?.max_rss().unsigned_abs() * 1024)
}
