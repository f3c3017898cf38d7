//! `cargo xtask bench`: what tracing costs, each figure measured beside those it is compared with.
//!
//! A section is a file here and a line in [`Section`]; a tracer that the traced process is measured under is a line in
//! `contenders`. Everything runs as root; building is done before, as the caller.

mod churn;
mod contenders;
mod cpus;
mod latency;
mod memory;
mod pairs;
mod preload;
mod program;
mod python;
mod running;
mod sampling;
mod servers;
mod sites;
mod snapshot;
mod stacks;
mod stated;
mod stats;
mod table;
mod view;
mod workloads;

use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use clap::{Args, ValueEnum};

use self::cpus::Cpus;
use crate::{apt, privilege, process, setup, workspace};

/// What to measure, and how long.
#[derive(Args, Clone)]
pub struct Arguments {
    /// Sections to run [default: all]
    #[arg(value_enum, value_name = "SECTION")]
    sections: Vec<Section>,
    /// Rounds: each measures every tracer once, in turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Stack depths at which pairs are measured
    #[arg(long, value_delimiter = ',', default_values_t = [1, 5, 20, 50], value_parser = clap::value_parser!(u32).range(1..))]
    depths: Vec<u32>,
    /// Numbers of live blocks in the section `blocks`
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 1_000_000], value_parser = clap::value_parser!(u32).range(1..))]
    live: Vec<u32>,
    /// Numbers of threads in the section `threads`
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4], value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: Vec<u32>,
    /// Numbers of processes in the section `processes`
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 16], value_parser = clap::value_parser!(u32).range(1..=64))]
    processes: Vec<u32>,
    /// Programs in the section `stated` [default: all that do the same work each time]
    #[arg(long, value_delimiter = ',')]
    programs: Vec<String>,
    /// Live blocks in the section `memory`
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    blocks: u32,
    /// Call stacks in the section `memory`
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..1 << 24))]
    stacks: u32,
    /// Another tracer to compare with, as memleak=PATH; without this it is looked for on PATH
    #[arg(long = "peer", value_name = "NAME=PATH", value_parser = peer)]
    peers: Vec<(String, PathBuf)>,
    /// Everything is built, and this is root.
    #[arg(long, hide = true)]
    built: bool,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    /// A malloc+free pair: untraced, under empty probes, under memtrace, under other tracers
    Pairs,
    /// A malloc+free pair by the number of call stacks
    Sites,
    /// Replacing live blocks at random, by their number
    Blocks,
    /// Replacing blocks on several threads at once
    Threads,
    /// The same on several processes that are followed
    Processes,
    /// What memtrace says that it costs, beside what programs lose
    Stated,
    /// Whether estimates are without bias, and their intervals right: 200 runs of a program that counts for itself
    Sampling,
    /// redis under redis-benchmark and postgres under pgbench: requests a second untraced, under memtrace and memleak
    Servers,
    /// A Python program of which each object is traced: memtrace beside tracemalloc and memray, and the cost of a Python frame
    Python,
    /// From starting memtrace to its first report, and from Ctrl-C to its end
    Latency,
    /// memtrace's own memory, with many live blocks and call stacks
    Memory,
    /// The live view of 50,000 call sites: a reading, and the slowest key
    View,
    /// Real programs without frame pointers: stacks that are whole, and what a frame costs
    Stacks,
    /// A large snapshot file: writing, reading and ranking it
    Snapshot,
}

/// What every section needs.
struct Bench {
    arguments: Arguments,
    memtrace: PathBuf,
    cpus: Cpus,
}

impl Bench {
    /// The path of another tracer, from `--peer` or PATH.
    fn peer(&self, name: &str) -> Option<PathBuf> {
        let given = self.arguments.peers.iter().find(|(peer, _)| peer == name).map(|(_, path)| path.clone());
        given.or_else(|| apt::find_program(name))
    }
}

fn peer(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or_else(|| format!("`{text}`: write it as NAME=PATH"))?;
    if !contenders::takes_peer(name) {
        return Err(format!("no peer is called `{name}`: known are {}", contenders::peer_names()));
    }
    let path = PathBuf::from(path);
    if path.is_file() { Ok((name.to_owned(), path)) } else { Err(format!("{}: no such file", path.display())) }
}

/// Builds, becomes root, measures and prints.
///
/// # Errors
/// When the build fails, or something cannot be measured.
pub fn bench(arguments: Arguments) -> Result<()> {
    if !arguments.built {
        build()?;
    }
    if !privilege::is_root()? {
        return become_root();
    }
    let bench = Bench { arguments, memtrace: workspace::target_dir().join("release/memtrace"), cpus: Cpus::choose()? };
    println!("{}\n", machine());
    for section in Section::value_variants() {
        if !bench.arguments.sections.is_empty() && !bench.arguments.sections.contains(section) {
            continue;
        }
        match section {
            Section::Pairs => pairs::run(&bench)?,
            Section::Sites => sites::run(&bench)?,
            Section::Blocks => churn::by_blocks(&bench)?,
            Section::Threads => churn::by_threads(&bench)?,
            Section::Processes => churn::by_processes(&bench)?,
            Section::Stated => stated::run(&bench),
            Section::Sampling => sampling::run(&bench)?,
            Section::Servers => servers::run(&bench)?,
            Section::Python => python::run(&bench)?,
            Section::Latency => latency::run(&bench)?,
            Section::Memory => memory::run(&bench)?,
            Section::View => view::run()?,
            Section::Stacks => stacks::run(&bench)?,
            Section::Snapshot => snapshot::run(&bench)?,
        }
        println!();
    }
    Ok(())
}

fn build() -> Result<()> {
    // First, as a build is long.
    privilege::prefix()?;
    setup::ensure()?;
    let mut cargo = workspace::cargo("build");
    let programs = ["--bin", "memtrace", "--example", snapshot::PROGRAM];
    process::run(cargo.args(["--quiet", "--release", "--package", "memtrace"]).args(programs))?;
    view::build()?;
    program::build()
}

/// Runs the same command line once more, as root.
fn become_root() -> Result<()> {
    let own = env::current_exe().context("cannot find xtask's own program")?;
    let mut command = privilege::as_root(own)?;
    command.args(env::args_os().skip(1)).arg("--built");
    // sudo may drop the environment.
    command.current_dir(workspace::root());
    Err(anyhow!(command.exec())).context("cannot become root")
}

/// The machine, for whoever reads the figures elsewhere.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let cpuinfo = read("/proc/cpuinfo");
    let value = |field: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(field))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let virtual_machine = cpuinfo.contains(" hypervisor ");
    format!(
        "kernel {}, {} CPUs ({}{})",
        release.trim(),
        std::thread::available_parallelism().map_or(1, usize::from),
        value("model name").unwrap_or_else(|| env::consts::ARCH.to_owned()),
        if virtual_machine { ", virtual machine" } else { "" }
    )
}
