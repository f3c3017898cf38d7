//! rust-src from Debian's package, for machines whose rustup cannot reach its server.
//!
//! The package of the pinned version is seldom in the machine's own suite, so apt is given a root of its own, with
//! one more suite of the mirror that the machine uses anyway. The machine's apt state is left alone, and no
//! privilege is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::process::{read, run, say};
use crate::{apt, cargo_call};

/// Suites that may hold the package, most likely first. A suite keeps more than one version of it.
const SUITES: [&str; 6] = ["trixie-backports", "forky", "sid", "forky-backports", "bookworm-backports", "trixie"];

/// Puts the sources of Rust `release` at `library`.
///
/// # Errors
/// When this is no Debian with a reachable mirror, or no suite has that version.
pub fn fetch(release: &str, library: &Path) -> Result<()> {
    for program in ["apt-get", "dpkg-deb", "tar"] {
        ensure!(apt::has_program(program), "there is no {program}: this is not a Debian");
    }
    let parent = library.parent().context("the library directory has a parent")?;
    let scratch = parent.join("apt");
    // Left over if an earlier run was killed.
    let _ = fs::remove_dir_all(&scratch);
    let result = download(release, &scratch).and_then(|deb| unpack(&deb, &scratch, library));
    let _ = fs::remove_dir_all(&scratch);
    result
}

/// Downloads the package into `scratch` from the first suite that has it.
fn download(release: &str, scratch: &Path) -> Result<PathBuf> {
    let mirror = mirror()?;
    for suite in SUITES {
        let root = scratch.join(suite);
        let config = private_root(&root, &mirror, suite)?;
        say(&format!("looking for rust-src {release} in Debian {suite}"));
        let mut update = Command::new("apt-get");
        update.args(["-qq", "update"]).env("APT_CONFIG", &config).stdin(Stdio::null());
        if let Err(error) = read(&mut update) {
            say(&format!("Debian {suite}: {error:#}"));
            continue;
        }
        let wanted = format!("rust-src={release}*");
        let mut download = Command::new("apt-get");
        download.args(["-qq", "download", &wanted]).env("APT_CONFIG", &config).current_dir(&root);
        if read(&mut download).is_ok() {
            return find_deb(&root);
        }
    }
    bail!("no suite of {mirror} could give rust-src {release} (tried {})", SUITES.join(", "))
}

/// The machine's Debian mirror, as its own apt sources name it. Works before the first `apt-get update`, too.
fn mirror() -> Result<String> {
    let uris = read(Command::new("apt-get").args(["update", "--print-uris"]))?;
    let mirrors = uris.lines().filter_map(|line| line.strip_prefix('\'')?.split_once("/dists/"));
    let mut mirrors = mirrors.map(|(mirror, _)| mirror).filter(|mirror| mirror.ends_with("/debian"));
    mirrors.next().map(str::to_owned).ok_or_else(|| anyhow!("apt's sources name no Debian mirror"))
}

/// An apt root under `root` that knows one suite; returns its configuration file.
fn private_root(root: &Path, mirror: &str, suite: &str) -> Result<PathBuf> {
    let directories = ["etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "state/lists/partial"];
    for directory in directories.into_iter().chain(["cache/archives/partial"]) {
        fs::create_dir_all(root.join(directory)).with_context(|| format!("cannot create {}", root.display()))?;
    }
    fs::write(root.join("state/status"), "")?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(root.join("etc/sources.list"), format!("deb [signed-by={keyring}] {mirror} {suite} main\n"))?;
    let config = root.join("apt.conf");
    let text = format!(
        "Dir \"{root}\"; Dir::Etc \"{root}/etc\"; Dir::State \"{root}/state\"; \
         Dir::State::status \"{root}/state/status\"; Dir::Cache \"{root}/cache\";\n\
         Acquire::Languages \"none\"; APT::Sandbox::User \"\"; APT::Default-Release \"\";\n\
         // Mirrors that stand still are welcome: an exact version is asked for, so an old index can do no harm.\n\
         Acquire::Check-Valid-Until \"false\";\n",
        root = root.display()
    );
    fs::write(&config, text)?;
    Ok(config)
}

fn find_deb(root: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(root)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut debs = entries.filter(|path| path.extension().is_some_and(|extension| extension == "deb"));
    debs.next().ok_or_else(|| anyhow!("apt-get download left no package in {}", root.display()))
}

/// Takes the `library` directory out of the package. It gets its final name last, so that it is whole if it exists.
fn unpack(deb: &Path, scratch: &Path, library: &Path) -> Result<()> {
    let unpacked = scratch.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    say(&format!("unpacking {}", deb.file_name().unwrap_or_default().display()));
    let mut package = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(deb).stdout(Stdio::piped()).spawn()?;
    let archive = package.stdout.take().context("dpkg-deb has an output")?;
    // ./usr/src/rustc-VERSION/library/FILE becomes FILE. --directory holds for the members named after it alone.
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--strip-components=5", "--directory"]).arg(&unpacked);
    run(tar.args(["--wildcards", "./usr/src/rustc-*/library/*"]).stdin(archive))?;
    let status = package.wait()?;
    ensure!(status.success(), "dpkg-deb --fsys-tarfile {}: {status}", deb.display());
    ensure!(cargo_call::is_library(&unpacked), "{} holds no standard library", deb.display());
    let _ = fs::remove_dir_all(library);
    fs::rename(&unpacked, library).with_context(|| format!("cannot create {}", library.display()))
}
