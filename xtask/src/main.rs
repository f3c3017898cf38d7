//! Build and test commands of memtrace: `cargo xtask --help`. One file a command.

mod apt;
mod bench;
mod bpf_linker;
mod build;
#[path = "../../memtrace-ebpf/cargo_call.rs"]
mod cargo_call;
mod debian;
mod debian_rust_src;
mod dist;
mod lint;
mod privilege;
mod process;
mod run;
mod rust_src;
mod setup;
mod test;
mod test_packages;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, runs and tests memtrace on a machine that has Rust and a C compiler; brings everything else itself.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Bring what building needs, under target/tools: rust-src and bpf-linker. Every other command does this first
    Setup,
    /// Build memtrace
    Build(build::Arguments),
    /// Build memtrace, then run it as root: `cargo xtask run -- attach --pid PID`
    Run(run::Arguments),
    /// Install what the tests need, build them, run all of them as root
    Test(test::Arguments),
    /// Run tests that trace real programs on other kernels and architectures, in virtual machines
    VmTest(vm::Arguments),
    /// Measure what tracing costs, beside empty probes and other tracers, and print it as tables
    Bench(bench::Arguments),
    /// Make what people install: static programs and packages, under target/dist
    Dist(dist::Arguments),
    /// Check formatting, lints and documentation of every crate; a warning is an error
    Lint,
}

fn main() -> ExitCode {
    match perform(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by returning it from main: where RUST_BACKTRACE is set, a backtrace would bury the message.
            process::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Setup => setup::setup(),
        Task::Build(arguments) => build::build(&arguments),
        Task::Run(arguments) => run::run(&arguments),
        Task::Test(arguments) => test::test(&arguments),
        Task::VmTest(arguments) => vm::vm_test(&arguments),
        Task::Bench(arguments) => bench::bench(arguments),
        Task::Dist(arguments) => dist::dist(&arguments),
        Task::Lint => lint::lint(),
    }
}
