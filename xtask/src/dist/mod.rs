//! `cargo xtask dist`: what people install. A static program for each architecture, and the packages that bring it with its
//! manual pages and completions, in `target/dist`.

mod binary;
mod documents;
mod packages;
mod tools;
mod trial;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::process::say;
use crate::{setup, workspace};

/// What to make.
#[derive(Args)]
pub struct Arguments {
    /// Only for this architecture. May be repeated
    #[arg(long, value_enum, value_name = "ARCH")]
    arch: Vec<Architecture>,
    /// Then install and run it, as root, in file systems that have next to nothing else
    #[arg(long = "try")]
    tries: bool,
}

/// An architecture, by Rust's name, which is rpm's as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Architecture {
    /// 64-bit x86.
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Architecture {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Rust's target: with musl, as glibc cannot be linked statically without asking for itself at run time.
    pub fn target(self) -> String {
        format!("{}-unknown-linux-musl", self.name())
    }

    /// Whether this machine runs its programs.
    pub fn is_host(self) -> bool {
        self.name() == std::env::consts::ARCH
    }
}

/// Builds the programs and packages.
///
/// # Errors
/// When something cannot be built, or fails where it is tried.
pub fn dist(arguments: &Arguments) -> Result<()> {
    setup::ensure()?;
    let all = [Architecture::X86_64, Architecture::Aarch64];
    let wanted = if arguments.arch.is_empty() { &all[..] } else { &arguments.arch };
    let output = directory()?;
    let tools = tools::ensure()?;
    // What a package carries besides is the same everywhere, and is made by a program that runs here.
    let native =
        all.into_iter().find(|architecture| architecture.is_host()).context("memtrace runs on no such machine")?;
    let documents = documents::make(&binary::build(native)?)?;
    for architecture in wanted {
        let program = binary::build(*architecture)?;
        let name = format!("memtrace-{}-{}-linux", env!("CARGO_PKG_VERSION"), architecture.name());
        fs::copy(&program, output.join(&name)).with_context(|| format!("cannot write {name}"))?;
        let made = packages::make(*architecture, &program, &documents, &tools)?;
        say(&format!("made {name} and {}", made.names().join(", ")));
        if arguments.tries && architecture.is_host() {
            trial::try_out(&program, &made)?;
        }
    }
    Ok(())
}

/// Where everything is put. Cargo.toml of memtrace-user names files in it, so it is there wherever cargo builds.
fn directory() -> Result<PathBuf> {
    let directory = workspace::root().join("target/dist");
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
    Ok(directory)
}
