//! Compiles the BPF programs (crate `memtrace-ebpf`) and leaves the object at `OUT_DIR/memtrace.bpf.o`, where the
//! library includes it from: the binary carries its programs with it.

#[path = "../memtrace-ebpf/cargo_call.rs"]
mod cargo_call;

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What the object is made of, seen from the workspace. Cargo.lock and Cargo.toml: dependency versions, profile.
const INPUTS: [&str; 7] = [
    "Cargo.lock",
    "Cargo.toml",
    "memtrace-common/Cargo.toml",
    "memtrace-common/src",
    "memtrace-ebpf/Cargo.toml",
    "memtrace-ebpf/cargo_call.rs",
    "memtrace-ebpf/src",
];

fn main() {
    if let Err(message) = build() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), String> {
    let workspace = path_variable("CARGO_MANIFEST_DIR")?.join("..");
    let out_dir = path_variable("OUT_DIR")?;
    println!("cargo::rerun-if-env-changed=MEMTRACE_TOOLS");
    let tools = path_variable("MEMTRACE_TOOLS")?;
    for input in INPUTS {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed={}", cargo_call::linker(&tools).display());

    let object = compile(&workspace, &tools, &out_dir)?;
    let destination = out_dir.join("memtrace.bpf.o");
    fs::copy(&object, &destination).map_err(|error| format!("cannot copy {}: {error}", object.display()))?;
    Ok(())
}

/// Runs cargo for the BPF target and returns the object's path.
fn compile(workspace: &Path, tools: &Path, out_dir: &Path) -> Result<PathBuf, String> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").map_err(|error| format!("CARGO_CFG_TARGET_ARCH: {error}"))?;
    // A target directory of its own: the outer cargo holds the lock of the usual one while this script runs.
    let target_dir = out_dir.join("bpf");
    let mut cargo = cargo_call::command("build", tools, &arch)?;
    // Always optimised: the verifier rejects unoptimised code.
    cargo.arg("--release").arg("--target-dir").arg(&target_dir).current_dir(workspace);
    if env::var_os("CARGO_FEATURE_BPF_LOG").is_some() {
        cargo.args(["--features", "bpf-log"]);
    }
    let status = cargo.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err("the BPF programs do not compile: the compiler's messages are below".to_owned());
    }
    Ok(target_dir.join(cargo_call::TARGET).join("release/memtrace-ebpf"))
}

fn path_variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| format!("{name} is not set: build with cargo, inside the workspace"))
}
