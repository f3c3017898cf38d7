//! Programs and debug files from debuginfod servers, by build id.
//!
//! Through `debuginfod-find`, the client that belongs to the servers (elfutils): it knows the user's settings, keeps a
//! cache that other tools share, and brings no network code into memtrace. What it finds is linked into a directory of
//! our own that is laid out as debug directories are, and is looked at, and checked, as any of those.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use thiserror::Error;

use super::local_files::by_build_id;
use crate::profile::build_id_text;

/// The client.
const CLIENT: &str = "debuginfod-find";

/// Where it finds its servers (debuginfod-find(1)).
const SERVERS: &str = "DEBUGINFOD_URLS";

/// Why nothing can be fetched.
#[derive(Debug, Error)]
pub enum DebuginfodError {
    /// The client is not there or cannot be run.
    #[error("cannot run {CLIENT}: {0}")]
    NoClient(#[source] io::Error),
    /// No servers are set.
    #[error("no debuginfod server is set")]
    NoServers,
    /// No directory for what is found.
    #[error("cannot make a temporary directory: {0}")]
    Directory(#[source] io::Error),
}

impl DebuginfodError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoClient(_) => Some("install it: it comes with elfutils, in Debian's package debuginfod"),
            Self::NoServers => Some("set DEBUGINFOD_URLS to the servers of your distribution"),
            Self::Directory(_) => None,
        }
    }
}

/// A way to the servers that the user has set.
#[derive(Debug)]
pub struct Debuginfod {
    directory: TempDir,
}

impl Debuginfod {
    /// Checks that there are a client and servers; asks none.
    ///
    /// # Errors
    /// [`DebuginfodError`].
    pub fn new() -> Result<Self, DebuginfodError> {
        client(&["--version"]).map_err(DebuginfodError::NoClient)?;
        if env::var_os(SERVERS).is_none_or(|servers| servers.is_empty()) {
            return Err(DebuginfodError::NoServers);
        }
        Ok(Self { directory: tempfile::tempdir().map_err(DebuginfodError::Directory)? })
    }

    /// The directory that what was fetched is found in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Fetches the debug file of a build, and the program itself if `program` says so. May take minutes. What no server
    /// has is just not there afterwards.
    pub fn fetch(&self, build_id: &[u8], program: bool) {
        let [program_link, debug_link] = by_build_id(self.directory(), build_id);
        let program_link = program.then_some(("executable", program_link));
        for (kind, link) in [("debuginfo", debug_link)].into_iter().chain(program_link) {
            if let Err(error) = fetch_one(kind, build_id, &link) {
                log::info!("debuginfod: {error}");
            }
        }
    }
}

/// Fetches one file, and makes a link to it. Modules of one build share both.
fn fetch_one(kind: &str, build_id: &[u8], link: &Path) -> io::Result<()> {
    if link.exists() {
        return Ok(());
    }
    let Some(path) = client(&[kind, &build_id_text(build_id)])? else { return Ok(()) };
    if let Some(directory) = link.parent() {
        fs::create_dir_all(directory)?;
    }
    symlink(path, link)
}

/// Runs the client; the path that it prints, if it found something.
fn client(arguments: &[&str]) -> io::Result<Option<PathBuf>> {
    let output = Command::new(CLIENT).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
    Ok((output.status.success() && line.starts_with('/')).then(|| PathBuf::from(line)))
}
