//! The processes that are traced at the moment: each image of each of them is a member, until its slot is given back.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::super::locate::Locator;
use crate::profile::{AllocStats, ProcessKey};

/// Time from the beginning of a member to the first look at what it has mapped: most of a storm are gone by then.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// The same for one that was forked: it has its parent's mappings, by which its stacks are followed.
const FIRST_LOOK_AT_FORKED: Duration = Duration::from_millis(200);

/// Growth is told over so much time.
const GROWTH_TIME: Duration = Duration::from_mins(1);

/// Live bytes are remembered at this distance.
const GROWTH_STEP: Duration = Duration::from_secs(5);

/// Who a process is. Children that have not executed a program are what their parents are.
#[derive(Debug, Clone, Default)]
pub(super) struct About {
    pub(super) command: Arc<str>,
    pub(super) uid: u32,
    pub(super) user: Arc<str>,
    pub(super) container: Option<Arc<str>>,
    /// It has been asked of the process itself.
    pub(super) is_known: bool,
}

/// One image of a process.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: ProcessKey,
    pub(super) pid: u32,
    pub(super) slot: u32,
    pub(super) about: Arc<About>,
    /// What it maps; `None` until it is looked at.
    pub(super) locator: Option<Locator>,
    pub(super) has_exited: bool,
    /// The last reading.
    pub(super) previous: Option<(Duration, AllocStats)>,
    /// The last reading of its call stacks.
    pub(super) previous_look: Option<(Duration, AllocStats)>,
    live: VecDeque<(Duration, u64)>,
    due: Option<Instant>,
}

impl Member {
    /// Live bytes more than a minute ago, or than at the beginning.
    pub(super) fn growth(&mut self, elapsed: Duration, live: u64) -> i64 {
        let last = self.live.back().map(|(time, _)| *time);
        if last.is_none_or(|last| elapsed.saturating_sub(last) >= GROWTH_STEP) {
            self.live.push_back((elapsed, live));
        }
        // The newest that is old enough stays in front.
        while self.live.get(1).is_some_and(|(time, _)| elapsed.saturating_sub(*time) >= GROWTH_TIME) {
            self.live.pop_front();
        }
        let is_old = |time: &Duration| elapsed.saturating_sub(*time) >= GROWTH_TIME;
        let before = self.live.front().filter(|(time, _)| is_old(time)).map_or(0, |(_, bytes)| *bytes);
        i64::try_from(i128::from(live) - i128::from(before)).unwrap_or(i64::MAX)
    }
}

/// The members.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_slot: HashMap<u32, Member>,
    /// Slots of images that run.
    by_pid: HashMap<u32, u32>,
    due: BTreeSet<(Instant, u32)>,
    last_key: u64,
}

impl Members {
    /// A member that has executed a program, or was found running.
    pub(super) fn add(&mut self, pid: u32, slot: u32, about: Arc<About>) {
        self.add_due(pid, slot, about, FIRST_LOOK);
    }

    /// A member that another has forked.
    pub(super) fn add_forked(&mut self, pid: u32, slot: u32, parent: u32) {
        let about = self.by_slot.get(&parent).map(|member| Arc::clone(&member.about)).unwrap_or_default();
        self.add_due(pid, slot, about, FIRST_LOOK_AT_FORKED);
    }

    fn add_due(&mut self, pid: u32, slot: u32, about: Arc<About>, after: Duration) {
        self.remove(slot);
        self.last_key += 1;
        let key = ProcessKey(self.last_key);
        let (locator, previous, previous_look, live, due) = Default::default();
        let member = Member { key, pid, slot, about, locator, has_exited: false, previous, previous_look, live, due };
        self.by_slot.insert(slot, member);
        self.by_pid.insert(pid, slot);
        self.look_at(slot, after);
    }

    /// What a member maps is looked at after this time, or earlier if that was to be.
    fn look_at(&mut self, slot: u32, after: Duration) {
        let Some(member) = self.by_slot.get_mut(&slot) else { return };
        let due = Instant::now() + after;
        match member.due {
            Some(earlier) if earlier <= due => return,
            Some(later) => drop(self.due.remove(&(later, slot))),
            None => {}
        }
        member.due = Some(due);
        self.due.insert((due, slot));
    }

