//! What the traced program is measured under. A contender is a line in [`CONTENDERS`] and the function that starts it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::preload::{self, Preload};
use super::running::{Running, until};
use super::{Bench, python};

/// One row of the table of pairs.
pub struct Contender {
    /// The name in the table.
    pub name: &'static str,
    /// The program that it needs, if it is not memtrace's own: the name on PATH and in `--peer`.
    pub peer: Option<&'static str>,
    /// What the program is started with, if it has to be.
    pub preload: Option<&'static Preload>,
    /// Attaches it to a process; returns when all of its probes are in place.
    attach: fn(&Bench, Option<&Path>, u32) -> Result<Tracer>,
}

/// The program without any probe.
pub const UNTRACED: &str = "untraced";
/// Empty probes.
pub const FLOOR: &str = "floor: empty probes";
/// Empty probes at entries alone.
pub const ENTRIES: &str = "floor: empty entry probes";
/// memtrace, sampling by bytes.
pub const SAMPLED: &str = "memtrace, sampled at 512 KiB";
/// memtrace, with stacks by frame pointers.
pub const BY_FRAME_POINTER: &str = "memtrace, fp stacks";
/// memtrace with its defaults: stacks by unwind tables.
pub const BY_TABLES: &str = "memtrace, dwarf stacks";
/// libbpf-tools' memleak.
pub const MEMLEAK: &str = "libbpf memleak";

/// The same, looking at one call in a hundred.
pub const MEMLEAK_SAMPLED: &str = "libbpf memleak -s 100";

/// bpftrace's usual line for this: bytes by stack, frees not looked at.
const BPFTRACE: &str = "bpftrace, bytes by stack";

/// The rows, in the order in which a round measures them.
pub const CONTENDERS: [Contender; 15] = [
    Contender { name: UNTRACED, ..NONE },
    Contender { name: FLOOR, attach: |bench, _, pid| floor(bench, &[], pid), ..NONE },
    Contender { name: ENTRIES, attach: |bench, _, pid| floor(bench, &["--entries-only"], pid), ..NONE },
    Contender { name: BY_FRAME_POINTER, attach: |bench, _, pid| memtrace(bench, &["--unwind", "fp"], pid), ..NONE },
    Contender { name: BY_TABLES, attach: |bench, _, pid| memtrace(bench, &["--unwind", "dwarf"], pid), ..NONE },
    Contender {
        name: "memtrace, sampled at 64 KiB",
        attach: |bench, _, pid| memtrace(bench, &["--sample-bytes", "64KiB"], pid),
        ..NONE
    },
    Contender { name: SAMPLED, attach: |bench, _, pid| memtrace(bench, &["--sample-bytes", "512KiB"], pid), ..NONE },
    Contender {
        name: MEMLEAK,
        peer: Some("memleak"),
        attach: |bench, path, pid| memleak(bench, path, &[], pid),
        ..NONE
    },
    Contender {
        name: MEMLEAK_SAMPLED,
        peer: Some("memleak"),
        attach: |bench, path, pid| memleak(bench, path, &["-s", "100"], pid),
        ..NONE
    },
    Contender { name: BPFTRACE, peer: Some("bpftrace"), attach: bpftrace, ..NONE },
    Contender { name: "heaptrack", preload: Some(&preload::HEAPTRACK), ..NONE },
    Contender { name: "jemalloc, untraced", preload: Some(&preload::JEMALLOC), ..NONE },
    Contender { name: "jemalloc's profiler, 512 KiB", preload: Some(&preload::JEMALLOC_PROFILER), ..NONE },
    Contender { name: "tcmalloc, untraced", preload: Some(&preload::TCMALLOC), ..NONE },
    Contender { name: "tcmalloc's profiler", preload: Some(&preload::TCMALLOC_PROFILER), ..NONE },
];

/// Those that trace what the process starts, too.
pub const FOLLOWING: [Contender; 3] = [
    Contender { name: UNTRACED, ..NONE },
    Contender {
        name: BY_FRAME_POINTER,
        attach: |bench, _, pid| memtrace(bench, &["--unwind", "fp", "--follow"], pid),
        ..NONE
    },
    Contender {
        name: SAMPLED,
        attach: |bench, _, pid| memtrace(bench, &["--sample-bytes", "512KiB", "--follow"], pid),
        ..NONE
    },
];

/// What most rows have in common; no row.
const NONE: Contender = Contender { name: "", peer: None, preload: None, attach: |_, _, _| Ok(Tracer::none()) };

/// Whether `--peer NAME=PATH` means something.
pub fn takes_peer(name: &str) -> bool {
    peers().any(|peer| peer == name)
}

/// The names that `--peer` takes.
pub fn peer_names() -> String {
    peers().collect::<Vec<_>>().join(", ")
}

fn peers() -> impl Iterator<Item = &'static str> {
    let mut peers: Vec<_> = CONTENDERS.iter().filter_map(|contender| contender.peer).chain([python::MEMRAY]).collect();
    peers.dedup();
    peers.into_iter()
}

impl Contender {
    /// Whether it is on this machine.
    pub fn is_present(&self, bench: &Bench) -> bool {
        self.peer.is_none_or(|name| bench.peer(name).is_some()) && self.preload.is_none_or(Preload::is_present)
    }

