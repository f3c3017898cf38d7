//! Builds what runs in the virtual machines: the tests, memtrace, the programs that the tests trace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, Result};

use super::machine::Machine;
use crate::process::{read, run, say};
use crate::{cargo_call, setup, workspace};

#[path = "../../../memtrace-user/tests/privileged/programs.rs"]
mod programs;

/// What was built for an architecture.
#[derive(Debug)]
pub struct Binaries {
    /// The tests of real processes.
    pub tests: PathBuf,
    /// memtrace itself.
    pub memtrace: PathBuf,
    /// The programs that the tests trace.
    pub programs: Vec<PathBuf>,
    /// The directory in which the tests look for them.
    pub programs_at: PathBuf,
    /// Python programs that the tests trace, which they look for in the workspace.
    pub scripts: Vec<PathBuf>,
}

/// Builds everything.
///
/// # Errors
/// When something does not compile.
pub fn build(machine: Machine, cache: &Path, userland: &Path) -> Result<Binaries> {
    setup::ensure()?;
    let [tests, memtrace] = rust(machine)?;
    let programs = compile_programs(machine, userland, &cache.join("programs").join(machine.name()))?;
    // Cargo's CARGO_TARGET_TMPDIR, which is compiled into the tests.
    let target =
        if machine.is_host() { workspace::target_dir() } else { workspace::target_dir().join(machine.target()) };
    Ok(Binaries { tests, memtrace, programs, programs_at: target.join("tmp"), scripts: scripts()? })
}

fn scripts() -> Result<Vec<PathBuf>> {
    let directory = workspace::root().join("memtrace-user/tests/programs");
    let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "py")).collect())
}

/// The tests and memtrace.
fn rust(machine: Machine) -> Result<[PathBuf; 2]> {
    let mut cargo = workspace::cargo("test");
    cargo.args(["--package", "memtrace", "--test", "privileged", "--no-run", "--quiet"]);
    cargo.arg("--message-format=json-render-diagnostics");
    if !machine.is_host() {
        cross(&mut cargo, machine)?;
    }
    say(&format!("building the tests for {}", machine.name()));
    let messages = read(&mut cargo)?;
    let executable = |name: &str| {
        let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let mut paths = artifacts.filter(|artifact| artifact["target"]["name"] == name);
        let path = paths.find_map(|artifact| artifact["executable"].as_str().map(PathBuf::from));
        path.with_context(|| format!("cargo built no {name}"))
    };
    Ok([executable("privileged")?, executable("memtrace")?])
}

/// Makes cargo compile for another architecture: with rustup's standard library of it, or one built from rust-src.
fn cross(cargo: &mut Command, machine: Machine) -> Result<()> {
    let target = machine.target();
    cargo.args(["--target", &target]).env(machine.linker_variable(), machine.compiler());
    // All dependencies are built for these tests alone, which wait for the emulator most of the time.
    cargo.args(["--config", "profile.dev.package.\"*\".opt-level=0"]);
    if has_standard_library(&target)? {
        return Ok(());
    }
    let added = run(Command::new("rustup").args(["target", "add", &target]).current_dir(workspace::root()));
    if added.is_ok() && has_standard_library(&target)? {
        return Ok(());
    }
    say(&format!("rustup cannot give the standard library of {target}: building it from rust-src"));
    cargo.arg("-Zbuild-std").env("RUSTC_BOOTSTRAP", "1");
    let rust_src = cargo_call::find_rust_src(&workspace::tools()?).map_err(Error::msg)?;
    if let Some(cargo_call::RustSrc::At(library)) = rust_src {
        cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    Ok(())
}

fn has_standard_library(target: &str) -> Result<bool> {
    let sysroot = cargo_call::rustc(&["--print", "sysroot"]).map_err(Error::msg)?;
    Ok(Path::new(sysroot.trim()).join("lib/rustlib").join(target).join("lib").is_dir())
}

fn compile_programs(machine: Machine, userland: &Path, directory: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
    let package = workspace::root().join("memtrace-user");
    let compile = |(output, name, flags): &programs::Program| {
        let source = programs::source(&package, name).with_context(|| format!("no tests/programs/{name}.c"))?;
        let output = directory.join(output);
        read(&mut programs::compile(&machine.compiler(), &source, flags, &output))?;
        Ok(output)
    };
    let mut compiled: Vec<_> = programs::IN_VMS.iter().map(compile).collect::<Result<_>>()?;
    for (name, output) in programs::WITH_MUSL {
        let output = directory.join(output);
        compile_with_musl(machine, userland, &package, name, &output)?;
        compiled.push(output);
    }
    Ok(compiled)
}

/// What `musl-gcc` does, for either architecture: musl's headers, start files and library, from its packages.
fn compile_with_musl(machine: Machine, userland: &Path, package: &Path, name: &str, output: &Path) -> Result<()> {
    let source = programs::source(package, name).with_context(|| format!("no tests/programs/{name}.c"))?;
    let headers = userland.join(format!("usr/include/{}-linux-musl", machine.name()));
    let library = userland.join(format!("usr/lib/{}-linux-musl", machine.name()));
    let mut compiler = programs::compile(&machine.compiler(), &source, &["-nostdinc", "-nostdlib"], output);
    // The compiler's own headers stand behind musl's.
    let own = read(Command::new(machine.compiler()).arg("-print-file-name=include"))?;
    compiler.arg("-isystem").arg(headers).arg("-isystem").arg(own.trim());
    compiler.arg(library.join("Scrt1.o")).arg(library.join("crti.o"));
    compiler.arg("-L").arg(&library).args(["-lc", "-lgcc"]).arg(library.join("crtn.o"));
    if machine == Machine::Aarch64 {
        // Atomics of its library ask glibc what the processor can do.
        compiler.arg("-mno-outline-atomics");
    }
    compiler.arg(format!("-Wl,-dynamic-linker,/lib/ld-musl-{}.so.1", machine.name()));
    read(&mut compiler).map(drop)
}
