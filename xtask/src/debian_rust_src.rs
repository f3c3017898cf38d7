//! rust-src from Debian's package, for machines whose rustup cannot reach its server. The package of the pinned version
//! is seldom in the machine's own suite.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo_call;
use crate::debian::{self, Archive};
use crate::process::say;

/// Suites that may hold the package, most likely first. A suite keeps more than one version of it.
const SUITES: [&str; 6] = ["trixie-backports", "forky", "sid", "forky-backports", "bookworm-backports", "trixie"];

/// Puts the sources of Rust `release` at `library`.
///
/// # Errors
/// When this is no Debian with a reachable mirror, or no suite has that version.
pub fn fetch(release: &str, library: &Path) -> Result<()> {
    debian::require()?;
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
    for suite in SUITES {
        say(&format!("looking for rust-src {release} in Debian {suite}"));
        match Archive::open(&scratch.join(suite), &[suite], None) {
            Ok(archive) => {
                if let Ok(deb) = archive.download(&format!("rust-src={release}*")) {
                    return Ok(deb);
                }
            }
            Err(error) => say(&format!("Debian {suite}: {error:#}")),
        }
    }
    bail!("no suite of Debian's mirror could give rust-src {release} (tried {})", SUITES.join(", "))
}

/// Takes the `library` directory out of the package. It gets its final name last, so that it is whole if it exists.
fn unpack(deb: &Path, scratch: &Path, library: &Path) -> Result<()> {
    let unpacked = scratch.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    say(&format!("unpacking {}", deb.file_name().unwrap_or_default().display()));
    // ./usr/src/rustc-VERSION/library/FILE becomes FILE.
    debian::unpack(deb, &unpacked, 5, &["./usr/src/rustc-*/library/*"])?;
    ensure!(cargo_call::is_library(&unpacked), "{} holds no standard library", deb.display());
    let _ = fs::remove_dir_all(library);
    fs::rename(&unpacked, library).with_context(|| format!("cannot create {}", library.display()))
}
