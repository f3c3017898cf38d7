//! What a session does about the interpreters of its processes: the one that it is named by, and those that it follows.

use std::{cell::OnceCell, collections::VecDeque, fs::File, mem::offset_of};

use memtrace_common::python::{CodeRecord, PythonRecord};

use super::{Found, Python, read, remarks};
use crate::{
    profile::ProcessTotals,
    python::Pooled,
    session::{Session, family::Family, locate::Locator, notes::Subject},
};

/// Code objects that wait for their process at most.
const MOST_WAITING: usize = 1024;

/// Code objects of forked children that nothing else is known of yet.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<Vec<u8>>);

impl Waiting {
    fn add(&mut self, record: &[u8]) {
        if self.0.len() == MOST_WAITING {
            self.0.pop_front();
        }
        self.0.push_back(record.to_vec());
    }

    /// Slots are given to other processes.
    fn forget(&mut self, slots: &[u32]) {
        self.0.retain(|record| slot_of(record).is_some_and(|slot| !slots.contains(&slot)));
    }
}

/// Where the process of a code object has begun.
fn slot_of(record: &[u8]) -> Option<u32> {
    record.get(offset_of!(CodeRecord, slot)..)?.first_chunk().map(|slot| u32::from_ne_bytes(*slot))
}

/// The memory of processes whose code objects are taken in: what was too long to be copied is read there.
#[derive(Default)]
struct Memories {
    last: Option<(u32, Option<File>)>,
    own: OnceCell<Option<File>>,
}

impl Memories {
    /// Of the process that has begun in a slot, or, when it is gone, of the one that the session is named by: that may
    /// have had the same when it forked. (Whoever reads compares with what has been copied.)
    fn of(&mut self, slot: u32, process: &Locator, own: &Locator) -> impl Fn(u64, &mut [u8]) -> bool {
        if self.last.as_ref().is_none_or(|(last, _)| *last != slot) {
            self.last = Some((slot, process.space().memory()));
        }
        let (last, own_memory) = (&self.last, &self.own);
        move |address, bytes| {
            let last = last.as_ref().and_then(|(_, memory)| memory.as_ref());
            read(last, address, bytes) || read(own_memory.get_or_init(|| own.space().memory()).as_ref(), address, bytes)
        }
    }
}

/// An interpreter that has been looked for in a process.
struct Look {
    home: u32,
    slot: u32,
    pid: u32,
    found: Found,
}

impl Locator {
    /// Looks for a Python interpreter among files that have not been looked at.
    fn find_python(&mut self, to_its_end: bool) -> Found {
        if !self.take_new_files() {
            return Found::Nothing;
        }
        let (space, python) = self.space_and_python();
        python.look(space, to_its_end)
    }
}

impl Session {
    /// Looks for Python interpreters among new files, and tells the BPF programs of them.
    pub(in crate::session) fn follow_python(&mut self) {
        if self.tracer.options().native_only {
            return;
        }
        let to_its_end = self.tracer.options().through_exit;
        let mut looks = Vec::new();
        if self.slot != 0 {
            let found = self.locator.find_python(to_its_end);
            looks.push(Look { home: self.home, slot: self.slot, pid: self.info.pid, found });
        }
        for member in self.family.iter_mut().flat_map(Family::counting) {
            let (home, slot, pid) = (member.home, member.slot, member.info.pid);
            if let Some(locator) = &mut member.locator {
                looks.push(Look { home, slot, pid, found: locator.find_python(to_its_end) });
            }
        }
        for look in looks {
            self.take_look(look);
        }
    }

    fn take_look(&mut self, Look { home, slot, pid, found }: Look) {
        match found {
            Found::Nothing => {}
            Found::Interpreter(_) if !self.tracer.sees_python() => self.no_python(home, remarks::NO_LOOP),
            Found::Interpreter(record) => {
                if !self.probe_hooks(home, pid) && record.check_innermost != 0 {
                    self.note_pools(None);
                }
                self.set_python(home, slot, &record);
                self.python.unchecked.push(home);
                self.probe_python(home, pid);
            }
            Found::NotUnderstood(reason) => self.no_python(home, &reason),
        }
    }

    /// The process has ended: of an interpreter that has been strange whenever it was looked at, this is said, too.
    pub(in crate::session) fn check_python_at_end(&mut self) {
        if let Some(reason) = self.locator.python().strange().filter(|_| self.python.unchecked.contains(&self.home)) {
            self.no_python(self.home, &reason);
        }
    }

    /// Looks at interpreters that have been found.
    pub(in crate::session) fn check_python(&mut self) {
        for home in std::mem::take(&mut self.python.unchecked) {
            let Some(locator) = self.locator_in(home) else { continue };
            let (space, python) = locator.space_and_python();
            match python.check(space) {
                None => self.python.unchecked.push(home),
                Some(Ok(())) => {}
                Some(Err(reason)) => self.no_python(home, &reason),
            }
        }
    }

    fn set_python(&mut self, home: u32, slot: u32, record: &PythonRecord) {
        if let Err(error) = self.tracer.set_python(home, Some(record)) {
            log::warn!("Python frames: {error}");
        }
        self.tracer.share_python(home, slot);
    }

