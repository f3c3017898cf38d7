//! Real programs: the share of allocated bytes whose stacks are whole, with tables and with frame pointers alone, and what
//! the walk costs a frame.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::table::Table;
use super::workloads::{SQL, WORKLOADS, Workload};
use crate::process::{self, say};
use crate::workspace;

/// Switches run statistics of all BPF programs on.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// What memtrace logs of a command's stacks.
#[derive(Clone, Copy)]
struct Stacks {
    frames: f64,
    whole: f64,
    cut: f64,
    walks: f64,
    nanoseconds: f64,
}

/// Measures and prints.
///
/// # Errors
/// When statistics cannot be had. A program that cannot be traced is a line that says so.
pub fn run(bench: &Bench) -> Result<()> {
    let before = fs::read_to_string(STATISTICS).context("cannot read whether BPF statistics are kept")?;
    fs::write(STATISTICS, "1").context("cannot have BPF statistics kept")?;
    measure(bench);
    fs::write(STATISTICS, before.trim()).context("cannot put BPF statistics back")
}

fn measure(bench: &Bench) {
    println!(
        "Share of allocated bytes with whole stacks, frames of a stack, and ns of a frame (kernel run statistics)\n"
    );
    let mut table = Table::new(["", "auto", "fp", "frames", "ns a frame"]);
    for workload in &WORKLOADS {
        say(&format!("stacks: {}", workload.name));
        match row(bench, workload) {
            Ok(cells) => table.row(std::iter::once(workload.name.to_owned()).chain(cells)),
            Err(error) => table.row([workload.name.to_owned(), format!("not traced: {error:#}")]),
        }
    }
    print!("{}", table.text());
}

fn row(bench: &Bench, workload: &Workload) -> Result<[String; 4]> {
    let auto = traced(bench, workload, &["--unwind", "auto"])?;
    if auto.frames < 1.0 {
        bail!("nothing was recorded");
    }
    let fp = traced(bench, workload, &["--unwind", "fp"])?;
    let per_frame = if workload.measured {
        let shallow = traced(bench, workload, &["--unwind", "auto", "--max-frames", "1"])?;
        let cost = |stacks: &Stacks| stacks.nanoseconds / stacks.walks;
        format!("{:.1}", (cost(&auto) - cost(&shallow)) / (auto.frames - shallow.frames))
    } else {
        String::new()
    };
    // Stacks of more frames than are kept are followed as far as they should be.
    let share = |stacks: &Stacks| format!("{:.2} %", (stacks.whole + stacks.cut) * 100.0);
    Ok([share(&auto), share(&fp), format!("{:.1}", auto.frames), per_frame])
}

/// Runs a program under memtrace; returns what memtrace logs in the end.
fn traced(bench: &Bench, workload: &Workload, arguments: &[&str]) -> Result<Stacks> {
    let directory = directory();
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("no free port")?.port();
    let fill = |text: &str| filled(text, &directory, port);
    process::run(quiet(Command::new("sh").arg("-c").arg(fill(workload.prepare)?)))?;
    fs::write(directory.join("input"), SQL)?;
    let log = directory.join("log");
    let mut memtrace = Command::new(&bench.memtrace);
    memtrace.args(["run", "-vv", "--log-file"]).arg(&log).args(arguments).arg("--");
    for word in workload.command {
        memtrace.arg(fill(word)?);
    }
    quiet(&mut memtrace).stdin(File::open(directory.join("input"))?);
    let mut memtrace = memtrace.spawn().context("cannot start memtrace")?;
    // Whatever becomes of the load: without the program there is nothing to be read.
    let _ = quiet(Command::new("sh").arg("-c").arg(fill(workload.load)?)).status();
    memtrace.wait()?;
    let log = fs::read_to_string(&log).context("memtrace has logged nothing")?;
    let line = log.lines().rev().find_map(|line| line.split("stacks: ").nth(1)).context("memtrace recorded nothing")?;
    parse(line).with_context(|| format!("memtrace logs `{line}`"))
}

/// What programs may write to.
pub fn directory() -> PathBuf {
    workspace::target_dir().join("bench/workload")
}

/// Neither reads nor says anything.
pub fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

/// A word of a workload with its names filled in.
///
/// # Errors
/// Without a C compiler.
pub fn filled(text: &str, directory: &Path, port: u16) -> Result<String> {
    let cc1 = process::read(Command::new("gcc").arg("-print-prog-name=cc1"))?;
    let multiarch = process::read(Command::new("gcc").arg("-print-multiarch"))?;
    let source = workspace::root().join("memtrace-user/tests/programs/accounting.c");
    let path = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no UTF-8");
    let text = text.replace("{dir}", &path(directory)?).replace("{port}", &port.to_string());
    Ok(text.replace("{cc1}", cc1.trim()).replace("{multiarch}", multiarch.trim()).replace("{source}", &path(&source)?))
}

fn parse(line: &str) -> Result<Stacks> {
    let numbers: Vec<f64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    let [frames, whole, cut, _incomplete, walks, nanoseconds] = numbers[..] else { bail!("not six numbers") };
    Ok(Stacks { frames, whole, cut, walks, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::{Stacks, parse};

    /// What memtrace logs is read back.
    #[test]
    fn log_line_is_read() {
        let line = "30.5 frames, 0.990000 whole, 0.010000 cut, 0.000000 incomplete, 1000 walks, 900000 ns";
        let Stacks { frames, whole, cut, walks, nanoseconds } = parse(line).expect("six numbers");
        assert_eq!(format!("{frames} {whole} {cut} {walks} {nanoseconds}"), "30.5 0.99 0.01 1000 900000");
        assert!(parse("30.5 frames").is_err());
    }
}