    /// Attaches the contender to a process.
    ///
    /// # Errors
    /// When it fails or does not become ready.
    pub fn attach(&self, bench: &Bench, pid: u32) -> Result<Tracer> {
        let peer = self.peer.and_then(|name| bench.peer(name));
        (self.attach)(bench, peer.as_deref(), pid).with_context(|| format!("{} does not trace", self.name))
    }
}

/// Empty probes where memtrace places its own; they stay while standard input is open.
fn floor(bench: &Bench, options: &[&str], pid: u32) -> Result<Tracer> {
    let mut command = Command::new(&bench.memtrace);
    command.arg("floor").args(options).arg("--pid").arg(pid.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut tracer = Tracer::start(bench, &mut command)?;
    tracer.wait_for_line("attached")?;
    Ok(tracer)
}

/// memtrace as a user runs it, with frequent reports.
fn memtrace(bench: &Bench, options: &[&str], pid: u32) -> Result<Tracer> {
    let mut command = Command::new(&bench.memtrace);
    command.arg("attach").args(options).args(["--interval", "500ms", "--pid"]);
    command.arg(pid.to_string()).stdout(Stdio::piped());
    let mut tracer = Tracer::start(bench, &mut command)?;
    tracer.wait_for_line("Process")?;
    // Until it has seen some hits, memtrace has the kernel time its programs, which costs each of them some 20 ns; then
    // it does so in one interval of thirty. The hits come from the warm-up.
    tracer.settling = Some("Process");
    Ok(tracer)
}

/// memleak, with an interval so long that it never prints.
fn memleak(bench: &Bench, path: Option<&Path>, options: &[&str], pid: u32) -> Result<Tracer> {
    let mut command = Command::new(path.context("there is no memleak")?);
    let library = c_library_of(pid)?;
    // It cuts the library's path after 31 bytes.
    command
        .current_dir(library.parent().context("the process maps no libc.so.6")?)
        .args(["-O", "./libc.so.6"])
        .args(options);
    command.arg("-p").arg(pid.to_string()).args(["10000", "1"]);
    let mut tracer = Tracer::start(bench, command.stdout(Stdio::null()))?;
    // It says nothing when its probes are in place, but then it sleeps.
    tracer.wait_until(|child| Ok(fs::read_to_string(format!("/proc/{}/wchan", child.id()))?.contains("nanosleep")))?;
    Ok(tracer)
}

/// Says so each second once its probe is in place.
fn bpftrace(bench: &Bench, path: Option<&Path>, pid: u32) -> Result<Tracer> {
    let library = c_library_of(pid)?;
    let script = format!(
        "uprobe:{}:malloc /pid == {pid}/ {{ @[ustack] = sum(arg0); }} interval:s:1 {{ printf(\"attached\\n\"); }}",
        library.display()
    );
    let mut command = Command::new(path.context("there is no bpftrace")?);
    command.arg("-p").arg(pid.to_string()).args(["-B", "line", "-e"]).arg(script);
    let mut tracer = Tracer::start(bench, command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
    tracer.wait_for_line("attached")?;
    Ok(tracer)
}

fn c_library_of(pid: u32) -> Result<PathBuf> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).context("the process has ended")?;
    let mut paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.find(|path| path.ends_with("/libc.so.6")).map(PathBuf::from).context("the process maps no libc.so.6")
}

/// A running tracer; killed when dropped, and the kernel removes its probes with their descriptors.
pub struct Tracer {
    child: Option<Running>,
    output: Option<BufReader<ChildStdout>>,
    /// What the tracer prints, twice, once it does only what it does all the time.
    settling: Option<&'static str>,
}

impl Tracer {
    fn none() -> Self {
        Self { child: None, output: None, settling: None }
    }

    fn start(bench: &Bench, command: &mut Command) -> Result<Self> {
        let mut child = bench.cpus.spawn_tracer(command)?;
        let output = child.stdout.take().map(BufReader::new);
        Ok(Self { child: Some(Running(child)), output, settling: None })
    }

    /// To be called when the target has made some calls: waits until the tracer has taken them in.
    ///
    /// # Errors
    /// When the tracer has ended.
    pub fn settle(&mut self) -> Result<()> {
        for word in self.settling.into_iter().chain(self.settling) {
            self.wait_for_line(word)?;
        }
        // What it prints from now on is not read: into a pipe that nobody reads it could not go on for ever, but for
        // longer than any measurement.
        Ok(())
    }

    /// Reads the tracer's output up to a line that begins so.
    fn wait_for_line(&mut self, beginning: &str) -> Result<()> {
        let output = self.output.as_mut().context("its output is not read")?;
        let mut line = String::new();
        loop {
            line.clear();
            if output.read_line(&mut line).context("cannot read what it prints")? == 0 {
                bail!("it has ended");
            }
            if line.starts_with(beginning) {
                return Ok(());
            }
        }
    }

    fn wait_until(&mut self, ready: impl Fn(&Child) -> Result<bool>) -> Result<()> {
        let child = &mut self.child.as_mut().context("it is not started")?.0;
        until("it is not ready", || {
            let is_ready = ready(child)?;
            match child.try_wait()? {
                Some(status) if !is_ready => bail!("it has ended: {status}"),
                _ => Ok(is_ready),
            }
        })
    }
}
