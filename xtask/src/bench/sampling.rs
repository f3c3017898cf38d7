//! Whether estimates are without bias, and their intervals as wide as they should be: a program that counts for itself what
//! it allocates, traced again and again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Bench, program, table::Table};
use crate::{process, workspace};

/// Times that it is traced.
const RUNS: u32 = 200;
/// Mean distance of the bytes that are looked at.
const SAMPLE_BYTES: &str = "64KiB";

/// What is estimated: the title, and the fields of a report.
const NUMBERS: [(&str, [&str; 3]); 2] = [
    ("allocated", ["allocated_bytes", "allocated_bytes_low", "allocated_bytes_high"]),
    ("live", ["live_bytes", "live_bytes_low", "live_bytes_high"]),
];

/// One number of a site over all runs.
#[derive(Default)]
struct Estimates {
    truth: f64,
    sum: f64,
    /// Intervals, where the number is no exact one, and those that held the truth.
    intervals: u32,
    held: u32,
}

/// Traces and prints.
///
/// # Errors
/// When the program or memtrace fails, or a report lacks a site.
pub fn run(bench: &Bench) -> Result<()> {
    let directory = workspace::target_dir().join("bench");
    let file = directory.join("sampling.pb.gz");
    let mut all: BTreeMap<(String, &str), Estimates> = BTreeMap::new();
    for run in 1..=RUNS {
        if run % 20 == 1 {
            process::say(&format!("sampling: run {run} of {RUNS}"));
        }
        let truth = trace(bench, &file)?;
        let estimates = report(bench, &file)?;
        for (site, numbers) in truth {
            let record = estimates.get(&site).with_context(|| format!("nothing is reported of `{site}`"))?;
            for ((title, fields), truth) in NUMBERS.into_iter().zip(numbers) {
                let [value, low, high] = fields.map(|field| record[field].as_f64());
                let of = all.entry((site.clone(), title)).or_default();
                of.truth = truth;
                of.sum += value.context("no number")?;
                if let Some((low, high)) = low.zip(high).filter(|(low, high)| low < high) {
                    of.intervals += 1;
                    of.held += u32::from(low <= truth && truth <= high);
                }
            }
        }
    }
    fs::remove_file(&file).context("cannot clean up")?;
    print(&all);
    Ok(())
}

/// Runs the program under memtrace; returns what it says of each site, in the order of [`NUMBERS`].
fn trace(bench: &Bench, file: &Path) -> Result<Vec<(String, [f64; 2])>> {
    let mut command = Command::new(&bench.memtrace);
    command.args(["run", "--as-root", "--sample-bytes", SAMPLE_BYTES, "-o"]).arg(file).arg("--");
    let text = process::read(command.arg(program::path("mixed")))?;
    let site = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next().filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase()))?;
        let numbers = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
        words.next().is_none().then(|| (name.to_owned(), numbers))
    };
    let sites: Vec<_> = text.lines().filter_map(site).collect();
    if sites.len() == 6 { Ok(sites) } else { bail!("the program says: {text}") }
}

/// The groups of a report by function, by name.
fn report(bench: &Bench, file: &Path) -> Result<BTreeMap<String, Value>> {
    let mut command = Command::new(&bench.memtrace);
    command.args(["report", "--format", "json", "--group-by", "function"]).arg(file);
    let document: Value =
        serde_json::from_str(&process::read(&mut command)?).context("memtrace report prints no JSON")?;
    let groups = document["groups"].as_array().context("the report has no groups")?;
    let named = |group: &Value| Some((group["function"].as_str()?.to_owned(), group.clone()));
    Ok(groups.iter().filter_map(named).collect())
}

fn print(all: &BTreeMap<(String, &str), Estimates>) {
    println!(
        "Estimates by one byte in {SAMPLE_BYTES}, of {RUNS} runs of a program with six call sites: their mean over the truth, and \
         how often the interval of 95 % held it\n"
    );
    let mut table = Table::new(["", "truth, MiB", "mean / truth", "held"]);
    for (title, _) in NUMBERS {
        let of_title: Vec<_> = all.iter().filter(|((_, of), _)| *of == title).collect();
        for ((site, _), one) in &of_title {
            table.row(row(&format!("{title}, {site}"), one));
        }
        let total = of_title.iter().fold(Estimates::default(), |sum, (_, one)| Estimates {
            truth: sum.truth + one.truth,
            sum: sum.sum + one.sum,
            intervals: sum.intervals + one.intervals,
            held: sum.held + one.held,
        });
        table.row(row(&format!("{title}, all"), &total));
    }
    print!("{}", table.text());
}

fn row(name: &str, Estimates { truth, sum, intervals, held }: &Estimates) -> [String; 4] {
    let mib = truth / f64::from(1 << 20);
    // Blocks that are much larger than the distance are all looked at: their site is no estimate.
    let share = match intervals {
        0 => "exact".to_owned(),
        many => format!("{:.1} %", 100.0 * f64::from(*held) / f64::from(*many)),
    };
    [name.to_owned(), format!("{mib:.1}"), format!("{:.4}", sum / f64::from(RUNS) / truth), share]
}
