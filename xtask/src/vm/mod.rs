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
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use self::binaries::Binaries;
use self::kernels::{Expectation, KERNELS, Kernel};
use self::machine::Machine;
use self::qemu::End;
use self::summary::Row;
use crate::process::say;
use crate::workspace;

/// Which kernels, and which tests.
#[derive(Args)]
pub struct Arguments {
    /// A kernel: `6.1` on each architecture, or `6.1-aarch64`. May be repeated
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Every kernel and every test that can run in a virtual machine, not the quick selection
    #[arg(long)]
    all: bool,
    /// Emulate by KVM
    #[arg(long)]
    kvm: bool,
    /// Only tests whose name contains one of these; options of the test program, such as --nocapture, are passed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILTER")]
    filters: Vec<String>,
}

/// Tests that run everywhere: they need no program but those that are taken along.
const TESTS: [&str; 12] = [
    "accounting::",
    "errors::",
    "family::",
    "harm::",
    "isolation::",
    "mappings::",
    "python::",
    "sampling::",
    "smoke::",
    "stacks::",
    "targets::",
    "threads::",
];
/// Of these, what cannot run: there is no such compiler, or no such program.
const SKIPPED: [&str; 7] = [
    "exceptions",
    "no_allocator",
    "static_and_stripped",
    "thirty_two_bit",
    "closed_pipe",
    "calls_in_signal_handlers_do_not_disturb",
    "of_node",
];
/// The quick selection.
const QUICK: [&str; 10] = [
    "smoke::",
    "targets::",
    "the_peak_is_exact",
    "the_peak_of_threads",
    "realloc_ends",
    "stacks_of_every_depth",
    "a_forked_child_counts",
    "mappings_are_exact_from_the_start",
    "lines_hold_what_tracemalloc_says",
    "sums_are_estimated",
];
/// The one test on a kernel that is too old.
const REFUSAL: &str = "old_kernels_are_refused";

/// How long a machine may take. Tests take a hundred times as long in it as outside.
const PATIENCE: Duration = Duration::from_mins(20);

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
    let mut rows = Vec::new();
    for kernel in kernels {
        let image = kernel.bring(&cache)?;
        let row = guests[&kernel.machine].test(kernel, &image, arguments, &cache)?;
        say(&row.to_string());
        rows.push(row);
    }
    println!("{}", summary::table(&rows));
    let failed: Vec<_> = rows.iter().filter(|row| !row.passed()).map(|row| row.kernel.as_str()).collect();
    if failed.is_empty() { Ok(()) } else { bail!("failed on {}", failed.join(", ")) }
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
        let archive = cache.join("guest.cpio");
        guest::write(&archive, &self.userland, &self.binaries, &script(kernel, arguments))?;
        let log = cache.join("logs").join(format!("{}.log", kernel.name()));
        say(&format!("testing on {} (console: {})", kernel.name(), log.display()));
        let start = Instant::now();
        let boot = || qemu::boot(kernel, arguments.kvm, image, &archive, &log, PATIENCE);
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
        if !row.passed() {
            row.show_log();
        }
        Ok(row)
    }
}

/// The shell script that runs the tests.
fn script(kernel: &Kernel, arguments: &Arguments) -> String {
    let filters: Vec<&str> = match kernel.expectation {
        Expectation::Refused => vec!["--ignored", REFUSAL],
        Expectation::Works if !arguments.filters.is_empty() => arguments.filters.iter().map(String::as_str).collect(),
        Expectation::Works if arguments.all || !arguments.kernel.is_empty() => TESTS.to_vec(),
        Expectation::Works => QUICK.to_vec(),
    };
    let skipped: Vec<String> = SKIPPED.iter().map(|name| format!("--skip {name}")).collect();
    format!(
        "export MEMTRACE_TEST_PREBUILT=1 MEMTRACE_TEST_ROUNDS=1000\nulimit -c 0\nexec /tests --test-threads 1 {} {}\n",
        skipped.join(" "),
        filters.join(" ")
    )
}
