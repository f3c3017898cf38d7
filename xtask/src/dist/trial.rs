//! Tries what was made where nothing else is: file systems with a C library and one program, into which memtrace is copied
//! alone, or installed from its package. It must trace the program there. As root, in a mount namespace that goes with it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::packages::Packages;
use crate::debian::{self, Archive};
use crate::privilege::as_root;
use crate::process::{read, say};
use crate::{apt, workspace};

/// The oldest system that is tried: glibc 2.31.
const OLD_SUITE: &str = "bullseye";

/// A file system, and a program in it that allocates.
struct Root {
    name: &'static str,
    directory: PathBuf,
    command: &'static [&'static str],
    /// What the report must have.
    expected: &'static [&'static str],
}

/// Tries the program alone everywhere, and each package in one place.
///
/// # Errors
/// When something is missing on this machine, or does not work there.
pub fn try_out(program: &Path, packages: &Packages) -> Result<()> {
    bring_tools()?;
    let directory = workspace::target_dir().join("dist-roots");
    remove(&directory)?;
    let here = Root { name: "this system", directory: "/".into(), command: PERL, expected: &["glibc ("] };
    traced(&here, program)?;
    let old = debian_11(&directory.join("debian-11"))?;
    let musl = alpine_like(&directory.join("musl"))?;
    for root in [&old, &musl] {
        let copied = root.directory.join("memtrace");
        fs::copy(program, &copied).with_context(|| format!("cannot write {}", copied.display()))?;
        traced(root, Path::new("/memtrace"))?;
        fs::remove_file(copied)?;
    }
    install_deb(&old, &packages.deb)?;
    install_rpm(&musl, &packages.rpm)?;
    for root in [&old, &musl] {
        installed(root)?;
        traced(root, Path::new("/usr/bin/memtrace"))?;
    }
    remove(&directory)
}

/// 1,000 blocks of 5,000 bytes that stay, at least.
const PERL: &[&str] = &["/usr/bin/perl", "-e", "push @kept, 'x' x 5000 for 1..1000"];

fn bring_tools() -> Result<()> {
    let wanted = [("musl-gcc", "musl-tools"), ("rpm", "rpm"), ("unshare", "util-linux"), ("perl", "perl-base")];
    let missing = wanted.iter().filter(|(program, _)| !apt::has_program(program));
    let (programs, packages): (Vec<_>, Vec<_>) = missing.copied().unzip();
    apt::install(&programs, &packages)
}

/// Debian's perl with what it needs, unpacked, and nothing else.
fn debian_11(directory: &Path) -> Result<Root> {
    let cache = workspace::target_dir().join("vm/apt").join(format!("{OLD_SUITE}-trial"));
    let archive = Archive::open(&cache, &[OLD_SUITE], None)?;
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(directory.join("usr").join(name))?;
        symlink(format!("usr/{name}"), directory.join(name))?;
    }
    for deb in archive.download_with_dependencies(&["perl-base"])? {
        debian::unpack(&deb, directory, 0, &["*"])?;
    }
    Ok(Root { name: "Debian 11", directory: directory.to_owned(), command: PERL, expected: &["glibc (", "perl"] })
}

/// musl and a program that is linked with it.
fn alpine_like(directory: &Path) -> Result<Root> {
    for name in ["bin", "lib"] {
        fs::create_dir_all(directory.join(name))?;
    }
    let loader = format!("lib/ld-musl-{}.so.1", std::env::consts::ARCH);
    fs::copy(Path::new("/").join(&loader), directory.join(&loader)).context("musl's loader")?;
    let source = workspace::root().join("memtrace-user/tests/programs/simple.c");
    let mut compiler = Command::new("musl-gcc");
    compiler.args(["-O1", "-g", "-fno-builtin", "-o"]).arg(directory.join("bin/simple")).arg(source);
    read(&mut compiler)?;
    let command = &["/bin/simple"];
    Ok(Root { name: "musl alone", directory: directory.to_owned(), command, expected: &["musl (", "101 blocks"] })
}

