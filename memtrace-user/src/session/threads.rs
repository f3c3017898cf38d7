//! The threads that are told apart, and their names.

use std::collections::HashMap;

use crate::{
    process::thread_name,
    profile::{RawThread, ThreadIndex, TracedThread},
};

/// Threads whose names are read anew at a reading.
const REFRESHED_AT_ONCE: usize = 256;

/// A thread that may still live.
#[derive(Debug)]
struct Living {
    index: usize,
    /// When it was started, once known: another thread may get its id.
    started: Option<u64>,
}

/// All threads met so far. Empty where they are not told apart.
#[derive(Debug, Default)]
pub struct Threads {
    list: Vec<TracedThread>,
    by_number: HashMap<u32, ThreadIndex>,
    living: Vec<Living>,
    /// Where in `living` the next reading of names begins.
    next: usize,
}

impl Threads {
    /// The place of a thread in the list. Its name is the newest that is known.
    pub fn index(&mut self, thread: &RawThread) -> ThreadIndex {
        let next = ThreadIndex(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        let index = *self.by_number.entry(thread.number).or_insert(next);
        if index == next {
            self.living.push(Living { index: self.list.len(), started: None });
            self.list.push(TracedThread { tid: thread.tid, name: thread.name.clone() });
        }
        index
    }

    /// Every thread, by index.
    #[must_use]
    pub fn list(&self) -> Vec<TracedThread> {
        self.list.clone()
    }

    /// Reads the names of threads that live, a part of them if there are many: threads name themselves after they have
    /// begun.
    pub fn refresh_names(&mut self, pid: u32) {
        let list = &mut self.list;
        let first = if self.next < self.living.len() { self.next } else { 0 };
        let mut last = self.living.len().min(first + REFRESHED_AT_ONCE);
        let mut at = first;
        while at < last {
            let living = &mut self.living[at];
            let thread = &mut list[living.index];
            match thread_name(pid, thread.tid) {
                Some((started, name)) if living.started.is_none_or(|known| known == started) => {
                    living.started = Some(started);
                    if *thread.name != *name {
                        thread.name = name.into();
                    }
                    at += 1;
                }
                _ => {
                    self.living.swap_remove(at);
                    last -= 1;
                }
            }
        }
        self.next = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread keeps its place; one that has its id later has another, and its own name.
    #[test]
    fn threads_of_one_id_are_told_apart() {
        let mut threads = Threads::default();
        let of = |number, name: &str| RawThread { number, tid: u32::MAX, name: name.into() };
        assert_eq!(threads.index(&of(1, "first")), ThreadIndex(0));
        assert_eq!(threads.index(&of(2, "second")), ThreadIndex(1));
        assert_eq!(threads.index(&of(1, "later")), ThreadIndex(0));
        threads.refresh_names(std::process::id());
        let names: Vec<_> = threads.list().iter().map(|thread| thread.name.to_string()).collect();
        assert_eq!(names, ["first", "second"]);
        assert!(threads.living.is_empty());
    }

    /// A thread that lives has the name that it has now.
    #[test]
    fn living_threads_have_their_newest_name() {
        let mut threads = Threads::default();
        let tid = nix::unistd::gettid().as_raw().cast_unsigned();
        threads.index(&RawThread { number: 1, tid, name: "before".into() });
        threads.refresh_names(std::process::id());
        let own = std::fs::read_to_string(format!("/proc/self/task/{tid}/comm")).expect("this thread lives");
        assert_eq!(&*threads.list()[0].name, own.trim_end());
    }
}
