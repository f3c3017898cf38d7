//! The cost of a malloc+free pair under each contender, and the ratios between them.

use anyhow::{Context, Result};

use super::Bench;
use super::contenders::{
    BY_FRAME_POINTER, BY_TABLES, CONTENDERS, Contender, ENTRIES, FLOOR, MEMLEAK, MEMLEAK_SAMPLED, SAMPLED,
};
use super::preload::Preload;
use super::program::Program;
use super::stats::Summary;
use super::table::Table;
use crate::process::say;

/// Pairs of a batch. Long enough for the clock, short enough that some batches are not disturbed.
const PAIRS: u32 = 1000;
/// Milliseconds of CPU time in which batches are run; the fastest counts, as whatever disturbs one makes it slower.
const TIME: u32 = 300;
/// The same before the measurement.
const WARM_UP: u32 = 20;

/// A row of ratios: one contender over another.
const RATIOS: [(&str, &str, &str); 6] = [
    ("fp stacks / floor", BY_FRAME_POINTER, FLOOR),
    ("dwarf stacks / floor", BY_TABLES, FLOOR),
    ("fp stacks / memleak", BY_FRAME_POINTER, MEMLEAK),
    ("dwarf stacks / memleak", BY_TABLES, MEMLEAK),
    ("sampled / empty entry probes", SAMPLED, ENTRIES),
    ("sampled / memleak -s 100", SAMPLED, MEMLEAK_SAMPLED),
];

/// Nanoseconds per pair of one contender: a row a round, a column a depth.
struct Measured {
    name: &'static str,
    rounds: Vec<Vec<f64>>,
}

/// Measures and prints.
///
/// # Errors
/// When a contender does not trace or the program fails.
pub fn run(bench: &Bench) -> Result<()> {
    let (present, absent): (Vec<_>, Vec<_>) = CONTENDERS.iter().partition(|contender| contender.is_present(bench));
    let mut measured: Vec<_> =
        present.iter().map(|contender| Measured { name: contender.name, rounds: Vec::new() }).collect();
    for round in 1..=bench.arguments.rounds {
        say(&format!("pairs: round {round} of {}", bench.arguments.rounds));
        for (contender, measured) in present.iter().zip(&mut measured) {
            measured.rounds.push(measure(bench, contender)?);
        }
    }
    print(bench, &measured);
    for contender in absent {
        match contender.peer {
            Some(name) => println!("without {}: no `{name}` on PATH, and no --peer {name}=PATH", contender.name),
            None => println!("without {}: its library is not installed", contender.name),
        }
    }
    Ok(())
}

/// One contender in one round: nanoseconds per pair, by depth.
fn measure(bench: &Bench, contender: &Contender) -> Result<Vec<f64>> {
    let environment = contender.preload.map_or_else(|| Ok(Vec::new()), Preload::environment)?;
    let mut program = Program::start_with(&bench.cpus, "pairs", &environment)?;
    let mut tracer = contender.attach(bench, program.pid())?;
    for depth in &bench.arguments.depths {
        fastest(&mut program, *depth, WARM_UP)?;
    }
    tracer.settle()?;
    bench.arguments.depths.iter().map(|depth| fastest(&mut program, *depth, TIME)).collect()
}

/// Nanoseconds of CPU time per pair in the fastest batch.
fn fastest(program: &mut Program, depth: u32, milliseconds: u32) -> Result<f64> {
    program.order(&format!("{depth} {PAIRS} {milliseconds}"))?;
    let line = program.line()?;
    let fastest = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    fastest.with_context(|| format!("the traced program says `{line}`"))
}

fn print(bench: &Bench, measured: &[Measured]) {
    println!(
        "A malloc+free pair of 100 bytes, in ns of CPU time: fastest batch of {PAIRS} pairs in {TIME} ms; median of {} \
         interleaved rounds (lowest–highest)\n",
        bench.arguments.rounds
    );
    let depths = &bench.arguments.depths;
    let head = depths.iter().map(|depth| format!("depth {depth}"));
    let mut table = Table::new(std::iter::once(String::new()).chain(head));
    let cells = |name: &str, decimals: usize, values: &dyn Fn(usize, usize) -> f64| -> Vec<String> {
        let summary = |column| Summary::of((0..bench.arguments.rounds as usize).map(|round| values(round, column)));
        let shown = (0..depths.len()).map(|column| summary(column).map_or_else(String::new, |s| s.show(decimals)));
        std::iter::once(name.to_owned()).chain(shown).collect()
    };
    for row in measured {
        table.row(cells(row.name, 0, &|round, column| row.rounds[round][column]));
    }
    let find = |name: &str| measured.iter().find(|row| row.name == name);
    for (name, over, under) in RATIOS {
        if let (Some(over), Some(under)) = (find(over), find(under)) {
            table.row(cells(name, 2, &|round, column| over.rounds[round][column] / under.rounds[round][column]));
        }
    }
    print!("{}", table.text());
}
