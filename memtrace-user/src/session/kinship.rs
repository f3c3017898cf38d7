//! What a session does when the processes that it follows fork, execute programs and end.

use super::{
    Session,
    family::{Done, Family, Member},
    happenings::Happening,
    locate::{Locator, Wanted},
};
use crate::{
    process::{MappingEvent, TargetProcess},
    tracer::{EventKind, Follow, TracerEvent},
};

/// Slots that are given back though unwind tables are in the making, which their last call stacks may need.
const PRESSING: usize = 512;

/// The family of a session that follows.
pub(super) fn family_of(follow: Follow, locator: &Locator, wanted: &Wanted) -> Option<Family> {
    (follow != Follow::Nobody).then(|| {
        let python = locator.python().shared().clone();
        Family::new(locator.files().clone(), wanted.in_children(), python)
    })
}

impl Session {
    /// Takes in all that has happened so far, of a session that follows.
    pub(super) fn take_happenings(&mut self) {
        loop {
            let happenings = self.happenings.take(&mut self.events, self.mapping_events.as_mut());
            for happening in happenings {
                match happening {
                    Happening::Mapping(event) => self.take_mapping(event),
                    Happening::Tracer(event) => self.take_event(event),
                }
            }
            if !self.happenings.is_waiting() {
                break;
            }
        }
        self.make_up_for_lost_events();
        self.follow_mappings();
        self.probe_new_allocators();
    }

    /// The same where there is a family.
    pub(super) fn take_happenings_of_family(&mut self) {
        if self.family.is_some() {
            self.take_happenings();
        }
    }

    /// What events of mappings have not told is read.
    fn make_up_for_lost_events(&mut self) {
        if self.mapping_events.as_mut().is_some_and(|source| source.events.take_lost() > 0)
            && let Some(family) = &mut self.family
        {
            for locator in family.counting().filter_map(|member| member.locator.as_mut()) {
                locator.refresh();
            }
        }
    }

    fn take_mapping(&mut self, event: MappingEvent) {
        let event = match &mut self.family {
            Some(family) => family.apply(event),
            None => Some(event),
        };
        if let Some(event) = event {
            self.locator.apply(&event);
        }
    }

    fn take_event(&mut self, TracerEvent { kind, tgid, .. }: TracerEvent) {
        log::trace!("process {tgid}: {kind:?}");
        match kind {
            EventKind::Child { slot, parent } => self.follow_child(tgid, slot, parent),
            EventKind::Exec { slot, old, .. } if tgid == self.host_tgid => {
                self.keep_image(old, slot);
                self.begin_image(slot);
                self.end_slot(old);
            }
            EventKind::Exec { slot, old, .. } => {
                let command = self.tracer.command_in(slot);
                if let Some(family) = &mut self.family {
                    // Not of a parent whose slot it has used until now.
                    if let Some((_, member)) = family.in_slot(old).filter(|(_, member)| member.info.pid == tgid) {
                        member.command_line.at_exec(&mut member.info.command, command.as_deref());
                    }
                    family.leave(tgid);
                    let locator = family.executed(tgid);
                    if slot != 0 {
                        family.add(Member::running(tgid, slot, command.unwrap_or_default(), locator));
                    }
                }
                self.end_slot(old);
            }
            EventKind::Exit { slot } => {
                if let Some(family) = &mut self.family {
                    family.leave(tgid);
                }
                self.end_slot(slot);
            }
            EventKind::Fork => {}
        }
    }

    fn follow_child(&mut self, pid: u32, slot: u32, parent: u32) {
        let Some(family) = &mut self.family else { return };
        let known = family.in_slot(parent).map(|(_, member)| {
            let locator = member.locator.as_ref().map(|locator| locator.fork(pid));
            (locator, member.info.command.clone())
        });
        let (locator, command) = match known {
            Some((Some(locator), command)) => (locator, command),
            Some((None, command)) => (family.executed(pid), command),
            None => (self.locator.fork(pid), self.info.command.clone()),
        };
        family.add(Member::running(pid, slot, command, locator));
        self.inherit_python(slot);
    }