    /// A child has its parent's interpreter. The BPF programs have given it to it, unless they learnt of it after the fork.
    pub(in crate::session) fn inherit_python(&mut self, slot: u32) {
        let record = self.python_in(slot).and_then(|(_, python)| python.record().copied());
        let Some(record) = record else { return };
        if !self.tracer.has_python(slot) {
            self.set_python(slot, slot, &record);
        }
        self.python.unchecked.push(slot);
    }

    fn probe_python(&mut self, home: u32, pid: u32) {
        let Some((locator, python)) = self.python_in(home) else { return };
        let Some((file, module)) = python.file().cloned() else { return };
        let Some(opened) = locator.file(module) else { return };
        let to_its_end = self.tracer.options().through_exit;
        if let Err(error) = self.tracer.probe_python(&file, &opened, pid, to_its_end) {
            log::warn!("{}: its beginning and end are not seen: {error}", file.path);
        }
    }

    /// The process that has begun in a slot, and its interpreter.
    pub(super) fn python_in(&self, home: u32) -> Option<(&Locator, &Python)> {
        let locator =
            if home == self.home { &self.locator } else { self.family.as_ref()?.member_in(home)?.locator.as_ref()? };
        Some((locator, locator.python()))
    }

    /// Says so when Python has ended, from when on nothing is recorded.
    fn note_python_end(&mut self) {
        let members = self.family.iter_mut().flat_map(Family::counting).map(|member| member.home);
        let homes: Vec<u32> = members.chain([self.home]).collect();
        if homes.into_iter().any(|home| self.tracer.has_python_ended(home)) {
            self.notes.extend([remarks::ENDED.to_owned()]);
        }
    }

    /// Says what of Python is not seen one by one, and what of what is seen `tracemalloc` does not count.
    pub(in crate::session) fn note_python(&mut self, totals: &ProcessTotals) {
        self.note_python_end();
        self.watch_hooks();
        let before = self.tracer.live_before_python(self.home).filter(|_| self.slot == self.home);
        self.notes.set(Subject::PythonStart, before.map(|before| remarks::beyond_start(before, totals)));
        if self.notes.has(Subject::PythonPools) {
            let held = self.look_at_pools();
            self.note_pools(held);
        }
    }

    fn note_pools(&mut self, held: Option<Pooled>) {
        let from_start = self.tracer.options().from_start;
        self.notes.set(Subject::PythonPools, Some(remarks::pooled(held, from_start)));
    }

    /// Slots are given to other processes: what has been seen of those before is taken in.
    pub(in crate::session) fn leave_python(&mut self, slots: &[u32]) {
        self.take_python_codes();
        self.python.waiting.forget(slots);
    }

    /// What the process that has begun in a slot has mapped.
    fn locator_in(&mut self, home: u32) -> Option<&mut Locator> {
        if home == self.home {
            return Some(&mut self.locator);
        }
        self.family.as_mut()?.in_slot(home)?.1.locator.as_mut()
    }

    /// What the interpreters' own pools hold, as of the last look; begins the next one.
    fn look_at_pools(&mut self) -> Option<Pooled> {
        let held = self.python.pools.last();
        if self.python.pools.is_due() {
            let members =
                self.family.iter_mut().flat_map(Family::counting).filter_map(|member| member.locator.as_ref());
            let places = members.chain([&self.locator]).filter_map(|locator| {
                let pool_bytes = locator.python().pool_bytes()?;
                Some((locator.space().directory().try_clone().ok()?, pool_bytes))
            });
            let places = places.collect();
            self.python.pools.begin(places);
        }
        held
    }

    /// Takes in the code objects that have come.
    pub(in crate::session) fn take_python_codes(&mut self) {
        let mut waiting = std::mem::take(&mut self.python.waiting);
        let mut memories = Memories::default();
        let mut strange = None;
        let (own, home, family) = (&self.locator, self.home, &self.family);
        let mut take = |record: &[u8], waiting: &mut Waiting| {
            let Some(slot) = slot_of(record) else { return };
            let member = || family.as_ref()?.member_in(slot)?.locator.as_ref();
            let locator = if slot == home { Some(own) } else { member() };
            let Some(locator) = locator else { return waiting.add(record) };
            if !locator.python().take_code(record, &memories.of(slot, locator, own)) {
                strange = Some(slot);
            }
        };
        for record in std::mem::take(&mut waiting.0) {
            take(&record, &mut waiting);
        }
        self.tracer.take_python_codes(|record| take(record, &mut waiting));
        self.python.waiting = waiting;
        if self.tracer.begin_python_part() {
            self.locator.python().shared().list().codes.begin_part();
        }
        // Where much code is new, so are many stacks.
        self.tracer.keep_room_for_stacks();
        if let Some(slot) = strange {
            self.no_python(slot, "what its frames name is not code");
        }
    }

    /// Python frames of the process that has begun in a slot are off from here on.
    fn no_python(&mut self, home: u32, reason: &str) {
        let slot = match &self.family {
            _ if home == self.home => self.slot,
            Some(family) => family.member_in(home).map_or(home, |member| member.slot),
            None => home,
        };
        if let Some(locator) = self.locator_in(home) {
            locator.space_and_python().1.forget();
        }
        for slot in [home, slot] {
            // Without a record, nothing can fail.
            let _none = self.tracer.set_python(slot, None);
        }
        self.notes.extend([format!("Python frames are not seen: {reason}")]);
    }
}
