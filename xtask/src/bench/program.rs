//! The traced programs: built from `xtask/bench-programs`, driven by lines on their standard input.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::cpus::Cpus;
use super::running::Running;
use crate::{process, workspace};

/// The programs, one file each.
const PROGRAMS: [&str; 5] = ["pairs", "sites", "live", "churn", "mixed"];

/// With frame pointers, and with every frame of the source on the stack. `-fno-builtin`, or the compiler would leave
/// out what it sees to be unused.
const FLAGS: [&str; 8] = [
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-fno-builtin",
    "-pthread",
    "-Wall",
    "-Wextra",
];

/// Builds the programs and copies the C library: a copy of their own keeps the probes of other tracers on this machine
/// out of the measurement.
///
/// # Errors
/// When there is no C compiler or no glibc.
pub fn build() -> Result<()> {
    fs::create_dir_all(library_dir()).with_context(|| format!("cannot create {}", library_dir().display()))?;
    for name in PROGRAMS {
        let source = workspace::root().join("xtask/bench-programs").join(name).with_extension("c");
        process::run(Command::new("cc").args(FLAGS).arg("-o").arg(dir().join(name)).arg(source))?;
    }
    let found = process::read(Command::new("cc").arg("-print-file-name=libc.so.6"))?;
    let found = Path::new(found.trim());
    if !found.is_absolute() {
        bail!("cc knows no libc.so.6: the benchmark needs glibc");
    }
    // Removed first: a program that still runs from a former benchmark keeps its file.
    let library = library_dir().join("libc.so.6");
    let _ = fs::remove_file(&library);
    fs::copy(found, library).with_context(|| format!("cannot copy {}", found.display()))?;
    Ok(())
}

fn dir() -> PathBuf {
    workspace::target_dir().join("bench")
}

/// Where the C library lies that the programs run with.
pub fn library_dir() -> PathBuf {
    dir().join("lib")
}

/// Where a program lies.
pub fn path(name: &str) -> PathBuf {
    dir().join(name)
}

/// A running program; killed when dropped.
pub struct Program {
    child: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts one and waits until it is ready for orders.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(cpus: &Cpus, name: &str, arguments: &[String]) -> Result<Self> {
        Self::of(cpus.spawn_target(&mut Self::command(name, arguments))?, name)
    }

    /// The same, without arguments and with variables in its environment.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_with(cpus: &Cpus, name: &str, environment: &[(String, String)]) -> Result<Self> {
        let mut command = Self::command(name, &[]);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Self::of(cpus.spawn_target(&mut command)?, name)
    }

    /// The same on all CPUs, for a program of several threads.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_on_all(name: &str, arguments: &[String]) -> Result<Self> {
        let mut command = Self::command(name, arguments);
        Self::of(command.spawn().with_context(|| format!("cannot run {name}"))?, name)
    }

    fn command(name: &str, arguments: &[String]) -> Command {
        let mut command = Command::new(dir().join(name));
        command.args(arguments).env("LD_LIBRARY_PATH", library_dir());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }

    fn of(mut child: Child, name: &str) -> Result<Self> {
        let input = child.stdin.take().context("the program has an input")?;
        let output = BufReader::new(child.stdout.take().context("the program has an output")?);
        let mut program = Self { child: Running(child), input, output };
        let ready = program.line()?;
        if !ready.starts_with("ready ") {
            bail!("{name} says `{ready}` instead of `ready`");
        }
        Ok(program)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Gives an order.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn order(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}").context("the traced program has ended")
    }

    /// The next line that it prints.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line).context("cannot read from the traced program")? == 0 {
            bail!("the traced program has ended: {}", self.child.0.wait()?);
        }
        Ok(line.trim_end().to_owned())
    }
}
