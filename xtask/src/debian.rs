//! Debian's archive, seen through an apt root of its own: other suites and architectures than the machine's, from the
//! mirror that the machine uses anyway. The machine's apt state is left alone, and no privilege is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};

use crate::apt;
use crate::process::read;

/// An apt root that knows some suites.
#[derive(Debug)]
pub struct Archive {
    root: PathBuf,
    config: PathBuf,
}

impl Archive {
    /// Makes the root and reads the suites' lists of packages, for an architecture by Debian's name or the machine's own.
    ///
    /// # Errors
    /// When this is no Debian with a reachable mirror, or a suite is not there.
    pub fn open(root: &Path, suites: &[&str], architecture: Option<&str>) -> Result<Self> {
        require()?;
        let config = private_root(root, suites, architecture)?;
        let archive = Self { root: root.to_owned(), config };
        read(archive.command("apt-get").args(["-qq", "update"]))?;
        Ok(archive)
    }

    /// The newest package whose name matches a regular expression.
    ///
    /// # Errors
    /// When there is none.
    pub fn newest(&self, pattern: &str) -> Result<String> {
        let found = read(self.command("apt-cache").args(["search", "--names-only", pattern]))?;
        let names = found.lines().filter_map(|line| line.split(' ').next());
        let newest = names.max_by_key(|name| numbers(name)).map(str::to_owned);
        newest.ok_or_else(|| anyhow!("no package matches {pattern}"))
    }

    /// Downloads a package, `name` or `name=version`.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn download(&self, package: &str) -> Result<PathBuf> {
        read(self.command("apt-get").args(["-qq", "download", package]).current_dir(&self.root))?;
        debs(&self.root)?.pop().ok_or_else(|| anyhow!("apt-get download left no package in {}", self.root.display()))
    }

    /// Downloads packages and all that they depend on.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub fn download_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let options = ["-qq", "--yes", "--download-only", "--no-install-recommends", "install"];
        read(self.command("apt-get").args(options).args(packages))?;
        debs(&self.root.join("cache/archives"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", &self.config).stdin(Stdio::null());
        command
    }
}

/// Checks that this machine is a Debian.
///
/// # Errors
/// When it is not.
pub fn require() -> Result<()> {
    for program in ["apt-get", "dpkg-deb", "tar"] {
        ensure!(apt::has_program(program), "there is no {program}: this is not a Debian");
    }
    Ok(())
}

/// Unpacks files of a package that match tar's patterns, all without any, leaving out as many leading parts of their
/// names. Links that stand for directories stay.
///
/// # Errors
/// When the package is damaged or the disk is full.
pub fn unpack(deb: &Path, directory: &Path, strip: usize, patterns: &[&str]) -> Result<()> {
    let mut package = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped()).spawn()?;
    let archive = package.stdout.take().context("dpkg-deb has an output")?;
    let mut tar = Command::new("tar");
    // --directory holds for the members named after it alone.
    tar.args(["--extract", "--keep-directory-symlink", "--no-same-owner"]);
    tar.arg(format!("--strip-components={strip}")).arg("--directory").arg(directory);
    read(tar.arg("--wildcards").args(patterns).stdin(archive))?;
    let status = package.wait()?;
    ensure!(status.success(), "dpkg-deb --fsys-tarfile {}: {status}", deb.display());
    Ok(())
}

/// The machine's Debian mirror, as its own apt sources name it. Works before the first `apt-get update`, too.
fn mirror() -> Result<String> {
    let uris = read(Command::new("apt-get").args(["update", "--print-uris"]))?;
    let mirrors = uris.lines().filter_map(|line| line.strip_prefix('\'')?.split_once("/dists/"));
    let mut mirrors = mirrors.map(|(mirror, _)| mirror).filter(|mirror| mirror.ends_with("/debian"));
    mirrors.next().map(str::to_owned).ok_or_else(|| anyhow!("apt's sources name no Debian mirror"))
}

/// Lays the root out; returns its configuration file.
fn private_root(root: &Path, suites: &[&str], architecture: Option<&str>) -> Result<PathBuf> {
    let mirror = mirror()?;
    let directories = ["etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state/lists/partial"];
    for directory in directories.into_iter().chain(["cache/archives/partial"]) {
        fs::create_dir_all(root.join(directory)).with_context(|| format!("cannot create {}", root.display()))?;
    }
    fs::write(root.join("state/status"), "")?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let line = |suite: &&str| format!("deb [signed-by={keyring}] {mirror} {suite} main\n");
    fs::write(root.join("etc/sources.list"), suites.iter().map(line).collect::<String>())?;
    let architecture = architecture
        .map(|name| format!("APT::Architecture \"{name}\"; APT::Architectures {{ \"{name}\"; }};\n"))
        .unwrap_or_default();
    let config = root.join("apt.conf");
    let text = format!(
        "Dir \"{root}\"; Dir::Etc \"{root}/etc\"; Dir::State \"{root}/state\"; \
         Dir::State::status \"{root}/state/status\"; Dir::Cache \"{root}/cache\";\n\
         Acquire::Languages \"none\"; APT::Sandbox::User \"\"; APT::Default-Release \"\";\n\
         // Mirrors that stand still are welcome: what is asked for is exact, so an old index can do no harm.\n\
         Acquire::Check-Valid-Until \"false\"; Acquire::Retries \"3\";\n{architecture}",
        root = root.display()
    );
    fs::write(&config, text)?;
    Ok(config)
}

fn debs(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut debs: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect();
    debs.sort();
    Ok(debs)
}

/// The numbers in a name, which order versions.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    /// Versions are ordered as numbers, not as text.
    #[test]
    fn versions_are_ordered() {
        assert!(numbers("linux-image-6.12.107+deb13-cloud-amd64") > numbers("linux-image-6.12.99+deb13-cloud-amd64"));
        assert!(numbers("linux-image-6.1.0-50-cloud-amd64") > numbers("linux-image-6.1.0-9-cloud-amd64"));
    }
}
