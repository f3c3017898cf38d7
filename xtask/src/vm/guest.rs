//! What a virtual machine has for a file system: Debian's programs, the tests, the programs that they trace.

use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::binaries::Binaries;
use super::cpio::Cpio;
use super::machine::Machine;
use crate::debian::{self, Archive};
use crate::process::say;

/// Programs and libraries that the tests need, and real ones that they trace. What these depend on comes with them.
const PACKAGES: [&str; 9] =
    ["bash", "busybox-static", "coreutils", "dash", "libc6", "libgcc-s1", "musl", "python3", "redis-server"];
/// For compiling programs with musl.
const DEVELOPMENT: &str = "musl-dev";

/// What of the packages is left out: nothing there needs it.
const LEFT_OUT: [&str; 9] = [
    "usr/include",
    "usr/lib/gcc",
    "usr/lib/python3/dist-packages",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl",
    "var/lib",
];

/// Directories that are links today, which older packages do not know.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// Debian's programs, unpacked, downloaded if they are not there yet.
///
/// # Errors
/// When they cannot be had.
pub fn userland(cache: &Path, machine: Machine) -> Result<PathBuf> {
    let directory = cache.join("userland").join(machine.name());
    let suite = suite()?;
    let content = format!("{suite} {} {DEVELOPMENT}\n", PACKAGES.join(" "));
    let list = directory.with_extension("packages");
    if directory.is_dir() && fs::read_to_string(&list).is_ok_and(|known| known == content) {
        return Ok(directory);
    }
    say(&format!("downloading {} for {}", PACKAGES.join(", "), machine.name()));
    let root = cache.join("apt").join(format!("{suite}-{}", machine.debian()));
    let archive = Archive::open(&root, &[&suite], Some(machine.debian()))?;
    let debs = archive.download_with_dependencies(&[&PACKAGES[..], &[DEVELOPMENT]].concat())?;
    let unpacked = directory.with_extension("new");
    let _ = fs::remove_dir_all(&unpacked);
    for name in MERGED {
        fs::create_dir_all(unpacked.join("usr").join(name))?;
        symlink(format!("usr/{name}"), unpacked.join(name))?;
    }
    for deb in debs {
        debian::unpack(&deb, &unpacked, 0, &["*"])?;
    }
    let _ = fs::remove_dir_all(&directory);
    fs::rename(unpacked, &directory)?;
    fs::write(list, content)?;
    Ok(directory)
}

/// The suite that this machine runs: what is compiled here runs with its libraries.
fn suite() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    suite.map(|suite| suite.trim_matches('"').to_owned()).context("/etc/os-release names no suite: this is no Debian")
}

/// Writes the file system of a machine that runs `tests`, a shell script.
///
/// # Errors
/// When a file cannot be read or the archive not be written.
pub fn write(archive: &Path, userland: &Path, binaries: &Binaries, tests: &str) -> Result<()> {
    let writing = || -> std::io::Result<()> {
        let mut cpio = Cpio::new(BufWriter::new(File::create(archive)?));
        cpio.tree(userland, &|place| LEFT_OUT.iter().any(|left_out| place == Path::new(left_out)))?;
        for directory in ["proc", "sys", "dev", "tmp", "root", "run"] {
            cpio.directory(Path::new(directory))?;
        }
        // Where the tests expect them: these paths are compiled in.
        cpio.copy(&binaries.tests, Path::new("/tests"))?;
        cpio.copy(&binaries.memtrace, &binaries.memtrace)?;
        for program in &binaries.programs {
            let name = program.file_name().unwrap_or_default();
            cpio.copy(program, &binaries.programs_at.join(name))?;
        }
        for script in &binaries.scripts {
            cpio.copy(script, script)?;
        }
        cpio.file(Path::new("/init"), 0o755, include_bytes!("init.sh"))?;
        cpio.file(Path::new("/tests.sh"), 0o644, tests.as_bytes())?;
        cpio.finish()
    };
    writing().with_context(|| format!("cannot write {}", archive.display()))
}
