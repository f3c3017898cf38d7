//! What replacing a live block costs under each contender: by the number of live blocks, replaced at random, and by the
//! number of threads that do so at once, each on a CPU of its own as far as there are.

use anyhow::{Context, Result};

use super::Bench;
use super::contenders::{BY_FRAME_POINTER, CONTENDERS, Contender, ENTRIES, FLOOR, SAMPLED, UNTRACED};
use super::program::Program;
use super::stats::Summary;
use super::table::Table;
use crate::process::say;

/// Replacements that are timed.
const TIMED: u32 = 200_000;

/// A table.
struct Shape {
    title: &'static str,
    /// Blocks a thread, and threads.
    columns: Vec<(u32, u32)>,
    /// What a column is called.
    head: fn(u32, u32) -> String,
}

/// By live blocks, on one thread.
///
/// # Errors
/// When a contender does not trace or the program fails.
pub fn by_blocks(bench: &Bench) -> Result<()> {
    let title = "Replacing one of so many live blocks at random";
    run(
        bench,
        &Shape {
            title,
            columns: bench.arguments.live.iter().map(|blocks| (*blocks, 1)).collect(),
            head: |blocks, _| blocks.to_string(),
        },
    )
}

/// By threads.
///
/// # Errors
/// As [`by_blocks`].
pub fn by_threads(bench: &Bench) -> Result<()> {
    let title = "Replacing one of 100 blocks of a thread, so many threads at once";
    run(
        bench,
        &Shape {
            title,
            columns: bench.arguments.threads.iter().map(|threads| (100, *threads)).collect(),
            head: |_, threads| threads.to_string(),
        },
    )
}

fn run(bench: &Bench, shape: &Shape) -> Result<()> {
    let wanted = [UNTRACED, FLOOR, ENTRIES, BY_FRAME_POINTER, SAMPLED];
    let contenders: Vec<&Contender> = CONTENDERS.iter().filter(|contender| wanted.contains(&contender.name)).collect();
    let mut rounds: Vec<Vec<Vec<f64>>> = vec![Vec::new(); contenders.len()];
    for round in 1..=bench.arguments.rounds {
        say(&format!("churn: round {round} of {}", bench.arguments.rounds));
        for (contender, rounds) in contenders.iter().zip(&mut rounds) {
            let cells = shape.columns.iter().map(|column| measure(bench, contender, *column));
            rounds.push(cells.collect::<Result<_>>()?);
        }
    }
    print(shape, &contenders, &rounds);
    Ok(())
}

/// Nanoseconds of CPU time that a replacement takes.
fn measure(bench: &Bench, contender: &Contender, (blocks, threads): (u32, u32)) -> Result<f64> {
    let arguments = [blocks.to_string(), threads.to_string()];
    let mut program = if threads == 1 {
        Program::start(&bench.cpus, "churn", &arguments)?
    } else {
        Program::start_on_all("churn", &arguments)?
    };
    let mut tracer = contender.attach(bench, program.pid())?;
    // All blocks are there, but for one in e^3.
    replace(&mut program, blocks.saturating_mul(3).max(1000))?;
    tracer.settle()?;
    replace(&mut program, TIMED)
}

fn replace(program: &mut Program, count: u32) -> Result<f64> {
    program.order(&count.to_string())?;
    let line = program.line()?;
    line.parse().with_context(|| format!("the traced program says `{line}`"))
}

fn print(shape: &Shape, contenders: &[&Contender], rounds: &[Vec<Vec<f64>>]) {
    println!("{}, in ns of CPU time: median of {} rounds (lowest–highest)\n", shape.title, rounds[0].len());
    let head = shape.columns.iter().map(|(blocks, threads)| (shape.head)(*blocks, *threads));
    let mut table = Table::new(std::iter::once(String::new()).chain(head));
    let mut row = |name: String, decimals: usize, value: &dyn Fn(usize, usize) -> f64| {
        let cells = (0..shape.columns.len()).map(|column| {
            let summary = Summary::of((0..rounds[0].len()).map(|round| value(round, column)));
            summary.map_or_else(String::new, |summary| summary.show(decimals))
        });
        table.row(std::iter::once(name).chain(cells));
    };
    for (index, contender) in contenders.iter().enumerate() {
        row(contender.name.to_owned(), 0, &|round, column| rounds[index][round][column]);
    }
    for (index, contender) in contenders.iter().enumerate().skip(1) {
        let beyond = |round: usize, column: usize| rounds[index][round][column] - rounds[0][round][column];
        row(format!("{}: beyond untraced", contender.name), 0, &beyond);
        row(format!("{}: over the first column", contender.name), 2, &|round, column| {
            beyond(round, column) / beyond(round, 0)
        });
    }
    print!("{}", table.text());
}
