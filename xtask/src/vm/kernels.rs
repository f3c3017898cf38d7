//! The kernels: stock ones of Debian, one line each.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::machine::Machine;
use crate::debian::{self, Archive};
use crate::process::say;

/// A kernel to test on.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// What people call it, without the architecture.
    pub series: &'static str,
    /// What it runs on.
    pub machine: Machine,
    /// The Debian suite that has it.
    suite: &'static str,
    /// The names of its packages, as a regular expression in which `ARCH` stands for Debian's name of the architecture.
    package: &'static str,
    /// Part of the quick selection. No aarch64 is: everything has to be compiled for it, which takes longer than the tests.
    pub quick: bool,
    /// What is expected there.
    pub expectation: Expectation,
}

/// What is expected of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// memtrace works.
    Works,
    /// The kernel is below the floor, and memtrace says so.
    Refused,
}

const V5_10: &str = "^linux-image-5[.]10[.]0-[0-9]+-cloud-ARCH$";
const V6_1: &str = "^linux-image-6[.]1[.]0-[0-9]+-cloud-ARCH$";
const V6_12: &str = "^linux-image-6[.]12[.][0-9]+[+]deb13-cloud-ARCH$";
// From 6.19 on, linux-image packages are empty.
const V6_19: &str = "^linux-binary-6[.]19[.][0-9]+[+]deb13-cloud-ARCH$";
const V7: &str = "^linux-binary-7[.][0-9]+[.][0-9]+[+]deb13-cloud-ARCH$";
const V7_16K: &str = "^linux-binary-7[.][0-9]+[.][0-9]+[+]deb13-ARCH-16k$";

/// One line a kernel. Main suites and backports, as security suites drop packages that their lists still name.
pub const KERNELS: [Kernel; 11] = [
    kernel("5.10", Machine::X86_64, "bullseye", V5_10, true),
    kernel("6.1", Machine::X86_64, "bookworm", V6_1, true),
    kernel("6.12", Machine::X86_64, "trixie", V6_12, true),
    kernel("6.19", Machine::X86_64, "trixie-backports", V6_19, false),
    kernel("7", Machine::X86_64, "trixie-backports", V7, true),
    kernel("5.10", Machine::Aarch64, "bullseye", V5_10, false),
    kernel("6.1", Machine::Aarch64, "bookworm", V6_1, false),
    kernel("6.12", Machine::Aarch64, "trixie", V6_12, false),
    kernel("6.19", Machine::Aarch64, "trixie-backports", V6_19, false),
    kernel("7", Machine::Aarch64, "trixie-backports", V7, false),
    kernel("7-16k", Machine::Aarch64, "trixie-backports", V7_16K, false),
];

const fn kernel(
    series: &'static str,
    machine: Machine,
    suite: &'static str,
    package: &'static str,
    quick: bool,
) -> Kernel {
    // 5.10 lacks cookies of uprobes (5.15); there is no 5.15 in Debian.
    let expectation = if matches!(series.as_bytes(), b"5.10") { Expectation::Refused } else { Expectation::Works };
    Kernel { series, machine, suite, package, quick, expectation }
}

impl Kernel {
    /// The name on the command line and in the table.
    pub fn name(&self) -> String {
        format!("{}-{}", self.series, self.machine.name())
    }

    /// Whether BPF's task storage needs `cmpxchg16b` on `x86_64`: it does where it is allocated without locks (7.x).
    pub fn needs_wide_exchange(&self) -> bool {
        self.is_recent()
    }

    /// Whether it is 6.19 or later.
    pub fn is_recent(&self) -> bool {
        !matches!(self.series, "5.10" | "6.1" | "6.12")
    }

    /// The image and the version of its package, downloaded if it is not there yet.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn bring(&self, cache: &Path) -> Result<PathBuf> {
        let directory = cache.join("kernels").join(self.name());
        let image = directory.join("vmlinuz");
        if image.is_file() {
            return Ok(image);
        }
        let debian = self.machine.debian();
        let archive =
            Archive::open(&cache.join("apt").join(format!("{}-{debian}", self.suite)), &[self.suite], Some(debian))?;
        let package = archive.newest(&self.package.replace("ARCH", debian))?;
        say(&format!("downloading {package}"));
        let deb = archive.download(&package)?;
        let unpacked = directory.join("unpacked");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&unpacked)?;
        debian::unpack(&deb, &unpacked, 0, &["*/vmlinuz*"])?;
        fs::remove_file(deb)?;
        let found = find_image(&unpacked)?.with_context(|| format!("{package} has no kernel image"))?;
        fs::write(directory.join("package"), format!("{package}\n"))?;
        // Last, and by renaming: it is whole if it is there.
        fs::rename(found, &image)?;
        fs::remove_dir_all(unpacked)?;
        Ok(image)
    }
}

/// The kernels that names on the command line stand for: `6.1` for each architecture, `6.1-aarch64` for one.
///
/// # Errors
/// When a name stands for none.
pub fn named(names: &[String]) -> Result<Vec<&'static Kernel>> {
    for name in names {
        let known = || KERNELS.iter().map(Kernel::name).collect::<Vec<_>>().join(", ");
        ensure!(KERNELS.iter().any(|kernel| is_called(kernel, name)), "no kernel {name}; there are: {}", known());
    }
    Ok(KERNELS.iter().filter(|kernel| names.iter().any(|name| is_called(kernel, name))).collect())
}

fn is_called(kernel: &Kernel, name: &str) -> bool {
    kernel.name() == name || kernel.series == name
}

fn find_image(directory: &Path) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = if entry.file_type()?.is_dir() { find_image(&entry.path())? } else { Some(entry.path()) };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A series stands for every architecture, a full name for one, and an unknown name is refused with those there are.
    #[test]
    fn names_are_understood() {
        let names = |words: &[&str]| {
            named(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
                .map(|kernels| kernels.into_iter().map(Kernel::name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["6.1"]).unwrap_or_default(), ["6.1-x86_64", "6.1-aarch64"]);
        assert_eq!(names(&["6.1-aarch64"]).unwrap_or_default(), ["6.1-aarch64"]);
        assert!(names(&["2.6"]).is_err_and(|error| error.to_string().contains("6.12-x86_64")));
    }
}
