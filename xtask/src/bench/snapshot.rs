//! What a large snapshot file costs: time to write it, to read and to rank it, and the memory that takes.

use std::collections::HashMap;
use std::io::Read;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::stats::Summary;
use super::table::Table;
use crate::workspace;

/// An example program of the package `memtrace` that writes or reads a file and prints what that took.
pub const PROGRAM: &str = "snapshot_scale";

/// Size of the snapshot.
const SAMPLES: u32 = 1_000_000;
const STACKS: u32 = 100_000;

/// A mebibyte.
const MIB: f64 = 1024.0 * 1024.0;

/// A row of the table: its title, the figure's name, what it is divided by, and its decimals.
const ROWS: [(&str, &str, f64, usize); 10] = [
    ("write, s", "write-seconds", 1.0, 2),
    ("  on the processor, s", "write-processor-seconds", 1.0, 2),
    ("file, MiB", "file-bytes", MIB, 1),
    ("peak memory of writing, MiB", "write-peak-bytes", MIB, 0),
    ("  of that the snapshot itself, MiB", "own-bytes", MIB, 0),
    ("read, s", "read-seconds", 1.0, 2),
    ("  on the processor, s", "read-processor-seconds", 1.0, 2),
    ("rank by line, s", "rank-seconds", 1.0, 2),
    ("  on the processor, s", "rank-processor-seconds", 1.0, 2),
    ("peak memory of reading and ranking, MiB", "read-peak-bytes", MIB, 0),
];

/// Measures and prints.
///
/// # Errors
/// When the program fails.
pub fn run(bench: &Bench) -> Result<()> {
    let file = workspace::target_dir().join("bench-snapshot.pb.gz");
    let rounds: Result<Vec<_>> = (0..bench.arguments.rounds).map(|_| measure(bench, &file)).collect();
    // Also after a failure: it is large.
    let _ = std::fs::remove_file(&file);
    let rounds = rounds?;
    println!(
        "A snapshot of {SAMPLES} samples with {STACKS} call stacks: median of {} rounds (lowest–highest)\n",
        bench.arguments.rounds
    );
    let mut table = Table::new(["", ""]);
    for (title, figure, unit, decimals) in ROWS {
        let values: Option<Vec<f64>> = rounds.iter().map(|round| Some(round.get(figure)? / unit)).collect();
        let summary = values.and_then(Summary::of).with_context(|| format!("{PROGRAM} does not state {figure}"))?;
        table.row([title.to_owned(), summary.show(decimals)]);
    }
    print!("{}", table.text());
    Ok(())
}

/// One round, writing and reading in a process each, so that each has a peak of its own.
fn measure(bench: &Bench, file: &std::path::Path) -> Result<HashMap<String, f64>> {
    let path = file.to_str().context("the target directory's path is no UTF-8")?;
    let (samples, stacks) = (SAMPLES.to_string(), STACKS.to_string());
    let mut figures = figures(bench, &["write", path, &samples, &stacks])?;
    rename(&mut figures, "write-peak-bytes");
    figures.extend(self::figures(bench, &["read", path])?);
    rename(&mut figures, "read-peak-bytes");
    Ok(figures)
}

fn rename(figures: &mut HashMap<String, f64>, name: &str) {
    if let Some(peak) = figures.remove("peak-bytes") {
        figures.insert(name.to_owned(), peak);
    }
}

/// Runs the program; names and numbers, a line each.
fn figures(bench: &Bench, arguments: &[&str]) -> Result<HashMap<String, f64>> {
    let mut command = Command::new(workspace::target_dir().join("release/examples").join(PROGRAM));
    let mut child = bench.cpus.spawn_target(command.args(arguments).stdout(Stdio::piped()))?;
    let mut text = String::new();
    child.stdout.take().context("the program has an output")?.read_to_string(&mut text)?;
    if !child.wait()?.success() {
        bail!("{PROGRAM} {} has failed", arguments.join(" "));
    }
    let figure = |line: &str| line.split_once(' ').and_then(|(name, number)| Some((name.into(), number.parse().ok()?)));
    Ok(text.lines().filter_map(figure).collect())
}
