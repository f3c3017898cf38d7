//! Becoming root: not at all where xtask already is, else through sudo or doas.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::apt;

/// The words to put before a command line so that it runs as root with the caller's environment; none for root.
///
/// # Errors
/// When xtask is not root and neither sudo nor doas is there.
pub fn prefix() -> Result<&'static [&'static str]> {
    if is_root()? {
        Ok(&[])
    } else if apt::has_program("sudo") {
        Ok(&["sudo", "-E"])
    } else if apt::has_program("doas") {
        Ok(&["doas"])
    } else {
        bail!("this needs root, and neither sudo nor doas is installed: install one of them, or run this as root")
    }
}

/// `program` as root.
///
/// # Errors
/// As [`prefix`].
pub fn as_root(program: impl Into<OsString>) -> Result<Command> {
    let mut words = prefix()?.iter().map(OsString::from).chain([program.into()]);
    let mut command = Command::new(words.next().context("a command has a first word")?);
    command.args(words);
    Ok(command)
}

/// Whether the effective user is root: /proc/self belongs to it.
///
/// # Errors
/// When /proc is not mounted.
pub fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata("/proc/self").context("cannot read /proc/self: is /proc mounted?")?;
    Ok(metadata.uid() == 0)
}
