//! Begins a session on a process that is already running.

use std::{fs::File, io, sync::Arc};

use thiserror::Error;

use super::{
    Beginning, Session,
    locate::{FoundAllocator, Locator, Wanted},
    names::Names,
    notes::Notes,
    safety::{self, Moment},
    unwinding,
    waits::MappingSource,
};
use crate::{
    allocators::UserFunctions,
    process::{AddressSpace, MappingEventsError, TargetError, TargetProcess, raise_file_limit},
    profile::ProcessInfo,
    readable::Readable,
    tracer::{Follow, Recorded, Tracer, TracerError, TracerOptions, check_requirements},
};

/// Why a session cannot begin.
#[derive(Debug, Error)]
pub enum AttachError {
    /// The process cannot be traced.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The kernel or the permissions do not allow it.
    #[error(transparent)]
    Tracer(#[from] TracerError),
    /// Nothing to probe.
    #[error("no known allocator in process {pid} (looked at {looked_at})")]
    NoAllocator {
        /// The process.
        pid: u32,
        /// The files.
        looked_at: String,
    },
    /// Nothing says where its functions are.
    #[error("{program} is linked statically and stripped of its symbols: nothing says where its malloc is")]
    Stripped {
        /// The program's file.
        program: String,
    },
    /// What it maps is told to nobody.
    #[error(transparent)]
    Mappings(#[from] MappingEventsError),
    /// memtrace itself lacks something.
    #[error("cannot start tracing: {0}")]
    Io(#[from] io::Error),
}

/// What to do about a program that nothing is known of.
pub(super) const STRIPPED_HINT: &str = "run a build that keeps its symbols (without -s or strip), or name the functions \
    by their addresses: --alloc 'exe:0x401a20(size=arg0)' --free 'exe:0x401c40(ptr=arg0)'";

impl AttachError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target(error) => error.hint(),
            Self::Tracer(error) => error.hint().map(str::to_owned),
            Self::NoAllocator { .. } => Some(
                "no mapped file exports malloc and free; -v tells of each why it was passed over. A process that has \
                 just been started may not have loaded its libraries yet"
                    .to_owned(),
            ),
            Self::Stripped { .. } => Some(STRIPPED_HINT.to_owned()),
            Self::Mappings(error) => Some(error.hint().to_owned()),
            Self::Io(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                Some("the process has ended meanwhile".to_owned())
            }
            Self::Io(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                Some("each file that the process maps takes a descriptor: raise the limit, `ulimit -Hn`".to_owned())
            }
            Self::Io(_) => None,
        }
    }
}

/// What is being done until a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachStep {
    /// The process's files are searched for allocators.
    Searching,
    /// The kernel checks the BPF programs: most of the time.
    Loading,
    /// Probes are placed.
    Placing,
    /// Unwind tables of the files that the process has mapped are made.
    Unwinding,
}

impl AttachStep {
    /// In a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Searching => "looking for allocators",
            Self::Loading => "loading BPF programs",
            Self::Placing => "placing probes",
            Self::Unwinding => "reading unwind tables",
        }
    }
}

/// A process that can be traced, before it is.
#[derive(Debug)]
pub struct Attachment {
    target: TargetProcess,
    options: TracerOptions,
}

impl Attachment {
    /// Looks whether the process is there, and whether kernel and permissions allow it to be traced.
    ///
    /// # Errors
    /// [`AttachError`], each with a hint.
    pub fn open(pid: u32, options: TracerOptions) -> Result<Self, AttachError> {
        check_requirements()?;
        raise_file_limit();
        Ok(Self { target: TargetProcess::open(pid)?, options })
    }

    /// What is known of the process before it is traced.
    #[must_use]
    pub fn process(&self) -> ProcessInfo {
        ProcessInfo {
            pid: self.target.pid(),
            command: self.target.command().to_owned(),
            rss_bytes: self.target.rss_bytes(),
            ..ProcessInfo::default()
        }
    }

