//! Debian's package manager, and whether a program is there at all.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::privilege::as_root;
use crate::process::{run, say};

/// Asked by Debian's packages before they start a service; exit status 101 forbids it.
const POLICY_FILE: &str = "/usr/sbin/policy-rc.d";
const POLICY: &str =
    "#!/bin/sh\n# Written by memtrace's xtask while it installs packages: starts no service.\nexit 101\n";

/// Whether `program` can be run: on PATH, among the administrator's programs, or among the server programs of `PostgreSQL`.
pub fn has_program(program: &str) -> bool {
    find_program(program).is_some()
}

/// The file of `program`, in the places that [`has_program`] names.
pub fn find_program(program: &str) -> Option<PathBuf> {
    search_path().iter().map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<_> = env::split_paths(&path).collect();
    dirs.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    // Debian keeps the server programs of each PostgreSQL version apart, outside PATH.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    dirs.extend(versions.map(|version| version.path().join("bin")));
    dirs
}

/// Installs `packages`, which bring `programs`; starts none of their services. Nothing happens if both are empty.
///
/// # Errors
/// When there is no apt, or it fails.
pub fn install(programs: &[&str], packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if !has_program("apt-get") {
        bail!(
            "missing programs: {}\nThere is no apt-get to install them with. Install them in this system's way (Debian \
             has them in: {}) and repeat",
            programs.join(", "),
            packages.join(" ")
        );
    }
    say(&format!("missing programs: {}; installing Debian's packages", programs.join(", ")));
    apt_get(&["-qq", "update"])?;
    let _forbidden = ServicesForbidden::new()?;
    let options = ["-qq", "install", "--yes", "--no-install-recommends"];
    apt_get(&[&options[..], packages].concat())?;
    let absent: Vec<_> = programs.iter().filter(|program| !has_program(program)).copied().collect();
    if !absent.is_empty() {
        bail!("installed {}, but there is still no {}", packages.join(" "), absent.join(", "));
    }
    Ok(())
}

/// Runs apt-get as root and without questions.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = as_root("env")?;
    // Through env(1), as sudo may be set to drop variables; the lock may be held by a daily update.
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-oDPkg::Lock::Timeout=300"]);
    run(command.args(arguments).stdin(Stdio::null())).context("installing what the tests need")
}

/// While this lives, installing a package starts no service. A policy that the machine has already is left in place.
struct ServicesForbidden {
    ours: bool,
}

impl ServicesForbidden {
    fn new() -> Result<Self> {
        let present = fs::read_to_string(POLICY_FILE).ok();
        // Ours from a run that was killed: to be removed by this one.
        let ours = present.as_deref() == Some(POLICY) || !Path::new(POLICY_FILE).exists();
        if ours {
            let script = format!("printf '%s' \"$1\" >{POLICY_FILE} && chmod 755 {POLICY_FILE}");
            run(as_root("sh")?.args(["-c", &script, "sh", POLICY])).context("cannot forbid services to start")?;
        }
        Ok(Self { ours })
    }
}

impl Drop for ServicesForbidden {
    fn drop(&mut self) {
        if self.ours {
            let removed = as_root("rm").and_then(|mut rm| run(rm.args(["-f", POLICY_FILE])));
            if let Err(error) = removed {
                say(&format!("remove {POLICY_FILE} by hand: it keeps services from starting ({error:#})"));
            }
        }
    }
}
