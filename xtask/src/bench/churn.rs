//! What replacing a live block costs under each contender: by the number of live blocks, replaced at random, and by the
//! number of threads or processes that do so at once, each on a CPU of its own as far as there are.

use anyhow::{Context, Result};

use super::Bench;
use super::contenders::{BY_FRAME_POINTER, CONTENDERS, Contender, ENTRIES, FLOOR, FOLLOWING, SAMPLED, UNTRACED};
use super::program::Program;
use super::stats::Summary;
use super::table::Table;
use crate::process::say;

/// Replacements that are timed.
const TIMED: u32 = 200_000;

/// Replacements before those.
const MOST_BEFORE: u32 = 3_000_000;

/// A column: what the program is told.
struct Column {
    /// Blocks a worker.
    blocks: u32,
    workers: u32,
    /// Of which kind workers are.
    kind: &'static str,
}

/// A table.
struct Shape {
    title: &'static str,
    /// Each with its head.
    columns: Vec<(String, Column)>,
    contenders: Vec<&'static Contender>,
}

/// By live blocks, on one thread.
///
/// # Errors
/// When a contender does not trace or the program fails.
pub fn by_blocks(bench: &Bench) -> Result<()> {
    let column = |blocks: &u32| (blocks.to_string(), Column { blocks: *blocks, workers: 1, kind: "threads" });
    let shape = Shape {
        title: "Replacing one of so many live blocks at random",
        columns: bench.arguments.live.iter().map(column).collect(),
        contenders: all_alone(),
    };
    shape.run(bench)
}

/// By threads.
///
/// # Errors
/// As [`by_blocks`].
pub fn by_threads(bench: &Bench) -> Result<()> {
    let shape = Shape {
        title: "Replacing one of 100 blocks of a thread, so many threads at once",
        columns: by_workers(&bench.arguments.threads, "threads"),
        contenders: all_alone(),
    };
    shape.run(bench)
}

/// By processes, which are followed from their beginning.
///
/// # Errors
/// As [`by_blocks`].
pub fn by_processes(bench: &Bench) -> Result<()> {
    let shape = Shape {
        title: "Replacing one of 100 blocks of a process, so many processes at once",
        columns: by_workers(&bench.arguments.processes, "processes"),
        contenders: FOLLOWING.iter().collect(),
    };
    shape.run(bench)
}

fn by_workers(numbers: &[u32], kind: &'static str) -> Vec<(String, Column)> {
    numbers.iter().map(|workers| (workers.to_string(), Column { blocks: 100, workers: *workers, kind })).collect()
}

/// Those that trace one process.
fn all_alone() -> Vec<&'static Contender> {
    let wanted = [UNTRACED, FLOOR, ENTRIES, BY_FRAME_POINTER, SAMPLED];
    CONTENDERS.iter().filter(|contender| wanted.contains(&contender.name)).collect()
}

impl Shape {
    fn run(&self, bench: &Bench) -> Result<()> {
        let mut rounds: Vec<Vec<Vec<f64>>> = vec![Vec::new(); self.contenders.len()];
        for round in 1..=bench.arguments.rounds {
            say(&format!("churn: round {round} of {}", bench.arguments.rounds));
            for (contender, rounds) in self.contenders.iter().zip(&mut rounds) {
                let cells = self.columns.iter().map(|(_, column)| measure(bench, contender, column));
                rounds.push(cells.collect::<Result<_>>()?);
            }
        }
        self.print(&rounds);
        Ok(())
    }

    fn print(&self, rounds: &[Vec<Vec<f64>>]) {
        println!("{}, in ns of CPU time: median of {} rounds (lowest–highest)\n", self.title, rounds[0].len());
        let heads = self.columns.iter().map(|(head, _)| head.clone());
        let mut table = Table::new(std::iter::once(String::new()).chain(heads));
        let mut row = |name: String, decimals: usize, value: &dyn Fn(usize, usize) -> f64| {
            let cells = (0..self.columns.len()).map(|column| {
                let summary = Summary::of((0..rounds[0].len()).map(|round| value(round, column)));
                summary.map_or_else(String::new, |summary| summary.show(decimals))
            });
            table.row(std::iter::once(name).chain(cells));
        };
        for (index, contender) in self.contenders.iter().enumerate() {
            row(contender.name.to_owned(), 0, &|round, column| rounds[index][round][column]);
        }
        for (index, contender) in self.contenders.iter().enumerate().skip(1) {
            let beyond = |round: usize, column: usize| rounds[index][round][column] - rounds[0][round][column];
            row(format!("{}: beyond untraced", contender.name), 0, &beyond);
            row(format!("{}: over the first column", contender.name), 2, &|round, column| {
                beyond(round, column) / beyond(round, 0)
            });
        }
        print!("{}", table.text());
    }
}

/// Nanoseconds of CPU time that a replacement takes.
fn measure(bench: &Bench, contender: &Contender, column: &Column) -> Result<f64> {
    let Column { blocks, workers, kind } = *column;
    let arguments = [blocks.to_string(), workers.to_string(), kind.to_owned()];
    let mut program = if workers == 1 {
        Program::start(&bench.cpus, "churn", &arguments)?
    } else {
        Program::start_on_all("churn", &arguments)?
    };
    let mut tracer = contender.attach(bench, program.pid())?;
    // Until all but one in e^3 have been replaced, or long enough for a heap in disorder.
    replace(&mut program, blocks.saturating_mul(3).clamp(1000, MOST_BEFORE))?;
    tracer.settle()?;
    replace(&mut program, TIMED)
}

fn replace(program: &mut Program, count: u32) -> Result<f64> {
    program.order(&count.to_string())?;
    let line = program.line()?;
    line.parse().with_context(|| format!("the traced program says `{line}`"))
}