    /// Begins to trace it; tells of each step. Takes up to a second. Needs a tokio runtime, and may be called on a thread
    /// beside it.
    ///
    /// # Errors
    /// [`AttachError`], each with a hint.
    pub fn attach(self, tell: impl Fn(AttachStep)) -> Result<Session, AttachError> {
        let Self { target, options } = self;
        tell(AttachStep::Searching);
        let pid = target.pid();
        let (mut locator, allocators) = allocators_of(&target, &options.functions, options.recorded)?;
        tell(AttachStep::Loading);
        let mut tracer = Tracer::load(&options)?;
        let mut notes = Notes::default();
        notes.see_memory(target.anonymous_bytes());
        let follows = options.follow != Follow::Nobody;
        let confinement = if follows { safety::ANYBODY } else { target.confinement()? };
        notes.extend(safety::choose_returns(&mut tracer, confinement, Moment::Running));
        notes.extend(safety::cost_to_others(&tracer));
        notes.extend(safety::scarce_memory());
        let events = tracer.take_events()?;
        // Before the mappings are read for the last time.
        let mapping_events = if follows { Some(MappingSource::of_all()?) } else { None };
        tell(AttachStep::Placing);
        for allocator in allocators.iter().filter(|_| options.recorded.blocks()) {
            tracer.place_probes(&allocator.probes, pid)?;
            notes.extend(allocator.remarks(tracer.returns()));
        }
        tell(AttachStep::Unwinding);
        let host_tgid = target.host_tgid();
        let slot = tracer.new_slot()?;
        // Before the first call is recorded, so that its stack is whole.
        unwinding::prepare(&mut tracer, &mut locator, slot);
        tracer.trace_process(host_tgid, slot)?;
        tracer.follow_mappings(host_tgid, pid, Some(slot))?;
        let exit = exit_of(&target)?;
        let info = ProcessInfo {
            pid,
            command: target.command().to_owned(),
            exited: false,
            rss_bytes: target.rss_bytes(),
            allocators: allocators.into_iter().map(|allocator| allocator.name).collect(),
            notes: Vec::new(),
        };
        let names = Names::new()?;
        let target = Some(target);
        Ok(Session::begin(Beginning {
            tracer,
            events,
            mapping_events,
            locator,
            names,
            notes,
            info,
            target,
            slot,
            host_tgid,
            exit,
        }))
    }
}

/// Begins to trace a process. Needs a tokio runtime.
///
/// # Errors
/// [`AttachError`], each with a hint.
pub fn attach(pid: u32, options: &TracerOptions) -> Result<Session, AttachError> {
    Attachment::open(pid, options.clone())?.attach(|_| ())
}

/// What a process has mapped, and the allocators therein: at least one where blocks are recorded.
pub(super) fn allocators_of(
    target: &TargetProcess,
    functions: &Arc<UserFunctions>,
    recorded: Recorded,
) -> Result<(Locator, Vec<FoundAllocator>), AttachError> {
    let pid = target.pid();
    let mut space = AddressSpace::new(target)?;
    space.refresh()?;
    let mut locator = Locator::new(space, Wanted::of_pid(Arc::clone(functions), pid));
    let allocators = locator.new_allocators();
    if recorded.blocks() && allocators.iter().all(|found| found.probes.probes.is_empty()) {
        if let Some(program) = locator.stripped_program() {
            return Err(AttachError::Stripped { program });
        }
        // Perhaps it has one, in a file that could not be opened.
        File::open("/dev/null")?;
        return Err(AttachError::NoAllocator {
            pid,
            looked_at: {
                let paths: Vec<_> = locator.examined_paths().filter(|path| path.starts_with('/')).collect();
                names_of(paths.iter().map(|path| &**path))
            },
        });
    }
    Ok((locator, allocators))
}

/// Resolves when all threads of the process have exited.
fn exit_of(target: &TargetProcess) -> io::Result<super::Exit> {
    let exited = Readable::of(target)?;
    Ok(Box::pin(async move {
        if let Err(error) = exited.wait().await {
            log::warn!("cannot watch the process: {error}");
            std::future::pending::<()>().await;
        }
    }))
}

/// A few names for a message.
pub(super) fn names_of<'a>(paths: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = paths.collect();
    match names.len() {
        0 => "no file: none is mapped as code".into(),
        count if count > 8 => format!("{} and {} more files", names[..8].join(", "), count - 8),
        _ => names.join(", "),
    }
}
