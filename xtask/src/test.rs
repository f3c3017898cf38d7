//! `cargo xtask test`: every test, as root, with what the tests need installed.

use std::process::{Command, Stdio};

use anyhow::{Context, Error, Result};
use clap::Args;

use crate::process::run;
use crate::{cargo_call, privilege, setup, test_packages, workspace};

/// Which tests.
#[derive(Args)]
pub struct Arguments {
    /// Only tests whose name contains one of these; options of the test program, such as --nocapture, are passed on
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILTER")]
    filters: Vec<String>,
}

/// Builds the tests as the caller and runs them as root: unit tests, tests of the command line, and tests that trace
/// real programs.
///
/// # Errors
/// When something that the tests need cannot be had, the build fails, or a test fails.
pub fn test(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    test_packages::install()?;
    let mut cargo = workspace::cargo("test");
    // One test at a time: they trace programs that share a C library, load both CPUs, and look at what is left behind.
    cargo.arg("--no-fail-fast").env("RUST_TEST_THREADS", "1");
    run_as_root(&mut cargo)?;
    if !arguments.filters.is_empty() {
        cargo.arg("--").args(&arguments.filters);
    }
    run(&mut with_default_signals(cargo))
}

/// The same command with every signal at its default: a shell's background job, or `nohup`, has SIGINT or SIGHUP ignored,
/// and the programs that tests start would inherit that and never end when they are told to.
fn with_default_signals(command: Command) -> Command {
    let mut env = Command::new("env");
    let has_option = Command::new("env").args(["--default-signal", "true"]).stderr(Stdio::null()).status();
    if !has_option.is_ok_and(|status| status.success()) {
        return command;
    }
    env.arg("--default-signal").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => env.env(name, value),
            None => env.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        env.current_dir(directory);
    }
    env
}

/// Makes cargo start the test programs through sudo or doas, unless this is root already.
fn run_as_root(cargo: &mut Command) -> Result<()> {
    let prefix = privilege::prefix()?;
    if !prefix.is_empty() {
        let host = cargo_call::rustc(&["--print", "host-tuple"]).map_err(Error::msg)?;
        let variable = format!("CARGO_TARGET_{}_RUNNER", host.trim().to_uppercase().replace('-', "_"));
        // Asked for once, before the build's output scrolls the question away.
        let mut first = privilege::as_root("true")?;
        run(&mut first).context("the tests need root")?;
        cargo.env(variable, prefix.join(" "));
    }
    Ok(())
}
