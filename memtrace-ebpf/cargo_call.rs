//! How cargo is called for the BPF target, in one place for the two programs that do so: `memtrace-user/build.rs`
//! builds the object with it, `cargo xtask lint` checks the same sources with the same flags.
//!
//! aya-build is not used: it sets the compiler's flags itself and leaves no room for `-Ctarget-cpu=v3`, without which
//! LLVM has no atomic operation that returns a value.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target the BPF programs are compiled for: little-endian, as x86-64 and aarch64 Linux are.
pub const TARGET: &str = "bpfel-unknown-none";

/// What every message about a missing tool ends with.
pub const REMEDY: &str = "run `cargo xtask setup`";

/// Architectures whose `pt_regs` layout the programs know. The layout is compiled in: one object for each.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// Where the sources of the standard library are that `-Z build-std` compiles `core` from.
#[derive(Debug, PartialEq, Eq)]
pub enum RustSrc {
    /// In the toolchain itself, where cargo looks without being told.
    InSysroot,
    /// In this `library` directory, which `cargo xtask setup` filled because rustup could not.
    At(PathBuf),
}

/// The linker that belongs to the tools directory, whether or not it exists yet.
pub fn linker(tools: &Path) -> PathBuf {
    tools.join("bin/bpf-linker")
}

/// The `library` directory that stands in for a missing rust-src of compiler version `release`.
pub fn fallback_rust_src(tools: &Path, release: &str) -> PathBuf {
    tools.join("rust-src").join(release).join("library")
}

/// Looks for the standard library's sources in the sysroot, then in the tools directory.
pub fn find_rust_src(tools: &Path) -> Result<Option<RustSrc>, String> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    if is_library(&Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library")) {
        return Ok(Some(RustSrc::InSysroot));
    }
    let fallback = fallback_rust_src(tools, &rustc_release()?);
    Ok(is_library(&fallback).then_some(RustSrc::At(fallback)))
}

/// Whether `dir` holds what `-Z build-std` needs.
pub fn is_library(dir: &Path) -> bool {
    dir.join("Cargo.lock").is_file() && dir.join("core/src/lib.rs").is_file()
}

/// The compiler's version, such as `1.95.0`.
pub fn rustc_release() -> Result<String, String> {
    let verbose = rustc(&["-vV"])?;
    let release = verbose.lines().find_map(|line| line.strip_prefix("release: "));
    release.map(str::to_owned).ok_or_else(|| format!("rustc -vV names no release: {verbose}"))
}

/// What `rustc ARGS` prints.
pub fn rustc(args: &[&str]) -> Result<String, String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&program).args(args).output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} {}: {}", program.display(), args.join(" "), stderr.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `cargo SUBCOMMAND` for the package memtrace-ebpf and the BPF target, for probes on machines of `arch`.
///
/// Nothing that an outer cargo, clippy or the user's settings say about host builds reaches it.
pub fn command(subcommand: &str, tools: &Path, arch: &str) -> Result<Command, String> {
    if !ARCHITECTURES.contains(&arch) {
        return Err(format!("memtrace runs on {}, not on {arch}", ARCHITECTURES.join(" and ")));
    }
    let linker = linker(tools);
    if !linker.is_file() {
        return Err(format!("no bpf-linker at {}: {REMEDY}", linker.display()));
    }
    let rust_src = find_rust_src(tools)?.ok_or_else(|| format!("the toolchain has no rust-src: {REMEDY}"))?;

    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([subcommand, "--package", "memtrace-ebpf", "--target", TARGET, "-Zbuild-std=core"]);
    for leaked in ["RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "CARGO_BUILD_RUSTC"]
    {
        cargo.env_remove(leaked);
    }
    // -Z options and aya-ebpf's inline assembly are unstable; the pinned compiler is a stable one.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    // Wins over RUSTFLAGS and over every `rustflags` of cargo's configuration files.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", compiler_flags(arch).join("\u{1f}"));
    cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker);
    if let RustSrc::At(library) = rust_src {
        // Cargo has no public setting for sources outside the sysroot; this is the one its own tests use.
        cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", library);
    }
    Ok(cargo)
}

/// Compiler flags of every crate that ends in the object, `core` included.
fn compiler_flags(arch: &str) -> [String; 5] {
    [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        "--check-cfg=cfg(bpf_target_arch,values(\"x86_64\",\"aarch64\"))".to_owned(),
        // In every crate: a function without debug information gets no BTF, and the kernel then refuses the object
        // ("number of funcs in func_info doesn't match number of subprogs").
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        // Atomic operations that return the old value, which the exact peak needs (kernel 5.12).
        "-Ctarget-cpu=v3".to_owned(),
    ]
}