    /// A process has mapped more code; with `at_once` it is a file that has not been met.
    pub(super) fn mapped(&mut self, pid: u32, at_once: bool) {
        if let Some(slot) = self.by_pid.get(&pid).copied() {
            self.look_at(slot, if at_once { Duration::ZERO } else { FIRST_LOOK });
        }
    }

    /// Resolves when the mappings of a member are to be looked at. May be dropped at any await.
    pub(super) async fn due(&self) {
        match self.due.first() {
            Some((due, _)) => sleep_until(*due).await,
            None => std::future::pending().await,
        }
    }

    /// Slots whose mappings are to be looked at, at most so many.
    pub(super) fn take_due(&mut self, most: usize) -> Vec<u32> {
        let now = Instant::now();
        let slots: Vec<u32> =
            self.due.iter().take_while(|(due, _)| *due <= now).take(most).map(|(_, slot)| *slot).collect();
        for slot in &slots {
            if let Some(member) = self.by_slot.get_mut(slot)
                && let Some(due) = member.due.take()
            {
                self.due.remove(&(due, *slot));
            }
        }
        slots
    }

    /// The image that ran in a slot runs no more.
    pub(super) fn leave(&mut self, slot: u32) {
        let Some(member) = self.by_slot.get_mut(&slot) else { return };
        member.has_exited = true;
        if let Some(due) = member.due.take() {
            self.due.remove(&(due, slot));
        }
        if self.by_pid.get(&member.pid) == Some(&slot) {
            self.by_pid.remove(&member.pid);
        }
    }

    /// The image that runs in a process runs no more.
    pub(super) fn leave_process(&mut self, pid: u32) {
        if let Some(slot) = self.by_pid.get(&pid).copied() {
            self.leave(slot);
        }
    }

    /// All that run are looked at, by and by.
    pub(super) fn look_at_all(&mut self) {
        let slots: Vec<u32> = self.by_pid.values().copied().collect();
        for slot in slots {
            self.look_at(slot, FIRST_LOOK);
        }
    }

    /// Forgets a member.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Member> {
        self.leave(slot);
        self.by_slot.remove(&slot)
    }

    /// The member in a slot.
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Member> {
        self.by_slot.get_mut(&slot)
    }

    /// The member of a key.
    pub(super) fn slot_of(&self, key: ProcessKey) -> Option<u32> {
        self.by_slot.values().find(|member| member.key == key).map(|member| member.slot)
    }

    /// Whether a process has a member that runs.
    pub(super) fn has_pid(&self, pid: u32) -> bool {
        self.by_pid.contains_key(&pid)
    }

    /// The slot of a process's image that runs.
    pub(super) fn slot_of_pid(&self, pid: u32) -> Option<u32> {
        self.by_pid.get(&pid).copied()
    }

    /// Those that run.
    pub(super) fn running_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_slot.values_mut().filter(|member| !member.has_exited)
    }

    /// All of them.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_slot.values_mut()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_slot.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Growth is told since the beginning, and after a minute since a minute ago; it may be negative.
    #[test]
    fn growth_is_over_the_last_minute() {
        let mut members = Members::default();
        members.add(7, 1, Arc::default());
        let member = members.get_mut(1).expect("a member");
        let at = |seconds| Duration::from_secs(seconds);
        assert_eq!(member.growth(at(0), 100), 100);
        for second in 1..60 {
            assert_eq!(member.growth(at(second), 1000), 1000);
        }
        assert_eq!(member.growth(at(60), 1000), 900);
        assert_eq!(member.growth(at(66), 400), -600);
        for second in 67..10_000 {
            member.growth(at(second), 400);
            assert!(member.live.len() <= 14);
        }
        assert_eq!(member.growth(at(10_000), 400), 0);
    }

    /// A slot that is used again has another key; the one before is gone.
    #[test]
    fn slots_are_used_again() {
        let mut members = Members::default();
        members.add(7, 1, Arc::default());
        let first = members.get_mut(1).expect("a member").key;
        members.leave(1);
        assert!(!members.has_pid(7) && members.len() == 1);
        members.add_forked(8, 1, 3);
        assert_eq!((members.slot_of(first), members.slot_of_pid(8), members.len()), (None, Some(1), 1));
        members.mapped(8, true);
        assert_eq!(members.take_due(10), [1]);
        assert!(members.take_due(10).is_empty());
    }
}
