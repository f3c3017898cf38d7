//! The tools that make packages, beside bpf-linker under target/tools.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process::{read, run, say};
use crate::workspace;

/// A cargo subcommand, its pinned version, and how it is built.
const TOOLS: [(&str, &str, &[&str]); 2] =
    [("cargo-deb", "3.8.0", &["--no-default-features"]), ("cargo-generate-rpm", "0.21.1", &[])];

/// Where the tools are.
pub struct Tools(PathBuf);

impl Tools {
    /// The call of one, in the workspace's directory. As cargo would call it: its own name is its first argument.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.0.join(name));
        command.arg(name.trim_start_matches("cargo-")).current_dir(workspace::root());
        command
    }
}

/// Builds what is missing.
///
/// # Errors
/// When one cannot be built.
pub fn ensure() -> Result<Tools> {
    let root = workspace::tools()?;
    let tools = Tools(workspace::root().join(&root).join("bin"));
    for (name, version, flags) in TOOLS {
        let present = read(Command::new(tools.0.join(name)).arg("--version"));
        if present.is_ok_and(|text| text.split_whitespace().any(|word| word == version)) {
            continue;
        }
        say(&format!("building {name} {version} (some minutes)"));
        let mut cargo = workspace::cargo("install");
        cargo.args([name, "--version", version, "--locked", "--force", "--root"]).arg(&root).args(flags);
        run(&mut cargo)?;
    }
    Ok(tools)
}
