//! What a Python program loses when each of its objects is traced: under memtrace, under the interpreter's own tracemalloc, and
//! under memray where it is installed; and what a Python frame costs memtrace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::stats::Summary;
use super::table::Table;
use crate::{process, workspace};

/// The peer that traces Python, too.
pub const MEMRAY: &str = "memray";

/// A way to run the program.
struct Way {
    /// The name in the table.
    name: &'static str,
    /// Environment.
    environment: &'static [(&'static str, &'static str)],
    /// What stands before the interpreter: `{memtrace}`, `{memray}` and `{file}` are filled in.
    before: &'static [&'static str],
    /// Options of the interpreter.
    options: &'static [&'static str],
}

const PLAIN: Way = Way { name: "untraced", environment: &[], before: &[], options: &[] };

/// Each object by malloc, as memtrace runs Python.
const BY_MALLOC: &[(&str, &str)] = &[("PYTHONMALLOC", "malloc")];

/// As memtrace runs Python, without memtrace.
const UNTRACED: Way = Way { name: "untraced, objects by malloc", environment: BY_MALLOC, ..PLAIN };
const TRACED: Way = Way { name: "memtrace, each object", before: &["{memtrace}", "run", "--"], ..PLAIN };

/// The rows; the others are compared with the first.
const WAYS: [Way; 8] = [
    PLAIN,
    UNTRACED,
    Way { name: "tracemalloc, 1 frame", options: &["-X", "tracemalloc"], ..PLAIN },
    Way { name: "tracemalloc, 25 frames", options: &["-X", "tracemalloc=25"], ..PLAIN },
    Way {
        name: "memray, each object",
        before: &["{memray}", "run", "--quiet", "--trace-python-allocators", "--force", "--output", "{file}.memray"],
        ..PLAIN
    },
    TRACED,
    Way {
        name: "memtrace, sampled at 512 KiB",
        before: &["{memtrace}", "run", "--sample-bytes", "512KiB", "--"],
        ..PLAIN
    },
    Way { name: "memtrace, pools kept", before: &["{memtrace}", "run", "--keep-pymalloc", "--"], ..PLAIN },
];

/// Functions that a Python stack is deep, of which the difference is measured, and blocks that `objects.py` makes there.
const DEPTHS: [u32; 2] = [4, 68];
const BLOCKS: f64 = 400_000.0;

/// Measures and prints.
///
/// # Errors
/// When the program cannot be run.
pub fn run(bench: &Bench) -> Result<()> {
    let file = workspace::target_dir().join("bench").join("objects.seconds");
    let memray = bench.peer(MEMRAY);
    let ways: Vec<&Way> = WAYS.iter().filter(|way| memray.is_some() || !way.before.contains(&"{memray}")).collect();
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    let mut frames = Vec::new();
    for round in 1..=bench.arguments.rounds {
        process::say(&format!("python: round {round} of {}", bench.arguments.rounds));
        for (way, seconds) in ways.iter().zip(&mut seconds) {
            seconds.push(measure(bench, memray.as_deref(), way, &file, &["mixed"])?);
        }
        frames.push(frame(bench, &file)?);
    }
    println!(
        "CPU time of a Python program that makes objects of all kinds (`xtask/bench-programs/objects.py`), without the start of \
         the interpreter; median of {} interleaved rounds (lowest–highest)\n",
        bench.arguments.rounds
    );
    let mut table = Table::new(["", "ms", "/ untraced"]);
    for (way, own) in ways.iter().zip(&seconds) {
        let show = |values: Vec<f64>, decimals| Summary::of(values).map_or_else(String::new, |all| all.show(decimals));
        let ratios = own.iter().zip(&seconds[0]).map(|(own, untraced)| own / untraced).collect();
        table.row([way.name.into(), show(own.iter().map(|own| own * 1e3).collect(), 0), show(ratios, 2)]);
    }
    print!("{}", table.text());
    if let Some(summary) = Summary::of(frames) {
        println!("\na Python frame takes {} ns", summary.show(1));
    }
    Ok(())
}

/// Nanoseconds that one function more on the stack costs a block, beyond what it costs untraced.
fn frame(bench: &Bench, file: &Path) -> Result<f64> {
    let [untraced, traced] = [&UNTRACED, &TRACED].map(|way| -> Result<f64> {
        let [shallow, deep] = DEPTHS.map(|depth| measure(bench, None, way, file, &["deep", &depth.to_string()]));
        Ok(deep? - shallow?)
    });
    Ok((traced? - untraced?) * 1e9 / (f64::from(DEPTHS[1] - DEPTHS[0]) * BLOCKS))
}

/// CPU seconds of the program's work.
fn measure(bench: &Bench, memray: Option<&Path>, way: &Way, file: &Path, arguments: &[&str]) -> Result<f64> {
    let _before = fs::remove_file(file);
    let fill = |word: &str| match word {
        "{memtrace}" => bench.memtrace.clone(),
        "{memray}" => memray.unwrap_or(Path::new(MEMRAY)).to_owned(),
        _ => PathBuf::from(word.replace("{file}", &file.display().to_string())),
    };
    let program = workspace::root().join("xtask/bench-programs/objects.py");
    let mut words: Vec<PathBuf> = way.before.iter().map(|word| fill(word)).collect();
    // memray is a program of the interpreter's, and runs the script itself.
    if !way.before.contains(&"{memray}") {
        words.push("/usr/bin/python3".into());
    }
    words.extend(way.options.iter().map(PathBuf::from).chain([program, file.to_owned()]));
    words.extend(arguments.iter().map(PathBuf::from));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).envs(way.environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().with_context(|| format!("cannot run {}", words[0].display()))?;
    if !status.success() {
        bail!("{}: {status}", way.name);
    }
    let text = fs::read_to_string(file).with_context(|| format!("{}: the program has written nothing", way.name))?;
    text.trim().parse().with_context(|| format!("{}: `{text}` is no number", way.name))
}
