//! What packages carry besides the program: manual pages and completions, which it makes itself from its command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::read;

/// A shell, and the name of the file that its completions are in.
const SHELLS: [(&str, &str); 3] = [("bash", "memtrace"), ("fish", "memtrace.fish"), ("zsh", "_memtrace")];

/// Makes them anew; returns the directory.
///
/// # Errors
/// When the program fails or the directory cannot be written.
pub fn make(program: &Path) -> Result<PathBuf> {
    let directory = super::directory()?.join("documents");
    let _ = fs::remove_dir_all(&directory);
    let manual = directory.join("man");
    fs::create_dir_all(&manual).with_context(|| format!("cannot create {}", manual.display()))?;
    read(Command::new(program).arg("manual").arg(&manual))?;
    for (shell, name) in SHELLS {
        let file = directory.join(name);
        let script = read(Command::new(program).args(["completions", shell]))?;
        fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(directory)
}
