//! memtrace's own memory with many live blocks and call stacks: what its report says beside what the kernel says.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Bench;
use super::program::Program;
use super::running::Running;
use super::table::Table;

/// A mebibyte.
const MIB: f64 = 1024.0 * 1024.0;

/// Measures and prints.
///
/// # Errors
/// When memtrace fails, or does not see every block.
pub fn run(bench: &Bench) -> Result<()> {
    let (blocks, stacks) = (bench.arguments.blocks, bench.arguments.stacks);
    let mut program = Program::start(&bench.cpus, "live", &[blocks.to_string(), stacks.to_string()])?;
    let mut command = Command::new(&bench.memtrace);
    command.args(["attach", "--interval", "1s", "--top", "1", "--pid"]).arg(program.pid().to_string());
    let mut memtrace = Memtrace::start(bench, &mut command)?;
    memtrace.report()?;
    program.order("go")?;
    let done = program.line()?;
    if done != "done" {
        bail!("the traced program says `{done}`");
    }
    // Reports from before the last block may still wait to be read.
    let report = loop {
        let report = memtrace.report()?;
        if report.iter().any(|line| line.starts_with("Allocated") && line.contains(", now 0/s,")) {
            break report;
        }
    };
    let kernel = Kernel::of(&memtrace.child.0)?;
    println!("memtrace's own memory with {blocks} live blocks and {stacks} call stacks, in MiB\n");
    print!("{}", table(&report, &kernel)?.text());
    println!("\nThe report that states it:\n{}", report.join("\n"));
    Ok(())
}

fn table(report: &[String], kernel: &Kernel) -> Result<Table> {
    let mut table = Table::new(["", "MiB"]);
    let (own, maps) = stated(report)?;
    let rows = [
        ("the report: own memory", own),
        ("  of that in BPF maps", maps),
        ("the kernel: memory of memtrace's BPF maps", kernel.maps),
        ("the kernel: resident, without BPF maps", kernel.resident - kernel.mapped_maps),
        ("  of that anonymous", kernel.anonymous),
        ("the kernel: sum, which the report should state", kernel.maps + kernel.resident - kernel.mapped_maps),
    ];
    for (name, bytes) in rows {
        table.row([name.to_owned(), format!("{:.1}", bytes / MIB)]);
    }
    Ok(table)
}

/// memtrace, its reports read one by one.
struct Memtrace {
    child: Running,
    output: BufReader<ChildStdout>,
}

impl Memtrace {
    fn start(bench: &Bench, command: &mut Command) -> Result<Self> {
        let mut child = bench.cpus.spawn_tracer(command.stdout(Stdio::piped()))?;
        let output = BufReader::new(child.stdout.take().context("memtrace has an output")?);
        Ok(Self { child: Running(child), output })
    }

    /// The head of the next report, up to the line on overhead.
    fn report(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).context("cannot read memtrace's report")? == 0 {
                bail!("memtrace has ended: {}", self.child.0.wait()?);
            }
            lines.push(line.trim_end().to_owned());
            if line.starts_with("Overhead") {
                return Ok(lines);
            }
        }
    }
}

/// Own memory and the part in BPF maps, in bytes, as the report has them: `own memory 9.5 MiB, 8.0 MiB in BPF maps`.
fn stated(report: &[String]) -> Result<(f64, f64)> {
    let line = report.last().context("an empty report")?;
    let read = || {
        let (own, maps) = line.split_once("own memory ")?.1.split_once(", ")?;
        Some((bytes(own)?, bytes(maps.strip_suffix(" in BPF maps")?)?))
    };
    read().with_context(|| format!("no memory in `{line}`"))
}

fn bytes(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let factor = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => MIB,
        "GiB" => 1024.0 * MIB,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// What the kernel says of memtrace's memory, in bytes.
struct Kernel {
    /// All resident pages.
    resident: f64,
    /// Those that belong to no file.
    anonymous: f64,
    /// Those that are BPF maps, seen as memory.
    mapped_maps: f64,
    /// All BPF maps that memtrace holds.
    maps: f64,
}

impl Kernel {
    fn of(child: &Child) -> Result<Self> {
        let proc = format!("/proc/{}", child.id());
        let read = |name: &str| {
            let path = format!("{proc}/{name}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let status = read("status")?;
        let field = |name: &str| kibibytes(&status, name).with_context(|| format!("no {name} in {proc}/status"));
        let mapped_maps = mapped_maps(&read("smaps")?);
        Ok(Self { resident: field("VmRSS:")?, anonymous: field("RssAnon:")?, mapped_maps, maps: map_memory(&proc)? })
    }
}

fn kibibytes(text: &str, field: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.split_whitespace().next()?.parse::<f64>().ok().map(|value| value * 1024.0)
}

/// Resident pages of BPF maps in a process's `smaps`.
fn mapped_maps(smaps: &str) -> f64 {
    let mut sum = 0.0;
    let mut in_map = false;
    for line in smaps.lines() {
        match line.split_whitespace().next() {
            Some(first) if !first.ends_with(':') => in_map = line.ends_with("anon_inode:bpf-map"),
            Some("Rss:") if in_map => sum += kibibytes(line, "Rss:").unwrap_or(0.0),
            _ => {}
        }
    }
    sum
}

/// The memory of all BPF maps that a process has descriptors of, each once.
fn map_memory(proc: &str) -> Result<f64> {
    let dir = format!("{proc}/fdinfo");
    let mut maps = HashMap::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {dir}"))? {
        // A descriptor may be closed meanwhile.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse::<u64>().ok();
        if let (Some(id), Some(memory)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, memory);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    Ok(maps.values().sum::<u64>() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures are read out of the report's line on overhead, whatever stands before them.
    #[test]
    fn memory_is_read_from_the_report() {
        let line =
            "Overhead    1.2% of one core, 2,000 probe hits; own memory 1.5 MiB, 512.0 KiB in BPF maps".to_owned();
        assert_eq!(stated(&[line]).ok(), Some((1.5 * MIB, 0.5 * MIB)));
        assert!(stated(&["Overhead    none".to_owned()]).is_err());
    }

    /// Only mappings of BPF maps are summed.
    #[test]
    fn mapped_maps_are_told_from_other_memory() {
        let smaps = "00-10 rw-s 0 00:0e 1 anon_inode:bpf-map\nSize: 9 kB\nRss: 8 kB\nPss: 8 kB\n\
                     20-30 r--p 0 08:01 2 /usr/lib/libc.so.6\nRss: 100 kB\n";
        assert_eq!(format!("{:.0}", mapped_maps(smaps)), "8192");
    }
}
