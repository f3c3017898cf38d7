//! What a malloc+free pair costs by the number of call stacks that the program has.

use anyhow::{Context, Result};

use super::Bench;
use super::contenders::{BY_FRAME_POINTER, BY_TABLES, CONTENDERS, Contender, FLOOR, MEMLEAK, UNTRACED};
use super::program::Program;
use super::stats::Summary;
use super::table::Table;
use crate::process::say;

/// Columns: so many stacks, as powers of two.
const BITS: [u32; 3] = [0, 10, 16];
/// Pairs that are timed.
const TIMED: u32 = 200_000;
/// Pairs before that: each stack has come up, but for one in e^4.
const WARM_UP: u32 = 4 << 16;

/// Measures and prints.
///
/// # Errors
/// When a contender does not trace or the program fails.
pub fn run(bench: &Bench) -> Result<()> {
    let wanted = [UNTRACED, FLOOR, BY_FRAME_POINTER, BY_TABLES, MEMLEAK];
    let is_wanted = |contender: &&Contender| wanted.contains(&contender.name) && contender.is_present(bench);
    let contenders: Vec<&Contender> = CONTENDERS.iter().filter(is_wanted).collect();
    let mut rounds: Vec<Vec<[f64; BITS.len()]>> = vec![Vec::new(); contenders.len()];
    for round in 1..=bench.arguments.rounds {
        say(&format!("sites: round {round} of {}", bench.arguments.rounds));
        for (contender, rounds) in contenders.iter().zip(&mut rounds) {
            rounds.push(measure(bench, contender)?);
        }
    }
    println!(
        "A malloc+free pair from one of so many call stacks of some forty frames, in ns of CPU time: median of {} rounds \
         (lowest–highest)\n",
        bench.arguments.rounds
    );
    let mut table = Table::new(std::iter::once(String::new()).chain(BITS.map(|bits| (1_u32 << bits).to_string())));
    for (contender, rounds) in contenders.iter().zip(&rounds) {
        let cells = (0..BITS.len()).map(|column| {
            let summary = Summary::of(rounds.iter().map(|round| round[column]));
            summary.map_or_else(String::new, |summary| summary.show(0))
        });
        table.row(std::iter::once(contender.name.to_owned()).chain(cells));
    }
    print!("{}", table.text());
    Ok(())
}

/// One contender in one round.
fn measure(bench: &Bench, contender: &Contender) -> Result<[f64; BITS.len()]> {
    let mut program = Program::start(&bench.cpus, "sites", &[])?;
    let mut tracer = contender.attach(bench, program.pid())?;
    pairs(&mut program, BITS[0], TIMED)?;
    tracer.settle()?;
    let mut times = [0.0; BITS.len()];
    for (bits, time) in BITS.into_iter().zip(&mut times) {
        pairs(&mut program, bits, WARM_UP)?;
        *time = pairs(&mut program, bits, TIMED)?;
    }
    Ok(times)
}

/// Nanoseconds per pair.
fn pairs(program: &mut Program, bits: u32, count: u32) -> Result<f64> {
    program.order(&format!("{bits} {count}"))?;
    let line = program.line()?;
    line.parse().with_context(|| format!("the traced program says `{line}`"))
}
