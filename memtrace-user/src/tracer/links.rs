//! Placing probes and taking them away.
//!
//! With uprobe-multi links, all probes of a file take three system calls to place and some milliseconds to remove.
//! Perf-event links, the fall-back, take one descriptor a probe and up to 0.1 s each to remove.

use std::{
    collections::BTreeSet,
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
use memtrace_common::call::exit;

use super::{
    error::TracerError,
    object::{self, BEGIN, FINISH, FLOOR_ENTRY, FLOOR_RETURN, LEAVE, MultiPrograms, RELEASE, RELEASE_OTHER},
    probe_point::exits::{Exit, ExitsError},
    syscall::{MultiLink, link_multi},
};
use crate::allocators::Call;

/// A function to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// File offset of the instruction at its entry, in bytes.
    pub offset: u64,
    /// What it does.
    pub call: Call,
    /// File offsets of the instructions by which it returns, or why they are not known.
    pub exits: Result<Vec<Exit>, ExitsError>,
    /// It must not have a return probe.
    pub without_return_probe: bool,
}

/// How the ends of calls are seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Returns {
    /// By return probes, except of functions that may throw or whose stack moves.
    #[default]
    Probes,
    /// By the functions' exits alone: return probes would do harm.
    Exits,
}

/// Instructions to probe with one program, and what it is told of each.
type Points = Vec<(u64, u64)>;

/// The instructions to probe in a file, by program.
#[derive(Debug, Default)]
struct Placement {
    begins: Points,
    finishes: Points,
    leaves: Points,
    releases: Points,
    other_releases: Points,
    /// Functions that cannot be probed, and why.
    skipped: Vec<(String, String)>,
}

impl Placement {
    fn of(probes: &[Probe], returns: Returns) -> Self {
        let mut placement = Self::default();
        for probe in probes {
            placement.add(probe, returns);
        }
        // Functions may share an exit.
        placement.leaves.sort_unstable();
        placement.leaves.dedup();
        placement
    }

    fn add(&mut self, probe: &Probe, returns: Returns) {
        let call = probe.call;
        if !call.needs_return() {
            let releases = if call.released() == Some(0) { &mut self.releases } else { &mut self.other_releases };
            releases.push((probe.offset, call.cookie(false)));
            return;
        }
        let by_exits = returns == Returns::Exits || probe.without_return_probe || call.may_throw();
        let entry = (probe.offset, call.cookie(by_exits));
        if !by_exits {
            self.begins.push(entry);
            self.finishes.push(entry);
            return;
        }
        match &probe.exits {
            Ok(exits) => {
                self.begins.push(entry);
                let cookie = |exit: &Exit| {
                    if exit.result_in_argument { exit::RESULT_IN_ARGUMENT0 } else { exit::RETURN }
                };
                self.leaves.extend(exits.iter().map(|exit| (exit.at, cookie(exit))));
            }
            Err(error) => self.skipped.push((probe.name.clone(), error.to_string())),
        }
    }

    /// Programs and their points, ends of calls before entries: an entry whose end is not probed would wait for it.
    fn by_program(&self, names: &ProgramNames) -> [(&'static str, &Points, bool); 5] {
        [
            (names.release, &self.releases, false),
            (names.release_other, &self.other_releases, false),
            (names.leave, &self.leaves, false),
            (names.finish, &self.finishes, true),
            (names.begin, &self.begins, false),
        ]
    }
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

    /// Functions that are not probed when the ends of calls are seen in this way, and why.
    #[must_use]
    pub fn skipped(&self, returns: Returns) -> Vec<(String, String)> {
        Placement::of(&self.probes, returns).skipped
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
    /// At its exits, of one without a return probe.
    leave: &'static str,
    /// At the entry of a function that frees its first argument.
    release: &'static str,
    /// At the entry of a function that frees another.
    release_other: &'static str,
}

/// The programs that record.
pub const RECORDING: ProgramNames =
    ProgramNames { begin: BEGIN, finish: FINISH, leave: LEAVE, release: RELEASE, release_other: RELEASE_OTHER };
/// The programs that do nothing.
pub const EMPTY: ProgramNames = ProgramNames {
    begin: FLOOR_ENTRY,
    finish: FLOOR_RETURN,
    leave: FLOOR_ENTRY,
    release: FLOOR_ENTRY,
    release_other: FLOOR_ENTRY,
};

/// Places the probes of a file with uprobe-multi links, for one process or with pid 0 for all.
///
/// # Errors
/// [`TracerError::Attach`], or [`TracerError::ProcessEnded`].
pub fn attach_multi(
    programs: &MultiPrograms,
    names: &ProgramNames,
    file: &ProbedFile,
    pid: u32,
    returns: Returns,
) -> Result<ProbeLinks, TracerError> {
    let path = file.path();
    let link = |name: &str, points: &Points, at_return: bool| -> io::Result<Option<OwnedFd>> {
        if points.is_empty() {
            return Ok(None);
        }
        let program = programs.get(name).ok_or_else(|| io::Error::other(format!("program `{name}` is not loaded")))?;
        let (offsets, cookies): (Vec<u64>, Vec<u64>) = points.iter().copied().unzip();
        let link = MultiLink { path: &path, offsets: &offsets, cookies: &cookies, pid, at_return };
        link_multi(program.as_fd(), &link).map(Some)
    };
    let place = || -> io::Result<Vec<OwnedFd>> {
        let placement = Placement::of(&file.probes, returns);
        let mut links = Vec::new();
        for (name, points, at_return) in placement.by_program(names) {
            links.extend(link(name, points, at_return)?);
        }
        // Dropped in order, so that entries go first.
        links.reverse();
        Ok(links)
    };
    place().map(ProbeLinks::Multi).map_err(|error| attach_error(&file.name, pid, error))
}

/// Places the probes of a file with perf-event links.
///
/// # Errors
/// [`TracerError::Attach`], or [`TracerError::ProcessEnded`].
pub fn attach_perf(ebpf: &mut Ebpf, file: &ProbedFile, pid: u32, returns: Returns) -> Result<ProbeLinks, TracerError> {
    let path = file.path();
    let scope = NonZeroU32::new(pid).map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
    let placement = Placement::of(&file.probes, returns);
    let mut links = Vec::new();
    for (name, points, _) in placement.by_program(&RECORDING).into_iter().filter(|(_, points, _)| !points.is_empty()) {
        let program = object::perf_program(ebpf, name)?;
        for (offset, cookie) in points {
            let location = UProbeAttachLocation::AbsoluteOffset(*offset);
            let point = UProbeAttachPoint { location, cookie: Some(*cookie) };
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
    let exits = file.probes.iter().filter_map(|probe| probe.exits.as_ref().ok()).flatten().map(|exit| exit.at);
    let offsets: BTreeSet<u64> = file.probes.iter().map(|probe| probe.offset).chain(exits).collect();
    let offsets: Vec<u64> = offsets.into_iter().collect();
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
