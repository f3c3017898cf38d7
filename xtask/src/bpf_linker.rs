//! bpf-linker, which turns the compiler's bitcode into a BPF object with BTF.
//!
//! It is built against the libLLVM that the toolchain brings: it reads the bitcode of exactly that LLVM, and no LLVM
//! has to be installed. The library path is fixed in the executable, so the links under `tools/llvm` stay.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Error, Result, anyhow};

use crate::process::{read, run, say};
use crate::{cargo_call, workspace};

/// The pinned version. Releases have broken BTF before: change it together with a run of all tests.
const VERSION: &str = "0.13.0";
/// The major version of the pinned compiler's LLVM (`rustc -vV`); bpf-linker has a cargo feature for each.
const LLVM: &str = "22";

/// Makes sure that the pinned bpf-linker for this toolchain is in `tools`. True if it had to be built.
///
/// # Errors
/// When the toolchain has no libLLVM of the expected version, or building fails.
pub fn ensure(tools: &Path) -> Result<bool> {
    let llvm = toolchain_llvm()?;
    let stamp = tools.join("bpf-linker.stamp");
    let wanted = stamp_text(tools, &llvm)?;
    let linker = cargo_call::linker(tools);
    if linker.is_file() && fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(false);
    }
    say(&format!("building bpf-linker {VERSION} against {} (about a minute)", llvm.display()));
    let prefix = link_llvm(tools, &llvm)?;
    install(tools, &prefix)?;
    read(Command::new(&linker).arg("--version")).context("the bpf-linker just built does not start")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(true)
}

/// The libLLVM that rustc itself loads.
fn toolchain_llvm() -> Result<PathBuf> {
    let sysroot = cargo_call::rustc(&["--print", "sysroot"]).map_err(Error::msg)?;
    let lib = Path::new(sysroot.trim()).join("lib");
    let entries = fs::read_dir(&lib).with_context(|| format!("cannot read {}", lib.display()))?;
    let prefix = format!("libLLVM.so.{LLVM}.");
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let mut libraries = names.filter(|name| name.to_string_lossy().starts_with(&prefix));
    libraries.next().map(|name| lib.join(name)).ok_or_else(|| {
        anyhow!(
            "{} has no {prefix}*: the toolchain must be rustup's, of the version that rust-toolchain.toml names (if \
             that has changed: `LLVM` in xtask/src/bpf_linker.rs)",
            lib.display()
        )
    })
}

/// What a build depends on: a change in any of it asks for a new one. The tools directory, as its path is in the rpath.
fn stamp_text(tools: &Path, llvm: &Path) -> Result<String> {
    let metadata = fs::metadata(llvm).with_context(|| format!("cannot read {}", llvm.display()))?;
    let (size, modified) = (metadata.len(), metadata.mtime());
    Ok(format!("bpf-linker {VERSION}\n{}\n{} {size} {modified}\n", tools.display(), llvm.display()))
}

/// Lays out a directory that looks like an installed LLVM to bpf-linker's build script.
fn link_llvm(tools: &Path, llvm: &Path) -> Result<PathBuf> {
    let prefix = tools.join("llvm");
    let _ = fs::remove_dir_all(&prefix);
    let lib = prefix.join("lib");
    fs::create_dir_all(&lib).with_context(|| format!("cannot create {}", lib.display()))?;
    // By its own name for the loader, by the plain one for the linker.
    for name in [llvm.file_name().unwrap_or_default(), "libLLVM.so".as_ref()] {
        symlink(llvm, lib.join(name)).with_context(|| format!("cannot link {}", lib.join(name).display()))?;
    }
    Ok(prefix)
}

fn install(tools: &Path, llvm_prefix: &Path) -> Result<()> {
    let mut cargo = workspace::cargo("install");
    cargo.args(["bpf-linker", "--version", VERSION, "--locked", "--force"]);
    cargo.args(["--no-default-features", "--features", &format!("llvm-{LLVM}"), "--root"]).arg(tools);
    cargo.env("LLVM_PREFIX", llvm_prefix);
    // Its release profile has debug information: half of the time for something nobody here reads.
    cargo.env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    run(&mut cargo)
}
