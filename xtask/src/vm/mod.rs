//! `cargo xtask vm-test`: the tests of real processes on the kernels that people run, in virtual machines.
//!
//! A machine is a stock kernel of Debian's and a file system in memory: programs of Debian's, the tests, and the programs
//! that they trace, compiled here. Nothing of it touches the machine that it runs on.

mod binaries;
mod cpio;
mod guest;
mod kernels;
mod machine;
mod qemu;
mod selection;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use self::binaries::Binaries;
use self::kernels::{Expectation, KERNELS, Kernel};
use self::machine::Machine;
use self::qemu::End;
use self::summary::{Row, Verdict};
use crate::process::say;
use crate::workspace;

/// Which kernels, and which tests.
#[derive(Args)]
pub struct Arguments {
    /// A kernel: `6.1` on each architecture, or `6.1-aarch64`. May be repeated
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Every kernel, unless some are named, and every test that can run in a virtual machine, not the quick selection
    #[arg(long)]
    all: bool,
    /// Machines at a time, of 2 GiB each [default: one a processor]
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<usize>,
    /// Emulate by KVM
    #[arg(long)]
    kvm: bool,
    /// Only tests whose name contains one of these; options of the test program, such as --nocapture, are passed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILTER")]
    filters: Vec<String>,
}

impl Arguments {
    /// Whether the tests are the quick selection.
    const fn is_quick(&self) -> bool {
        !self.all && self.filters.is_empty()
    }
}

/// How long a machine may take with the quick selection: several times what it needs. Tests take a hundred times as long
/// in it as outside.
const PATIENCE: Duration = Duration::from_mins(15);
/// The same with any other selection.
const LONG_PATIENCE: Duration = Duration::from_mins(40);

/// How often a machine is started again that has not come up, or that the emulator has spoilt. With qemu 7.2 on a busy
/// machine, one start in some twenty has ended so.
const RETRIES: usize = 3;

/// Runs the tests on each kernel, and prints a table.
///
/// # Errors
/// When something that the machines need cannot be had, or a test fails in one.
pub fn vm_test(arguments: &Arguments) -> Result<()> {
    let kernels: Vec<&Kernel> = if arguments.kernel.is_empty() {
        KERNELS.iter().filter(|kernel| arguments.all || kernel.quick).collect()
    } else {
        kernels::named(&arguments.kernel)?
    };
    let cache = workspace::target_dir().join("vm");
    fs::create_dir_all(cache.join("logs"))?;
    let machines: BTreeSet<Machine> = kernels.iter().map(|kernel| kernel.machine).collect();
    let prepare = |machine: Machine| Ok((machine, Guest::prepare(machine, &cache)?));
    let guests: BTreeMap<Machine, Guest> = machines.into_iter().map(prepare).collect::<Result<_>>()?;
    let images = kernels.iter().map(|kernel| kernel.bring(&cache)).collect::<Result<Vec<_>>>()?;
    // The newest first, which take longest.
    let queue = Mutex::new(kernels.iter().zip(&images).rev());
    let work = || -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        while let Some((kernel, image)) = next(&queue) {
            let row = guests[&kernel.machine].test(kernel, image, arguments, &cache)?;
            say(&row.to_string());
            rows.push(row);
        }
        Ok(rows)
    };
    let mut rows = in_parallel(arguments.jobs.unwrap_or_else(one_a_processor), &work)?;
    rows.sort_by_key(|row| kernels.iter().position(|kernel| kernel.name() == row.kernel));
    println!("{}", summary::table(&rows));
    judge(&kernels, &rows)
}

/// Fails if tests have failed, or if the emulator has erred so often that nothing is known.
fn judge(kernels: &[&Kernel], rows: &[Row]) -> Result<()> {
    let have = |verdict: Verdict| rows.iter().filter(move |row| row.verdict == verdict);
    let failed: Vec<_> = have(Verdict::Failed).map(|row| row.kernel.as_str()).collect();
    ensure!(failed.is_empty(), "failed on {}", failed.join(", "));
    // A kernel that the emulator spoils is not the change's fault; with all that memtrace runs on, nothing has been tried.
    let runs_on = |row: &Row| {
        kernels.iter().any(|kernel| kernel.name() == row.kernel && kernel.expectation == Expectation::Works)
    };
    let unknown = have(Verdict::Unknown).count();
    ensure!(unknown == 0 || have(Verdict::Passed).any(runs_on), "the emulator has run no kernel well");
    Ok(())
}

fn next<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// A machine has one processor.
fn one_a_processor() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does the same work in several threads, and gathers what they make.
fn in_parallel<T: Send>(threads: usize, work: &(impl Fn() -> Result<Vec<T>> + Sync)) -> Result<Vec<T>> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let results = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        Ok(results.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    })
}

/// What all machines of an architecture have.
struct Guest {
    userland: PathBuf,
    binaries: Binaries,
}

impl Guest {
    fn prepare(machine: Machine, cache: &Path) -> Result<Self> {
        machine.install_tools()?;
        let userland = guest::userland(cache, machine)?;
        let binaries = binaries::build(machine, cache, &userland)?;
        Ok(Self { userland, binaries })
    }

    fn test(&self, kernel: &Kernel, image: &Path, arguments: &Arguments, cache: &Path) -> Result<Row> {
        let archive = cache.join(format!("{}.cpio", kernel.name()));
        guest::write(&archive, &self.userland, &self.binaries, &selection::script(kernel, arguments))?;
        let log = cache.join("logs").join(format!("{}.log", kernel.name()));
        say(&format!("testing on {} (console: {})", kernel.name(), log.display()));
        let start = Instant::now();
        let patience = if arguments.is_quick() { PATIENCE } else { LONG_PATIENCE };
        let boot = || qemu::boot(kernel, arguments.kvm, image, &archive, &log, patience);
        let mut end = boot()?;
        for _ in 0..RETRIES {
            // No doing of ours: nothing of ours has run, or the emulator has erred.
            if !matches!(end, End::NotUp | End::BadFlags) {
                break;
            }
            say(&format!("{}: {end}; once more", kernel.name()));
            end = boot()?;
        }
        fs::remove_file(&archive)?;
        let row = Row::new(kernel, &end, start.elapsed(), log);
        if row.verdict != Verdict::Passed {
            row.show_log();
        }
        Ok(row)
    }
}