/// Runs the root's program under memtrace, ranks the snapshot, and looks at what both say.
fn traced(root: &Root, memtrace: &Path) -> Result<()> {
    let snapshot = "/tmp/trial.pb.gz";
    let run = [&["run", "-o", snapshot, "--"], root.command].concat();
    let report = within(root, memtrace, &run)?;
    for expected in [&["Losses      none"][..], root.expected].concat() {
        ensure!(report.contains(expected), "in {}: no `{expected}` in\n{report}", root.name);
    }
    let ranked = within(root, memtrace, &["report", snapshot])?;
    ensure!(ranked.contains("Live"), "in {}: {ranked}", root.name);
    fs::remove_file(root.directory.join(snapshot.trim_start_matches('/')))?;
    say(&format!("{}: {} traces {}", root.name, memtrace.display(), root.command[0]));
    Ok(())
}

/// The package's files are where they belong: memtrace completes, has a manual page, and can be a service.
fn installed(root: &Root) -> Result<()> {
    let version = within(root, Path::new("/usr/bin/memtrace"), &["--version"])?;
    ensure!(version.trim() == format!("memtrace {}", env!("CARGO_PKG_VERSION")), "in {}: {version}", root.name);
    let has = |file: &str| root.directory.join("usr").join(file).exists();
    let manual = has("share/man/man1/memtrace.1") || has("share/man/man1/memtrace.1.gz");
    ensure!(manual, "in {}: no manual page", root.name);
    ensure!(has("share/bash-completion/completions/memtrace"), "in {}: no completions", root.name);
    ensure!(has("lib/sysusers.d/memtrace.conf"), "in {}: no user for the service", root.name);
    let unit = "lib/systemd/system/memtrace@.service";
    ensure!(has(unit), "in {}: no unit", root.name);
    verify_unit(root, unit)
}

/// systemd finds no fault with the unit, if it is on this machine. The root has none of the units that every unit needs, so
/// the machine's are used.
fn verify_unit(root: &Root, unit: &str) -> Result<()> {
    if !apt::has_program("systemd-analyze") {
        say("the unit is not verified: there is no systemd-analyze");
        return Ok(());
    }
    let installed = root.directory.join("usr").join(unit);
    let text = fs::read_to_string(&installed).with_context(|| format!("cannot read {}", installed.display()))?;
    let program = root.directory.join("usr/bin/memtrace").display().to_string();
    let instance = workspace::target_dir().join("dist-roots/memtrace@1.service");
    fs::write(&instance, text.replace("/usr/bin/memtrace", &program))?;
    read(Command::new("systemd-analyze").args(["--man=no", "verify"]).arg(&instance))?;
    Ok(fs::remove_file(instance)?)
}

/// What a command prints, on either stream, in a root with /dev, /proc, /sys and /tmp. The mounts go with the namespace.
fn within(root: &Root, program: &Path, arguments: &[&str]) -> Result<String> {
    let script = r#"for name in dev proc sys tmp; do mkdir -p "$0/$name"; done
        if [ "$0" != / ]; then for name in dev proc sys; do mount --rbind "/$name" "$0/$name" || exit 1; done; fi
        exec chroot "$0" "$@""#;
    let mut command = as_root("unshare")?;
    command.args(["--mount", "/bin/sh", "-c", script]).arg(&root.directory).arg(program).args(arguments);
    let output = command.stdin(Stdio::null()).output().context("cannot run unshare")?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    ensure!(
        output.status.success(),
        "in {}: {} {arguments:?}: {}\n{text}",
        root.name,
        program.display(),
        output.status
    );
    Ok(text)
}

/// By the machine's own dpkg, which the root has not.
fn install_deb(root: &Root, package: &Path) -> Result<()> {
    let database = root.directory.join("var/lib/dpkg");
    fs::create_dir_all(database.join("info"))?;
    fs::create_dir_all(database.join("updates"))?;
    fs::write(database.join("status"), "")?;
    let mut dpkg = as_root("dpkg")?;
    dpkg.arg(format!("--root={}", root.directory.display())).arg("--install").arg(package);
    read(&mut dpkg).map(drop)
}

fn install_rpm(root: &Root, package: &Path) -> Result<()> {
    let mut rpm = as_root("rpm")?;
    // Debian's rpm asks to be forced.
    rpm.arg("--force-debian").arg("--root").arg(&root.directory).arg("--install").arg(package);
    read(&mut rpm).map(drop)
}

fn remove(directory: &Path) -> Result<()> {
    if directory.exists() {
        read(as_root("rm")?.args(["-r", "--one-file-system"]).arg(directory))?;
    }
    Ok(())
}