    /// The process that the session is named by runs another program: what the one before has done is kept.
    fn keep_image(&mut self, old: u32, next: u32) {
        let Some(family) = &mut self.family else { return };
        self.command_line.at_exec(&mut self.info.command, self.tracer.command_in(next).as_deref());
        let locator = family.executed(self.info.pid);
        let before = std::mem::replace(&mut self.locator, locator);
        if old != 0 {
            let mut member = Member::running(self.info.pid, self.slot, self.info.command.clone(), before);
            member.home = old;
            member.started_at = self.target.as_ref().and_then(TargetProcess::started_at);
            member.info.exited = true;
            family.add(member);
        }
    }

    /// The process that the session is named by counts in this slot from now on.
    fn begin_image(&mut self, slot: u32) {
        (self.home, self.slot) = (slot, slot);
        self.retiring.add(self.orders.take_spare().unwrap_or(0));
        self.previous = None;
        self.notes.begin_anew();
        self.locator.set_program(self.info.pid);
        self.target = TargetProcess::open(self.info.pid).ok();
        if let Some(command) = self.tracer.command_in(slot) {
            self.info.command = command;
        }
    }

    /// Gives a slot back in time, if nobody counts there any more.
    fn end_slot(&mut self, slot: u32) {
        if slot == 0 || slot == self.home || !self.tracer.is_final(slot) {
            return;
        }
        if let Some((_, member)) = self.family.as_mut().and_then(|family| family.in_slot(slot)) {
            member.info.exited = true;
            self.retiring.add(member.slot);
        }
        self.retiring.add(slot);
    }

    /// Takes over what slots have counted that nobody uses any more, and gives them back.
    pub(super) fn fold_unused(&mut self) {
        let (tables, tracer) = (&self.tables, &mut self.tracer);
        let may = |unused| (tables.is_empty() || unused >= PRESSING) && tracer.knows_all_stacks();
        let slots = self.retiring.take_unused(may);
        if slots.is_empty() {
            return;
        }
        // Before a slot is another's.
        self.leave_python(&slots);
        for slot in &slots {
            self.fold(*slot);
        }
        self.tracer.release_slots(&slots);
    }

    fn fold(&mut self, slot: u32) {
        let Some(done) = self.read_member(slot) else { return };
        let (names, places) = (&self.names, done.1.iter().flat_map(|sample| sample.stack.iter().copied()));
        self.nameless.extend(places.filter(|place| !names.knows(*place)));
        if let Some(family) = &mut self.family {
            family.keep(slot, done);
        }
    }

    /// What a member has done whose slot still holds it.
    pub(super) fn read_member(&mut self, slot: u32) -> Option<Done> {
        let (_, member) = self.family.as_mut()?.in_slot(slot)?;
        let slot = member.slot;
        let locator = member.locator.as_mut()?;
        if locator.take_changed()
            && let Some(store) = self.tracer.unwind_store()
        {
            store.publish(slot, locator.code_mappings());
        }
        let mut raw = self.tracer.read(slot);
        // After the stacks: what they name has come before them.
        self.take_python_codes();
        let (index, member) = self.family.as_mut()?.in_slot(slot)?;
        let locator = member.locator.as_mut()?;
        let samples = locator.samples(&raw, index, &mut self.threads);
        self.names.add_jit(&samples, locator);
        let cpu = self.cpu_of_member(self.family.as_ref()?.member_in(slot)?);
        raw.totals.cpu_nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        Some((raw.totals, samples, raw.stacks.iter().map(|stack| stack.unfollowed).collect()))
    }

    /// Places probes in allocators that a member has mapped and that are not probed yet.
    pub(super) fn probe_allocators_of_members(&mut self) {
        let Some(family) = &mut self.family else { return };
        let locators = family.counting().filter_map(|member| member.locator.as_mut());
        let found: Vec<_> = locators.flat_map(Locator::new_allocators).collect();
        for file in found {
            self.probe_late(file);
        }
    }
}
