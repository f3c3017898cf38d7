//! Whether the overhead that memtrace states is what a program loses: runs with and without memtrace in turn, by the CPU
//! time of the program.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::stacks;
use super::stats::Summary;
use super::table::Table;
use super::workloads::{WORKLOADS, Workload};
use crate::process::say;

/// Options of memtrace under which it is measured.
const WAYS: [(&str, &[&str]); 2] = [("exact", &[]), ("sampled at 512 KiB", &["--sample-bytes", "512KiB"])];

/// What memtrace logs in the end, in seconds.
#[derive(Clone, Copy)]
struct Stated {
    spent: f64,
    cpu: f64,
}

/// Measures and prints. A program that cannot be measured is a line that says so.
pub fn run(bench: &Bench) {
    println!(
        "Share of its CPU time that a program loses under memtrace, and what memtrace states: median of {} rounds \
         (lowest–highest)\n",
        bench.arguments.rounds
    );
    let mut table = Table::new(["", "untraced, s", "loses", "stated", "stated / lost"]);
    let named = |workload: &&Workload| bench.arguments.programs.iter().any(|name| name == workload.name);
    let chosen = WORKLOADS.iter().filter(|workload| workload.measured);
    for workload in chosen.filter(|workload| bench.arguments.programs.is_empty() || named(workload)) {
        for (way, options) in WAYS {
            say(&format!("stated: {}, {way}", workload.name));
            let name = format!("{}, {way}", workload.name);
            match row(bench, workload, options) {
                Ok(cells) => table.row(std::iter::once(name).chain(cells)),
                Err(error) => table.row([name, format!("not traced: {error:#}")]),
            }
        }
    }
    print!("{}", table.text());
}

fn row(bench: &Bench, workload: &Workload, options: &[&str]) -> Result<[String; 4]> {
    let mut rounds = Vec::new();
    for _ in 0..bench.arguments.rounds {
        let before = untraced(bench, workload)?;
        let stated = traced(bench, workload, options)?;
        let after = untraced(bench, workload)?;
        rounds.push((f64::midpoint(before, after), stated));
    }
    let summary = |decimals: usize, value: &dyn Fn(f64, Stated) -> f64| {
        let summary = Summary::of(rounds.iter().map(|(untraced, stated)| value(*untraced, *stated)));
        summary.map_or_else(String::new, |summary| summary.show(decimals))
    };
    Ok([
        summary(2, &|untraced, _| untraced),
        summary(3, &|untraced, stated| (stated.cpu - untraced) / stated.cpu),
        summary(3, &|_, stated| stated.spent / stated.cpu),
        summary(2, &|untraced, stated| stated.spent / (stated.cpu - untraced)),
    ])
}

/// CPU seconds of the program by itself, in a run whose allocator is not probed. They are counted as those of a traced one
/// are, which is without what the kernel does when the program has ended: a tenth, of a short run.
fn untraced(bench: &Bench, workload: &Workload) -> Result<f64> {
    traced(bench, workload, &["--domain", "mmap"]).map(|stated| stated.cpu)
}

/// What memtrace says of a run.
fn traced(bench: &Bench, workload: &Workload, options: &[&str]) -> Result<Stated> {
    let log = stacks::directory().join("log");
    fs::create_dir_all(stacks::directory())?;
    File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut memtrace = Command::new(&bench.memtrace);
    // As the untraced program runs: without an allocator of memtrace's choice.
    memtrace.args(["run", "--keep-pymalloc", "-vv", "--log-file"]).arg(&log).args(options).arg("--");
    memtrace.args(words(workload)?).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    memtrace.status().context("cannot start memtrace")?;
    let log = fs::read_to_string(&log).context("memtrace has logged nothing")?;
    let line =
        log.lines().rev().find_map(|line| line.split("probes took ").nth(1)).context("memtrace stated nothing")?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [spent, cpu] = numbers[..] else { bail!("memtrace logs `{line}`") };
    Ok(Stated { spent, cpu })
}

fn words(workload: &Workload) -> Result<Vec<String>> {
    workload.command.iter().map(|word| stacks::filled(word, &stacks::directory(), 0)).collect()
}
