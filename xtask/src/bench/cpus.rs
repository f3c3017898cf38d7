//! Which CPU the traced program runs on, and which ones the tracers.

use std::process::{Child, Command};

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The CPUs that xtask may use, divided.
pub struct Cpus {
    all: CpuSet,
    target: CpuSet,
    tracers: CpuSet,
}

impl Cpus {
    /// The first CPU for the target, the others for the tracers; with a single one, it for both.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn choose() -> Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0)).context("cannot learn which CPUs may be used")?;
        let mut usable = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false));
        let mut target = CpuSet::new();
        target.set(usable.next().context("no CPU may be used")?)?;
        let mut tracers = CpuSet::new();
        let mut alone = true;
        for cpu in usable {
            tracers.set(cpu)?;
            alone = false;
        }
        Ok(Self { all, target, tracers: if alone { target } else { tracers } })
    }

    /// Starts the traced program.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_target(&self, command: &mut Command) -> Result<Child> {
        self.spawn(command, &self.target)
    }

    /// Starts a tracer.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_tracer(&self, command: &mut Command) -> Result<Child> {
        self.spawn(command, &self.tracers)
    }

    /// A child inherits the CPUs of its parent: so xtask takes them for the moment.
    fn spawn(&self, command: &mut Command, cpus: &CpuSet) -> Result<Child> {
        let this = Pid::from_raw(0);
        sched_setaffinity(this, cpus).context("cannot choose a CPU")?;
        let child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()));
        sched_setaffinity(this, &self.all).context("cannot use all CPUs again")?;
        child
    }
}
