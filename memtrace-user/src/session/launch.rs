//! Begins a session on a command that is started for it, from the command's first allocation.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
};

use thiserror::Error;
use tokio::sync::oneshot;

use super::{
    AttachError, Beginning, MappingSource, Session,
    attach::{STRIPPED_HINT, names_of},
    locate::{FoundAllocator, Locator, Wanted},
    names::Names,
    notes::Notes,
    python,
    safety::{self, Moment},
    unwinding::{self, WantedTable},
};
use crate::{
    process::{
        AddressSpace, CommandSpec, Confinement, LibrariesError, PreparedChild, SpawnError, elf::ElfFile,
        list_libraries, raise_file_limit, vdso_file,
    },
    profile::ProcessInfo,
    tracer::{Follow, Recorded, Tracer, TracerError, TracerOptions, check_requirements},
};

/// Why a command cannot be traced or started.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// It cannot be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// Its libraries are not known.
    #[error(transparent)]
    Libraries(#[from] LibrariesError),
    /// As for a running process.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// Nothing to probe.
    #[error("no known allocator in {program} (looked at {looked_at})")]
    NoAllocator {
        /// The program.
        program: String,
        /// It and its libraries.
        looked_at: String,
    },
    /// Nothing says where its functions are.
    #[error("{program} is linked statically and stripped of its symbols: nothing says where its malloc is")]
    Stripped {
        /// The program.
        program: String,
    },
}

impl From<TracerError> for LaunchError {
    fn from(error: TracerError) -> Self {
        Self::Attach(error.into())
    }
}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> Self {
        Self::Attach(error.into())
    }
}

impl LaunchError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Spawn(error) => Some(error.hint()),
            Self::Libraries(error) => error.hint().map(str::to_owned),
            Self::Attach(error) => error.hint(),
            Self::NoAllocator { .. } => {
                Some("neither the program nor its libraries export malloc and free; -v tells more".to_owned())
            }
            Self::Stripped { .. } => Some(STRIPPED_HINT.to_owned()),
        }
    }

    /// The exit status that shells use when a command cannot be started; 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spawn(error) => error.exit_code(),
            Self::Libraries(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// A command that runs and is traced.
#[expect(missing_debug_implementations, reason = "sessions have none")]
pub struct Launched {
    /// The tracing.
    pub session: Session,
    /// The command's process.
    pub pid: u32,
    /// Its exit status, once it has ended.
    pub status: oneshot::Receiver<io::Result<ExitStatus>>,
}

/// Starts a command under tracing. Needs a tokio runtime. Signals that are to be passed on must be blocked before.
///
/// # Errors
/// [`LaunchError`], each with a hint.
pub fn launch(command: &CommandSpec, options: &TracerOptions) -> Result<Launched, LaunchError> {
    check_requirements()?;
    raise_file_limit();
    let program = command.find().map_err(SpawnError::from)?;
    let paths = list_libraries(&program, command.run_as.as_ref())?;
    let variables = python::variables_for(&program, &paths, options);
    let child = PreparedChild::start_with(command, variables)?;
    let pid = child.pid();
    let program = paths.first().and_then(|path| std::fs::File::open(path).ok());
    let executable = program.and_then(|file| unwinding::file_id(&file));
    let wanted = Wanted { user: Arc::clone(&options.functions), executable };
    let allocators = allocators_of(child.program(), &paths, &wanted, options.recorded)?;
    let code = code_of(&paths);
    let mut tracer = Tracer::load(&TracerOptions { from_start: true, ..options.clone() })?;
    let events = tracer.take_events()?;
    let mut locator = Locator::new(AddressSpace::of_pid(pid).map_err(AttachError::from)?, wanted);
    locator.mark_examined(code.iter().map(|wanted| wanted.id));
    let mapping_events = Some(MappingSource::of_command(pid)?);
    let mut notes = Notes::default();
    notes.begin_anew();
    let confinement = if options.follow == Follow::Nobody { Confinement::of_pid(pid) } else { safety::ANYBODY };
    notes.extend(safety::choose_returns(&mut tracer, confinement, Moment::Starting));
    notes.extend(safety::cost_to_others(&tracer));
    notes.extend(safety::scarce_memory());
    notes.extend(variables.iter().map(python::remark));
    locator.mark_allocators(&allocators);
    for allocator in allocators.iter().filter(|_| options.recorded.blocks()) {
        tracer.place_probes(&allocator.probes, pid)?;
        notes.extend(allocator.remarks(tracer.returns()));
    }
    if let Some(store) = tracer.unwind_store() {
        // What the program will map, so that its first call's stack is whole; the addresses come with the mappings.
        unwinding::add(store, code);
    }
    tracer.trace_from_exec(pid)?;
    tracer.follow_mappings(pid, pid, None)?;
    let info = ProcessInfo {
        pid,
        command: display(command),
        exited: false,
        rss_bytes: None,
        allocators: allocators.into_iter().map(|allocator| allocator.name).collect(),
        notes: Vec::new(),
    };
    let names = Names::new()?;
    let mut child = child.release()?;
    let (report, status) = oneshot::channel();
    let (exited, exit) = oneshot::channel::<()>();
    tokio::task::spawn_blocking(move || {
        // The receiver may have gone: then nobody wants to know.
        let _unwanted = report.send(child.wait());
        drop(exited);
    });
    let session = Session::begin(Beginning {
        tracer,
        events,
        mapping_events,
        locator,
        names,
        notes,
        info,
        target: None,
        // The slot comes with the exec.
        slot: 0,
        host_tgid: pid,
        exit: Box::pin(async move {
            let _closed = exit.await;
        }),
    });
    Ok(Launched { session, pid, status })
}

/// The allocators among a program and the libraries that it will load.
fn allocators_of(
    program: &Path,
    paths: &[PathBuf],
    wanted: &Wanted,
    recorded: Recorded,
) -> Result<Vec<FoundAllocator>, LaunchError> {
    let mut found = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        match std::fs::File::open(path) {
            Ok(file) => found.extend(wanted.find_in(&Arc::new(file), &name)),
            Err(error) => log::info!("{name}: not looked at for an allocator: {error}"),
        }
    }
    if recorded.blocks() && found.iter().all(|allocator| allocator.probes.probes.is_empty()) {
        let program = program.display().to_string();
        let elf = paths.first().and_then(|path| ElfFile::open(path).ok());
        if elf.is_some_and(|elf| elf.is_static_and_stripped()) {
            return Err(LaunchError::Stripped { program });
        }
        let looked_at = names_of(paths.iter().filter_map(|path| path.to_str()));
        return Err(LaunchError::NoAllocator { program, looked_at });
    }
    Ok(found)
}

/// The files that the program will run, and the vDSO.
fn code_of(paths: &[PathBuf]) -> Vec<WantedTable> {
    let open = |path: &PathBuf| {
        let file = std::fs::File::open(path).ok()?;
        WantedTable::of(Arc::new(file), path.display().to_string())
    };
    let vdso = vdso_file().and_then(|file| WantedTable::of(file, "[vdso]".into()));
    paths.iter().filter_map(open).chain(vdso).collect()
}

fn display(command: &CommandSpec) -> String {
    let words = std::iter::once(&command.program).chain(&command.arguments);
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
