//! A Debian package and an rpm. What is in them stands in memtrace-user/Cargo.toml.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Architecture;
use super::tools::Tools;
use crate::process::read;

/// The packages of an architecture.
pub struct Packages {
    /// For Debian and its kin.
    pub deb: PathBuf,
    /// For Fedora and its kin.
    pub rpm: PathBuf,
}

impl Packages {
    /// Names of the files.
    pub fn names(&self) -> Vec<String> {
        let files = [&self.deb, &self.rpm].into_iter().filter_map(|path| path.file_name());
        files.map(|name| name.to_string_lossy().into_owned()).collect()
    }
}

/// Makes both.
///
/// # Errors
/// When a tool fails.
pub fn make(architecture: Architecture, program: &Path, documents: &Path, tools: &Tools) -> Result<Packages> {
    let output = super::directory()?;
    let made = output.join("new");
    let _ = fs::remove_dir_all(&made);
    fs::create_dir_all(&made).with_context(|| format!("cannot create {}", made.display()))?;
    // Where Cargo.toml says that the program is.
    fs::copy(program, documents.join("program"))?;
    let target = architecture.target();
    let mut deb = tools.command("cargo-deb");
    deb.args(["--package", "memtrace", "--no-build", "--no-strip", "--target", &target, "--output"]).arg(&made);
    read(&mut deb)?;
    let mut rpm = tools.command("cargo-generate-rpm");
    rpm.args(["--package", "memtrace-user", "--target", &target, "--auto-req", "disabled", "--output"]).arg(&made);
    read(&mut rpm)?;
    let take = |extension: &str| {
        let files = fs::read_dir(&made)?.filter_map(Result::ok).map(|entry| entry.path());
        let found = files.filter(|path| path.extension().is_some_and(|known| known == extension)).collect::<Vec<_>>();
        ensure!(found.len() == 1, "{} packages *.{extension} were made", found.len());
        let place = output.join(found[0].file_name().unwrap_or_default());
        fs::rename(&found[0], &place)?;
        Ok(place)
    };
    Ok(Packages { deb: take("deb")?, rpm: take("rpm")? })
}
