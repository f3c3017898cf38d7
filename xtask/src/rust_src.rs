//! rust-src: the standard library's sources, from which `core` is compiled for the BPF target.
//!
//! They must be those of the very compiler. rustup has them; where its server is out of reach, Debian's package of
//! the same version has the same files.

use std::path::Path;
use std::process::Command;

use anyhow::{Error, Result, anyhow};

use crate::process::{run, say};
use crate::{cargo_call, debian_rust_src};

/// Makes sure that rust-src is in the sysroot or in `tools`. True if it had to be brought.
///
/// # Errors
/// When neither rustup nor Debian can give it.
pub fn ensure(tools: &Path) -> Result<bool> {
    if find(tools)? {
        return Ok(false);
    }
    let Err(rustup_error) = from_rustup(tools) else { return Ok(true) };
    say(&format!("rustup cannot give rust-src ({rustup_error:#}); taking Debian's package of the same version"));
    let release = cargo_call::rustc_release().map_err(Error::msg)?;
    let library = cargo_call::fallback_rust_src(tools, &release);
    debian_rust_src::fetch(&release, &library).map_err(|debian_error| {
        anyhow!(
            "rust-src of Rust {release} is missing and cannot be had:\n  rustup: {rustup_error:#}\n  Debian: \
             {debian_error:#}\nConnect this machine to one of the two and repeat, or unpack the `library` directory \
             of Rust {release}'s sources to {}",
            library.display()
        )
    })?;
    Ok(true)
}

/// Adds the component, and looks: rustup reports success for toolchains that it does not manage.
fn from_rustup(tools: &Path) -> Result<()> {
    run(Command::new("rustup").args(["component", "add", "rust-src"]))?;
    if find(tools)? { Ok(()) } else { Err(anyhow!("the component was added, but not to the compiler in use")) }
}

fn find(tools: &Path) -> Result<bool> {
    Ok(cargo_call::find_rust_src(tools).map_err(Error::msg)?.is_some())
}
