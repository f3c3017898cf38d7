//! What the numbers cannot show, in sentences: memory that grows unseen, and what is not traced.

use std::collections::BTreeMap;

use crate::profile::{AllocStats, ProcessTotals};

/// Growth below this is no sign of anything: start-up, stacks, files.
const NOTABLE_GROWTH: u64 = 8 << 20;

/// Growth that allocations which were seen explain to less than this part is noted.
const EXPLAINED_PART: u64 = 8;

/// What a sentence is about whose numbers change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// What Python's own allocator hands out.
    PythonPools,
    /// What Python has held before it began with its program.
    PythonStart,
    /// How blocks are chosen to stay below `--max-overhead`, as long as that is not simply all.
    Budget,
    /// That the table of live blocks does not grow, though it fills.
    LiveTable,
}

/// Sentences that hold from some moment on, and the memory that the process had at the beginning.
#[derive(Debug, Default)]
pub struct Notes {
    lasting: Vec<String>,
    /// Sentences that replace what was said of the same before.
    newest: BTreeMap<Subject, String>,
    /// Anonymous memory at the first reading, in bytes.
    before: Option<u64>,
    /// The most that it has had since.
    most: u64,
}

impl Notes {
    /// Adds sentences, each once.
    pub fn extend(&mut self, notes: impl IntoIterator<Item = String>) {
        for note in notes {
            if !self.lasting.contains(&note) {
                self.lasting.push(note);
            }
        }
    }

    /// Says this of a subject, instead of what was said before; nothing any more with `None`.
    pub fn set(&mut self, subject: Subject, note: Option<String>) {
        match note {
            Some(note) => drop(self.newest.insert(subject, note)),
            None => drop(self.newest.remove(&subject)),
        }
    }

    /// Whether something is said of a subject.
    #[must_use]
    pub fn has(&self, subject: Subject) -> bool {
        self.newest.contains_key(&subject)
    }

    /// A new program runs in the process, which has no memory of its own yet.
    pub fn begin_anew(&mut self) {
        (self.before, self.most) = (Some(0), 0);
    }

    /// Takes in how much memory the process has.
    pub fn see_memory(&mut self, anonymous: Option<u64>) {
        if let Some(bytes) = anonymous {
            self.before.get_or_insert(bytes);
            self.most = self.most.max(bytes);
        }
    }

    /// All sentences.
    #[must_use]
    pub fn lines(&self, totals: &ProcessTotals) -> Vec<String> {
        let growth = self.most.saturating_sub(self.before.unwrap_or(self.most));
        self.lasting.iter().chain(self.newest.values()).cloned().chain(unseen(growth, &totals.stats)).collect()
    }
}

/// A sentence about growth that no allocation explains.
fn unseen(growth: u64, stats: &AllocStats) -> Option<String> {
    if growth < NOTABLE_GROWTH || stats.allocated_bytes.saturating_mul(EXPLAINED_PART) >= growth {
        return None;
    }
    let seen = if stats.allocated_blocks == 0 {
        "no allocation was seen"
    } else {
        "allocations of less than an eighth of that were seen"
    };
    Some(format!(
        "the process's own memory grew by {} MiB, but {seen}: it may map memory itself (mmap), or use an allocator that is \
         linked statically and stripped of its symbols, or one of its own (see --alloc)",
        growth >> 20
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(readings: &[u64], allocated_bytes: u64) -> usize {
        let mut notes = Notes::default();
        for bytes in readings {
            notes.see_memory(Some(*bytes));
        }
        let stats = AllocStats { allocated_blocks: allocated_bytes.min(1), allocated_bytes, ..AllocStats::default() };
        notes.lines(&ProcessTotals { stats, ..ProcessTotals::default() }).len()
    }

    /// Growth without allocations is noted, also when the memory has been given back; explained or small growth is not.
    #[test]
    fn unexplained_growth_is_noted() {
        assert_eq!(lines(&[1 << 20, 200 << 20], 0), 1);
        assert_eq!(lines(&[1 << 20, 200 << 20, 2 << 20], 1 << 20), 1);
        assert_eq!(lines(&[1 << 20, 200 << 20], 100 << 20), 0);
        assert_eq!(lines(&[100 << 20, 104 << 20], 0), 0);
        assert_eq!(lines(&[], 0), 0);
    }

    /// A sentence stands once, and one that replaces another stands alone.
    #[test]
    fn notes_stand_once() {
        let mut notes = Notes::default();
        notes.extend(["a".to_owned(), "a".to_owned()]);
        assert_eq!(notes.lines(&ProcessTotals::default()), ["a"]);
        notes.set(Subject::Budget, Some("b".to_owned()));
        notes.set(Subject::Budget, Some("c".to_owned()));
        assert_eq!(notes.lines(&ProcessTotals::default()), ["a", "c"]);
        notes.set(Subject::Budget, None);
        assert!(notes.lines(&ProcessTotals::default()) == ["a"] && !notes.has(Subject::Budget));
    }
}
