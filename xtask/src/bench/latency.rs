//! How long memtrace takes to show its first numbers, and to be gone, on a program that allocates all the time.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Bench;
use super::program::Program;
use super::stats::Summary;
use super::table::Table;

/// So long that the program is killed before it has done them.
const ENDLESS: &str = "5 1000000000000 1";

/// Measures and prints.
///
/// # Errors
/// When memtrace fails.
pub fn run(bench: &Bench) -> Result<()> {
    let rounds: Vec<_> = (0..bench.arguments.rounds).map(|_| measure(bench)).collect::<Result<_>>()?;
    println!(
        "Starting and ending memtrace on a busy program, in ms: median of {} rounds (lowest–highest)\n",
        bench.arguments.rounds
    );
    let mut table = Table::new(["", "ms"]);
    let rows = [("start to first report (interval 10 ms)", 0), ("Ctrl-C to end, with a last report", 1)];
    for (name, column) in rows {
        let summary = Summary::of(rounds.iter().map(|round| round[column])).context("no round")?;
        table.row([name.to_owned(), summary.show(0)]);
    }
    print!("{}", table.text());
    Ok(())
}

/// Milliseconds from the start to the first report, and from the signal to the end.
fn measure(bench: &Bench) -> Result<[f64; 2]> {
    let mut program = Program::start(&bench.cpus, "pairs", &[])?;
    program.order(ENDLESS)?;
    let mut command = Command::new(&bench.memtrace);
    command.args(["attach", "--interval", "10ms", "--pid"]).arg(program.pid().to_string());
    let start = Instant::now();
    let mut memtrace = bench.cpus.spawn_tracer(command.stdout(Stdio::piped()))?;
    let mut output = BufReader::new(memtrace.stdout.take().context("memtrace has an output")?);
    output.read_line(&mut String::new()).context("cannot read memtrace's report")?;
    let first = start.elapsed();
    let end = Instant::now();
    kill(Pid::from_raw(memtrace.id().cast_signed()), Signal::SIGINT).context("cannot signal memtrace")?;
    output.read_to_end(&mut Vec::new()).context("cannot read memtrace's report")?;
    let status = memtrace.wait()?;
    let last = end.elapsed();
    if !status.success() {
        bail!("memtrace attach: {status}");
    }
    Ok([first, last].map(|time| time.as_secs_f64() * 1e3))
}
