//! Probes: where they are placed, and how the ends of calls are seen.

use super::{
    Follow, ProbedFile, Returns, Tracer, TracerError, confined,
    links::{self, ProgramNames},
    object,
};

/// Links for this process id are for all processes.
const EVERYONE: u32 = 0;

/// Device and inode of a file that is to be probed.
pub(super) fn inode_of(file: &ProbedFile) -> Result<(u64, u64), TracerError> {
    file.inode().map_err(|source| TracerError::Attach { path: file.name.clone(), source })
}

impl Tracer {
    /// Places the probes of a file in one process. They run at once, but nothing is recorded before
    /// [`Self::trace_process`]. Returns `false` when the file is probed already: a second time would count twice.
    ///
    /// # Errors
    /// [`TracerError::Attach`], [`TracerError::ProcessEnded`].
    pub fn place_probes(&mut self, file: &ProbedFile, pid: u32) -> Result<bool, TracerError> {
        let inode = inode_of(file)?;
        if self.probed.contains(&inode) {
            return Ok(false);
        }
        self.place(file.clone(), pid)?;
        self.probed.insert(inode);
        Ok(true)
    }

    /// Places probes in a file that may have others, those of its own allocator; what is probed there already is left out. An
    /// image that a process executes later need not get them.
    ///
    /// # Errors
    /// As [`Self::place_probes`].
    pub fn place_more_probes(&mut self, mut file: ProbedFile, pid: u32) -> Result<(), TracerError> {
        let inode = inode_of(&file)?;
        for known in self.placed.iter().filter(|known| known.inode().is_ok_and(|known| known == inode)) {
            file.probes.retain(|probe| known.probes.iter().all(|known| known.offset != probe.offset));
        }
        // Behind the others: when all are placed anew, a file's first ones are.
        if file.probes.is_empty() { Ok(()) } else { self.place(file, pid) }
    }

    /// Places the probes of a file for the programs that record.
    fn place(&mut self, file: ProbedFile, pid: u32) -> Result<(), TracerError> {
        let names = self.multi.as_ref().map_or(links::RECORDING, links::recording);
        self.link(names, &file, pid)?;
        self.placed.push(file);
        Ok(())
    }

    /// Places the probes of a file for some programs.
    pub(super) fn link(&mut self, names: ProgramNames, file: &ProbedFile, pid: u32) -> Result<(), TracerError> {
        // Links that filter by process see nothing of its children: who is traced is decided by the programs then.
        let pid = if self.options.follow == Follow::Nobody { pid } else { EVERYONE };
        let links = match &self.multi {
            Some(programs) => links::attach_multi(programs, names, file, pid, self.returns)?,
            None => links::attach_perf(&mut self.ebpf, names, file, pid, self.returns)?,
        };
        self.links.push(links);
        Ok(())
    }

    /// Decides how the ends of calls are seen in files that are probed from now on.
    pub const fn set_returns(&mut self, returns: Returns) {
        self.returns = returns;
    }

    /// How the ends of calls are seen.
    #[must_use]
    pub const fn returns(&self) -> Returns {
        self.returns
    }

    /// Whether processes that are confined by seccomp survive return probes on this kernel, tried out; `None` when that
    /// cannot be.
    #[must_use]
    pub fn return_probes_spare_confined(&self) -> Option<bool> {
        // Kernels without multi links are older than the system call that filters do not know.
        self.multi.as_ref().map_or(Some(true), confined::survives_return_probes)
    }

    /// Places probes that do nothing where [`Self::place_probes`] would place its own, with `entries_only` none at returns.
    ///
    /// # Errors
    /// As [`Self::place_probes`]; [`TracerError::Setup`] without uprobe-multi links.
    pub fn place_floor_probes(&mut self, file: &ProbedFile, pid: u32, entries_only: bool) -> Result<(), TracerError> {
        let missing = || TracerError::setup("empty probes")("this kernel has no uprobe-multi links".into());
        let programs = self.multi.as_ref().ok_or_else(missing)?;
        self.links.push(links::attach_multi(programs, links::empty(programs, entries_only), file, pid, self.returns)?);
        Ok(())
    }

    /// Places all probes anew in an image that has none; see [`super::EventKind::Exec`].
    ///
    /// # Errors
    /// As [`Self::place_probes`]. What could be placed stays.
    pub fn replace_probes(&mut self, pid: u32) -> Result<(), TracerError> {
        // The old links first: they place no breakpoints any more, but their programs would run at the new ones'.
        self.links.clear();
        self.probed.clear();
        self.python_ends.clear();
        std::mem::take(&mut self.placed).iter().try_for_each(|file| self.place_probes(file, pid).map(drop))
    }

    /// Takes the breakpoints out of the children of the traced processes, which inherit them at fork. Blocks for some ten
    /// milliseconds: run it off the event loop. `None` where there is nothing to do.
    ///
    /// With uprobe-multi links the kernel leaves them there, as it asks every consumer at a hit and none of ours says
    /// that it may go (`handler_chain`, seen on 6.18). When a consumer is taken away, though, it looks through all
    /// processes for breakpoints that nobody wants; so one is added for memtrace itself and taken away at once.
    #[must_use]
    pub fn sweep_work(&self) -> Option<impl FnOnce() + Send + use<>> {
        let program = self.multi.as_ref()?.get(object::FLOOR_ENTRY)?.try_clone().ok()?;
        let files = self.placed.clone();
        Some(move || {
            for file in files {
                if let Err(error) = links::sweep(&program, &file) {
                    log::info!("children keep breakpoints in {}: {error}", file.name);
                }
            }
        })
    }
}
