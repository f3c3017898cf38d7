//! Begins to trace the machine.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use super::{
    super::{
        AttachError,
        locate::{Locator, Wanted},
        meter::OwnUse,
        notes::Notes,
        retiring::Retiring,
        safety::{self, Moment},
        threads::Threads,
        unwinding::InTheMaking,
        waits::{CopySource, MappingSource, stack_ticks},
    },
    Everyone,
    census::{self, Census},
    closed::Closed,
    files::ProbedFiles,
    members::Members,
    naming::Naming,
};
use crate::{
    process::{AddressSpace, MappedFiles, Selection, TargetError, check_pid_namespace, raise_file_limit},
    profile::{CostToAll, EndedProcesses, Overhead, ProcessTotals},
    tracer::{ExecRules, Follow, Tracer, TracerOptions, TrapCost, check_requirements},
};

/// Looks for processes that begin while others are being found; each finds what the one before has missed.
const MOST_LOOKS: usize = 10;

/// Begins to trace all selected processes of the machine. Needs a tokio runtime.
///
/// # Errors
/// [`AttachError`], each with a hint.
pub fn trace_everyone(selection: Selection, options: &TracerOptions) -> Result<Everyone, AttachError> {
    check_requirements()?;
    check_pid_namespace().map_err(TargetError::from)?;
    raise_file_limit();
    let options = TracerOptions { follow: Follow::Everyone, native_only: true, ..options.clone() };
    let mut tracer = Tracer::load(&options)?;
    let mut notes = Notes::default();
    notes.extend(safety::choose_returns(&mut tracer, safety::ANYBODY, Moment::Running));
    notes.extend(safety::scarce_memory());
    let events = tracer.take_events()?;
    let mapping_events = MappingSource::of_all()?;
    let trap = tracer.cost_measurement().and_then(|measurement| measurement.run());
    let mut everyone = Everyone {
        copies: tracer.unknown_code().map(CopySource::new),
        events,
        mapping_events,
        selection: Arc::new(selection),
        members: Members::default(),
        ended: EndedProcesses::default(),
        ended_totals: ProcessTotals::default(),
        retiring: Retiring::new(),
        leaving: HashSet::new(),
        closed: Closed::default(),
        refused: HashSet::new(),
        lost_before: 0,
        wanted: Wanted { user: Arc::clone(&options.functions), executable: None },
        files: MappedFiles::default(),
        probed: ProbedFiles::default(),
        naming: Naming::new()?,
        threads: Threads::default(),
        users: HashMap::new(),
        notes,
        meter: OwnUse::start(&tracer),
        overhead: Overhead::default(),
        cost: CostToAll { processes: 0, pair: trap.map(|trap| pair_of_others(&tracer, trap)) },
        ticks: tokio::time::interval(Duration::from_secs(1)),
        stack_ticks: stack_ticks(),
        census: Census::new(),
        tables: InTheMaking::default(),
        reading: None,
        tracer,
    };
    everyone.begin()?;
    Ok(everyone)
}

/// What an allocation and its free cost more in a process that is not recorded.
fn pair_of_others(tracer: &Tracer, trap: TrapCost) -> Duration {
    // A session probe asks for no return there.
    let allocation = if tracer.uses_session_probes() { trap.entry } else { trap.entry_and_return };
    allocation + trap.entry
}

impl Everyone {
    fn begin(&mut self) -> Result<(), AttachError> {
        let found = census::look(&self.selection, None);
        // The probes first, so that nothing of what is recorded is half recorded; and the C library of this very program,
        // which others will map that begin later.
        for pid in found.selected.iter().copied().chain([std::process::id()]) {
            let mut locator = Locator::new(AddressSpace::of_relative(self.files.clone(), pid), self.wanted.clone());
            locator.refresh();
            self.probed.meet(&locator);
        }
        for (mapped, allocator) in self.probed.examine(&self.wanted) {
            self.place(&mapped, &allocator);
        }
        self.tracer.follow_everyone(&rules(&self.selection))?;
        self.tracer.begin_time();
        let mut found = census::look(&self.selection, Some(&self.probed.inodes));
        for _ in 0..MOST_LOOKS {
            self.take_events();
            let fresh: Vec<u32> = found.selected.into_iter().filter(|pid| !self.members.has_pid(*pid)).collect();
            self.cost.processes = found.mapping.unwrap_or(self.cost.processes);
            if fresh.is_empty() {
                break;
            }
            for pid in fresh {
                self.adopt(pid);
            }
            found = census::look(&self.selection, None);
        }
        Ok(())
    }
}

fn rules(selection: &Selection) -> ExecRules {
    ExecRules {
        names: selection.kernel_names().map(<[u8]>::to_vec).collect(),
        users: selection.users.clone(),
        by_group: selection.asks_for_groups(),
    }
}
