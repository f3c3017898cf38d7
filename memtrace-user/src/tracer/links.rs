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
use memtrace_common::call::{exit, flag};

use super::{
    error::TracerError,
    flow::exits::{Exit, ExitsError},
    object::{
        self, BEGIN, BEGIN_OR_FINISH, FINISH, FLOOR_ENTRY, FLOOR_RETURN, FLOOR_SESSION, LEAVE, MultiPrograms,
        PYTHON_BEGIN, PYTHON_END, RELEASE, RELEASE_OTHER,
    },
    syscall::{LinkKind, MultiLink, link_multi},
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
    /// It may call others that are probed.
    pub nests: bool,
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
    /// Entries of functions whose end is seen at their exits.
    begins: Points,
    /// Entries of functions with a return probe.
    calls: Points,
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
        let entry = (probe.offset, call.cookie(by_exits) | if probe.nests { flag::NESTS } else { 0 });
        if !by_exits {
            self.calls.push(entry);
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
    fn by_program(&self, names: &ProgramNames) -> Vec<(&'static str, &Points, LinkKind)> {
        let mut places = vec![
            (names.release, &self.releases, LinkKind::Entry),
            (names.release_other, &self.other_releases, LinkKind::Entry),
            (names.leave, &self.leaves, LinkKind::Entry),
        ];
        match names.call {
            CallPrograms::Session(both) => places.push((both, &self.calls, LinkKind::Session)),
            CallPrograms::Apart { finish } => {
                places.push((finish, &self.calls, LinkKind::Return));
                places.push((names.begin, &self.calls, LinkKind::Entry));
            }
            CallPrograms::EntryAlone => places.push((names.begin, &self.calls, LinkKind::Entry)),
        }
        places.push((names.begin, &self.begins, LinkKind::Entry));
        places.retain(|(_, points, _)| !points.is_empty());
        places
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
    /// At the return of one that has a return probe.
    call: CallPrograms,
    /// At the exits of one that has none.
    leave: &'static str,
    /// At the entry of a function that frees its first argument.
    release: &'static str,
    /// At the entry of a function that frees another.
    release_other: &'static str,
}

/// How functions with a return probe are probed.
#[derive(Debug, Clone, Copy)]
enum CallPrograms {
    /// Entry and return by one program.
    Session(&'static str),
    /// Each by its own.
    Apart {
        /// At the return.
        finish: &'static str,
    },
    /// The entry alone.
    EntryAlone,
}

/// The programs that record, of those that are loaded.
#[must_use]
pub fn recording(programs: &MultiPrograms) -> ProgramNames {
    let call =
        if programs.contains_key(BEGIN_OR_FINISH) { CallPrograms::Session(BEGIN_OR_FINISH) } else { RECORDING.call };
    ProgramNames { call, ..RECORDING }
}

/// The programs that do nothing, of those that are loaded; with `entries_only`, none at returns.
#[must_use]
pub fn empty(programs: &MultiPrograms, entries_only: bool) -> ProgramNames {
    let call = match programs.contains_key(FLOOR_SESSION) {
        _ if entries_only => CallPrograms::EntryAlone,
        true => CallPrograms::Session(FLOOR_SESSION),
        false => CallPrograms::Apart { finish: FLOOR_RETURN },
    };
    ProgramNames { begin: FLOOR_ENTRY, call, leave: FLOOR_ENTRY, release: FLOOR_ENTRY, release_other: FLOOR_ENTRY }
}

/// The programs that record, without session probes.
pub const RECORDING: ProgramNames = ProgramNames {
    begin: BEGIN,
    call: CallPrograms::Apart { finish: FINISH },
    leave: LEAVE,
    release: RELEASE,
    release_other: RELEASE_OTHER,
};

/// Where the release of a block is probed, this one hears that a Python interpreter begins with its program.
pub const BEGINNING: ProgramNames = ProgramNames { release: PYTHON_BEGIN, ..RECORDING };

/// Where the release of a block is probed, this one hears of a Python interpreter's end.
pub const ENDING: ProgramNames = ProgramNames { release: PYTHON_END, ..RECORDING };

/// Places the probes of a file with uprobe-multi links, for one process or with pid 0 for all.
///
/// # Errors
/// [`TracerError::Attach`], or [`TracerError::ProcessEnded`].
pub fn attach_multi(
    programs: &MultiPrograms,
    names: ProgramNames,
    file: &ProbedFile,
    pid: u32,
    returns: Returns,
) -> Result<ProbeLinks, TracerError> {
    let path = file.path();
    let link = |name: &str, points: &Points, kind: LinkKind| -> io::Result<OwnedFd> {
        let program = programs.get(name).ok_or_else(|| io::Error::other(format!("program `{name}` is not loaded")))?;
        let (offsets, cookies): (Vec<u64>, Vec<u64>) = points.iter().copied().unzip();
        link_multi(program.as_fd(), &MultiLink { path: &path, offsets: &offsets, cookies: &cookies, pid, kind })
    };
    let place = || -> io::Result<Vec<OwnedFd>> {
        let placement = Placement::of(&file.probes, returns);
        let mut links = Vec::new();
        for (name, points, kind) in placement.by_program(&names) {
            links.push(link(name, points, kind)?);
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
pub fn attach_perf(
    ebpf: &mut Ebpf,
    names: ProgramNames,
    file: &ProbedFile,
    pid: u32,
    returns: Returns,
) -> Result<ProbeLinks, TracerError> {
    let path = file.path();
    let scope = NonZeroU32::new(pid).map_or(UProbeScope::AllProcesses, UProbeScope::OneProcess);
    let placement = Placement::of(&file.probes, returns);
    let mut links = Vec::new();
    for (name, points, _) in placement.by_program(&names) {
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
    let (pid, kind) = (std::process::id(), LinkKind::Entry);
    let link = MultiLink { path: &path, offsets: &offsets, cookies: &cookies, pid, kind };
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
