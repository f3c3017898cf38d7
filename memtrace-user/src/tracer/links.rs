//! Placing probes and taking them away.
//!
//! With uprobe-multi links, all probes of a file take three system calls to place and some milliseconds to remove.
//! Perf-event links, the fall-back, take one descriptor a probe and up to 0.1 s each to remove.

use std::{
    fs::File,
    io,
    num::NonZeroU32,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use aya::{
    Ebpf,
    programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope},
};
use memtrace_common::call;

use super::{
    error::TracerError,
    object::{self, BEGIN, FINISH, FLOOR_ENTRY, FLOOR_RETURN, MultiPrograms, RELEASE},
    syscall::{MultiLink, link_multi},
};

/// One instruction to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// File offset of the instruction, in bytes.
    pub offset: u64,
    /// What the function does: a constant of `memtrace_common::call`.
    pub call: u64,
}

/// The probes of one file.
#[derive(Debug, Clone)]
pub struct ProbedFile {
    /// Name for messages.
    pub name: String,
    /// The file, held open: probes go to this inode, whatever its name leads to by now.
    pub file: Arc<File>,
    /// What to probe.
    pub probes: Vec<Probe>,
}

impl ProbedFile {
    /// Device and inode.
    ///
    /// # Errors
    /// When the file cannot be asked.
    pub fn inode(&self) -> io::Result<(u64, u64)> {
        let metadata = self.file.metadata()?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn path(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.file.as_raw_fd().to_string())
    }

    fn split(&self) -> (Vec<&Probe>, Vec<&Probe>) {
        self.probes.iter().partition(|probe| probe.call == call::RELEASE_ARG0)
    }
}

/// Probes in place; dropping it removes them.
#[derive(Debug)]
#[expect(dead_code, reason = "held to be dropped")]
pub enum ProbeLinks {
    /// A descriptor for each program.
    Multi(Vec<OwnedFd>),
    /// A link for each probe.
    Perf(Vec<UProbeLink>),
}

/// The programs that serve a file's probes, by name.
#[derive(Debug, Clone, Copy)]
pub struct ProgramNames {
    /// At the entry of an allocating function.
    begin: &'static str,
    /// At its return.
    finish: &'static str,
    /// At the entry of a freeing function.
    release: &'static str,
}

/// The programs that record.
pub const RECORDING: ProgramNames = ProgramNames { begin: BEGIN, finish: FINISH, release: RELEASE };
/// The programs that do nothing.
pub const EMPTY: ProgramNames = ProgramNames { begin: FLOOR_ENTRY, finish: FLOOR_RETURN, release: FLOOR_ENTRY };

/// Places the probes of a file with uprobe-multi links, for one process or with pid 0 for all.
///
/// # Errors
/// [`TracerError::Attach`], or [`TracerError::ProcessEnded`].
pub fn attach_multi(
    programs: &MultiPrograms,
    names: &ProgramNames,
    file: &ProbedFile,
    pid: u32,
) -> Result<ProbeLinks, TracerError> {
    let path = file.path();
    let (releases, allocations) = file.split();
    let link = |name: &str, probes: &[&Probe], at_return: bool| -> io::Result<Option<OwnedFd>> {
        if probes.is_empty() {
            return Ok(None);
        }
        let program = programs.get(name).ok_or_else(|| io::Error::other(format!("program `{name}` is not loaded")))?;
        let offsets: Vec<u64> = probes.iter().map(|probe| probe.offset).collect();
        let cookies: Vec<u64> = probes.iter().map(|probe| probe.call).collect();
        let link = MultiLink { path: &path, offsets: &offsets, cookies: &cookies, pid, at_return };
        link_multi(program.as_fd(), &link).map(Some)
    };
    let place = || -> io::Result<Vec<OwnedFd>> {
        // Returns before entries: an entry whose return is not probed would wait for it.
        let links = [
            link(names.release, &releases, false)?,
            link(names.finish, &allocations, true)?,
            link(names.begin, &allocations, false)?,
        ];
        // Dropped in order, so that entries go first.
        Ok(links.into_iter().flatten().rev().collect())
    };
    place().map(ProbeLinks::Multi).map_err(|error| attach_error(&file.name, pid, error))
}

/// Places the probes of a file with perf-event links.
///
/// # Errors
/// [`TracerError::Attach`], or [`TracerError::ProcessEnded`].
pub fn attach_perf(ebpf: &mut Ebpf, file: &ProbedFile, pid: u32) -> Result<ProbeLinks, TracerError> {
    let path = file.path();
    let scope = NonZeroU32::new(pid).map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
    let (releases, allocations) = file.split();
    let mut links = Vec::new();
    for (name, probes) in [(RELEASE, &releases), (FINISH, &allocations), (BEGIN, &allocations)] {
        let program = object::perf_program(ebpf, name)?;
        for probe in probes {
            let location = UProbeAttachLocation::AbsoluteOffset(probe.offset);
            let point = UProbeAttachPoint { location, cookie: Some(probe.call) };
            let link = program.attach(point, &path, scope).and_then(|id| program.take_link(id));
            links.push(link.map_err(|error| attach_error(&file.name, pid, perf_error(error)))?);
        }
    }
    links.reverse();
    Ok(ProbeLinks::Perf(links))
}

/// Places a consumer that sees nothing at all probes of a file, and takes it away.
///
/// # Errors
/// What the kernel says.
pub fn sweep(program: &OwnedFd, file: &ProbedFile) -> io::Result<()> {
    let offsets: Vec<u64> = file.probes.iter().map(|probe| probe.offset).collect();
    let cookies = vec![0; offsets.len()];
    let path = file.path();
    let link =
        MultiLink { path: &path, offsets: &offsets, cookies: &cookies, pid: std::process::id(), at_return: false };
    link_multi(program.as_fd(), &link).map(drop)
}

fn perf_error(error: aya::programs::ProgramError) -> io::Error {
    use aya::programs::ProgramError;
    match error {
        ProgramError::SyscallError(call) => call.io_error,
        other => io::Error::other(other),
    }
}

fn attach_error(name: &str, pid: u32, error: io::Error) -> TracerError {
    if error.raw_os_error() == Some(libc::ESRCH) {
        return TracerError::ProcessEnded { pid };
    }
    TracerError::Attach { path: name.to_owned(), source: error }
}
