//! Probes in the allocator hooks of a running interpreter: through them it allocates each object.

use std::sync::Arc;

use super::{read, remarks};
use crate::{
    allocators::{PYTHON_FUNCTIONS, UserFunction, UserFunctions},
    python::Hooks,
    session::Session,
    tracer::{ProbePlan, ProbedFile, Search},
};

impl Session {
    /// Places probes in the hooks of the interpreter of the process that has begun in a slot. `false` when there are none, or
    /// they are not to be probed.
    pub(super) fn probe_hooks(&mut self, home: u32, pid: u32) -> bool {
        let options = self.tracer.options();
        // Of a command, PYTHONMALLOC=malloc leaves none; or else they are not there yet when it begins.
        if options.from_start || !options.recorded.blocks() {
            return false;
        }
        let Some(hooks) = self.hooks_of(home) else { return false };
        let Some(probes) = self.probes_of(home, &hooks) else { return false };
        if let Err(error) = self.tracer.place_more_probes(probes, pid) {
            log::warn!("the allocator hooks of Python: {error}");
            return false;
        }
        self.notes.extend([remarks::HOOKED.to_owned()]);
        self.python.hooks.push((home, hooks));
        true
    }

    fn hooks_of(&self, home: u32) -> Option<Hooks> {
        let (locator, python) = self.python_in(home)?;
        let memory = locator.space().memory();
        let (file, _) = python.file()?;
        Hooks::of(python.interpreter()?, file, &|address, bytes| read(memory.as_ref(), address, bytes))
    }

    fn probes_of(&self, home: u32, hooks: &Hooks) -> Option<ProbedFile> {
        let (locator, python) = self.python_in(home)?;
        let (file, module) = python.file()?;
        let opened = locator.file(*module)?;
        let calls = hooks.functions.into_iter().zip(PYTHON_FUNCTIONS);
        let user = UserFunctions(calls.map(|(address, (_, call))| UserFunction::at(address, call)).collect());
        let search = Search { user: &user, is_executable: false };
        let plan = ProbePlan::of(&opened, &file.path, search);
        let plan = plan.inspect_err(|error| log::warn!("the allocator hooks of Python: {error}")).ok()??;
        let mut probes = plan.probed_file(Arc::clone(&opened), &file.path);
        // From 3.13 on the file has an allocator of its own, mimalloc, which is probed as any other.
        probes.probes.retain(|probe| user.0.iter().any(|hook| hook.text == probe.name));
        // All or none: a block that is allocated in one and freed in another would be live for ever.
        (probes.probes.len() == hooks.functions.len()).then_some(probes)
    }

    /// Says so when hooks have been taken away: the interpreter frees objects past them from then on.
    pub(super) fn watch_hooks(&mut self) {
        let is_gone = |(home, hooks): &(u32, Hooks)| {
            let memory = self.python_in(*home).and_then(|(locator, _)| locator.space().memory());
            !hooks.are_in_place(&|address, bytes| read(memory.as_ref(), address, bytes))
        };
        if self.python.hooks.iter().any(is_gone) {
            self.notes.extend([remarks::UNHOOKED.to_owned()]);
        }
    }
}
