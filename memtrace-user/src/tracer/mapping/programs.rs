//! Loads the programs of the mmap domain and hangs them on system calls.
//!
//! By BPF trampolines on the kernel's functions (5.5; aarch64: 6.0) where there are any. Tracepoints of system calls do the
//! same, but while one is in use, every system call of every process takes a slower path through the kernel.

use std::{
    io::ErrorKind,
    os::fd::{AsFd as _, OwnedFd},
};

use aya::{
    Btf, Ebpf,
    programs::{FEntry, FExit, Program, ProgramError, TracePoint},
};
use aya_obj::btf::BtfKind;

use super::tracepoints;
use crate::tracer::{error::TracerError, features, syscall};

/// Whether a program runs when a system call is entered or when it returns.
#[derive(Clone, Copy)]
enum When {
    Entry,
    Exit,
}

/// One line a program: its name in memtrace-ebpf, and the system call. Where memory is given back first, so that no
/// event of a range that is mapped comes before it has been unmapped.
const PROGRAMS: [(&str, &str, When); 8] = [
    ("unmaps", "munmap", When::Entry),
    ("unmapped", "munmap", When::Exit),
    ("remaps", "mremap", When::Entry),
    ("remapped", "mremap", When::Exit),
    ("mapped", "mmap", When::Exit),
    ("broke", "brk", When::Exit),
    ("protected", "mprotect", When::Exit),
    ("key_protected", "pkey_mprotect", When::Exit),
];

/// A system call that only kernels with keys for memory have (aarch64: from 6.12 on). Where there is none, none is made.
const OPTIONAL: &str = "pkey_mprotect";

/// What the kernel's functions for system calls begin with.
const PREFIX: &str = if cfg!(target_arch = "aarch64") { "__arm64_sys_" } else { "__x64_sys_" };

/// The attached programs.
#[derive(Debug, Default)]
pub struct Programs {
    /// A descriptor of each. Trampolines are detached with the BPF object.
    programs: Vec<OwnedFd>,
    /// What keeps tracepoints in use; empty with trampolines.
    events: Vec<OwnedFd>,
}

impl Programs {
    /// Loads and attaches all.
    ///
    /// # Errors
    /// [`TracerError::NoMappings`] where the kernel has neither trampolines nor tracepoints of system calls;
    /// [`TracerError::Refused`].
    pub fn attach(ebpf: &mut Ebpf, may_use_trampolines: bool) -> Result<Self, TracerError> {
        if may_use_trampolines {
            match Self::by_trampolines(ebpf) {
                Ok(programs) => return Ok(programs),
                Err(error) => log::info!("no BPF trampolines on system calls, using tracepoints: {error}"),
            }
        }
        Self::by_tracepoints(ebpf)
    }

    /// Whether every system call of every process is slowed down.
    pub const fn slow_all_calls(&self) -> bool {
        !self.events.is_empty()
    }

    /// Runs that the kernel has left out, because the program was under way on the CPU.
    pub fn left_out(&self) -> u64 {
        self.programs.iter().map(|program| syscall::left_out_runs(program.as_fd()).unwrap_or(0)).sum()
    }

    fn by_trampolines(ebpf: &mut Ebpf) -> Result<Self, ProgramError> {
        let btf = Btf::from_sys_fs()?;
        let mut attached = Self::default();
        for (name, call, when) in PROGRAMS {
            let function = format!("{PREFIX}{call}");
            if call == OPTIONAL && btf.id_by_type_name_kind(&function, BtfKind::Func).is_err() {
                continue;
            }
            let program = ebpf.program_mut(name).ok_or(ProgramError::UnexpectedProgramType)?;
            match when {
                When::Entry => {
                    let program: &mut FEntry = program.try_into()?;
                    program.load(&function, &btf)?;
                    program.attach()?;
                }
                When::Exit => {
                    let program: &mut FExit = program.try_into()?;
                    program.load(&function, &btf)?;
                    program.attach()?;
                }
            }
            attached.programs.push(descriptor(program)?);
        }
        Ok(attached)
    }

    fn by_tracepoints(ebpf: &mut Ebpf) -> Result<Self, TracerError> {
        let mut attached = Self::default();
        let directory = tracepoints::directory().map_err(TracerError::NoMappings)?;
        for (name, call, when) in PROGRAMS {
            let name = format!("tp_{name}");
            let refused = |error| explain(&name, error);
            let program = ebpf.program_mut(&name).ok_or_else(|| refused(ProgramError::UnexpectedProgramType))?;
            <&mut TracePoint>::try_from(&mut *program).and_then(TracePoint::load).map_err(refused)?;
            let program = descriptor(program).map_err(refused)?;
            let word = match when {
                When::Entry => "enter",
                When::Exit => "exit",
            };
            let tracepoint = format!("sys_{word}_{call}");
            match tracepoints::attach(&directory, &tracepoint, program.as_fd()) {
                Err(error) if call == OPTIONAL && error.kind() == ErrorKind::NotFound => continue,
                event => attached.events.push(event.map_err(TracerError::NoMappings)?),
            }
            attached.programs.push(program);
        }
        Ok(attached)
    }
}

fn descriptor(program: &Program) -> Result<OwnedFd, ProgramError> {
    Ok(program.fd()?.as_fd().try_clone_to_owned()?)
}

fn explain(name: &str, error: ProgramError) -> TracerError {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            features::explain_refusal(name, io_error, &verifier_log.to_string())
        }
        other => features::explain_refusal(name, std::io::Error::other(other), ""),
    }
}
