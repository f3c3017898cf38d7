//! Numbers for what a sample belongs to besides its stack: process, thread, layer of memory.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use super::{
    Domain, GroupBy, GroupName, ProcessName, StackSample,
    filter::{Filters, Owner, Verdict},
    tally::{GroupOptions, Runs, Samples},
};
use crate::number_hash::NumberMap;

/// The groups of owners met so far.
#[derive(Debug)]
pub(super) struct Owners {
    by: GroupBy,
    filters: Filters,
    keys: NameKeys,
    numbers: HashMap<GroupKey, u32>,
    names: Vec<GroupName>,
}

/// What owners are compared by.
type GroupKey = (Option<NameKey>, Option<NameKey>, Domain);

/// A name and, where the name alone does not tell, an id and a process's start: ids are given anew.
type NameKey = (Arc<str>, Option<(u32, Option<SystemTime>)>);

impl Owners {
    pub(super) fn new(all: &[Samples<'_>], options: &GroupOptions, runs: Runs) -> Self {
        let keys = match runs {
            Runs::Same => NameKeys { by_id: true, ..NameKeys::default() },
            Runs::Restarted => NameKeys::telling(all),
        };
        Self { by: options.by, filters: options.filters.clone(), keys, numbers: HashMap::new(), names: Vec::new() }
    }

    /// Reads the owners of one profile's samples.
    pub(super) fn of<'a>(&'a mut self, samples: &Samples<'a>) -> OwnerReader<'a> {
        OwnerReader { owners: self, samples: *samples, known: NumberMap::default(), classes: HashMap::new() }
    }

    /// The name of a group.
    pub(super) fn name(&self, number: u32) -> GroupName {
        self.names[number as usize].clone()
    }

    fn number(&mut self, owner: &Owner) -> u32 {
        let (key, name) = self.key_and_name(owner);
        let next = u32::try_from(self.names.len()).expect("fewer than 2^32 owners");
        let number = *self.numbers.entry(key).or_insert(next);
        match self.names.get_mut(number as usize) {
            None => self.names.push(name),
            // Whichever profile comes first, one name is shown.
            Some(known) if name < *known => *known = name,
            Some(_) => {}
        }
        number
    }

    fn key_and_name(&self, owner: &Owner) -> (GroupKey, GroupName) {
        let process = || owner.process.as_ref().map(|process| self.keys.process(process));
        let any = Domain::default();
        match self.by {
            GroupBy::Process => ((process(), None, any), GroupName::Process(owner.process.clone())),
            GroupBy::Thread => {
                let thread = owner.thread.as_ref().map(|(name, tid)| self.keys.thread(name, *tid));
                let name = GroupName::Thread { process: owner.process.clone(), thread: owner.thread.clone() };
                ((process(), thread, any), name)
            }
            GroupBy::Domain => ((None, None, owner.domain), GroupName::Domain(owner.domain)),
            _ => ((None, None, any), GroupName::NoStack),
        }
    }
}

/// Which names of processes and threads are enough to recognise them in another run: those that no two have at once.
#[derive(Debug, Default)]
struct NameKeys {
    by_id: bool,
    ambiguous: HashSet<Arc<str>>,
}

impl NameKeys {
    fn telling(all: &[Samples<'_>]) -> Self {
        let mut ambiguous = HashSet::new();
        for samples in all {
            let mut seen = HashSet::new();
            let commands = samples.processes.iter().map(|process| Arc::from(&*process.info.command));
            let threads = samples.threads.iter().map(|thread| Arc::clone(&thread.name));
            for name in commands.chain(threads) {
                if !seen.insert(Arc::clone(&name)) {
                    ambiguous.insert(name);
                }
            }
        }
        Self { by_id: false, ambiguous }
    }

    fn process(&self, process: &ProcessName) -> NameKey {
        self.key(&process.command, process.pid, process.started_at)
    }

    fn thread(&self, name: &Arc<str>, tid: u32) -> NameKey {
        self.key(name, tid, None)
    }

    fn key(&self, name: &Arc<str>, id: u32, started_at: Option<SystemTime>) -> NameKey {
        (Arc::clone(name), (self.by_id || self.ambiguous.contains(name)).then_some((id, started_at)))
    }
}

/// Reads the owners of the samples of one profile.
pub(super) struct OwnerReader<'a> {
    owners: &'a mut Owners,
    samples: Samples<'a>,
    known: NumberMap<(u32, u32, u32), (u32, u32, Verdict)>,
    classes: HashMap<(u32, Verdict), u32>,
}

impl OwnerReader<'_> {
    /// A number that samples share whose owners need not be told apart; the number of their group; and what the filters
    /// say of the owner.
    pub(super) fn of(&mut self, sample: &StackSample) -> (u32, u32, Verdict) {
        let thread = sample.thread.map_or(u32::MAX, |thread| thread.0);
        let key = (sample.process.0, thread, sample.domain as u32);
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let owner = self.owner(sample);
        let number = self.owners.number(&owner);
        let verdict = self.owners.filters.of_owner(&owner);
        let next = u32::try_from(self.classes.len()).unwrap_or(u32::MAX);
        let class = *self.classes.entry((number, verdict)).or_insert(next);
        self.known.insert(key, (class, number, verdict));
        (class, number, verdict)
    }

    fn owner(&self, sample: &StackSample) -> Owner {
        let process = self.samples.processes.get(sample.process.0 as usize).map(|process| ProcessName {
            command: process.info.command.as_str().into(),
            pid: process.info.pid,
            started_at: process.started_at,
        });
        let thread = sample.thread.and_then(|thread| self.samples.threads.get(thread.0 as usize));
        let thread = thread.map(|thread| (Arc::clone(&thread.name), thread.tid));
        Owner { process, thread, domain: sample.domain }
    }
}
