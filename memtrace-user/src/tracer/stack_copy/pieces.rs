//! Puts the pieces of copied stacks together, as the BPF programs send them one after the other.

use std::collections::BTreeMap;

use memtrace_common::copy::{CopyHeader, STACK_BYTES};

use super::StackCopy;

/// Bytes of stacks that wait to be followed; what comes beyond is marked incomplete.
const MAX_BYTES: usize = 64 << 20;
/// Bytes of stacks that are kept for another attempt.
const MAX_WAITING: usize = 16 << 20;
/// Attempts to follow a stack when all tables are there: mappings may still be learnt of.
const MAX_ATTEMPTS: u32 = 8;
/// Attempts while tables are in the making. On a loaded machine that takes long; one that never comes is not waited for for ever.
const MAX_WAITS: u32 = 1000;

/// Stacks by their site, each as far as it has come.
#[derive(Debug, Default)]
pub struct Pieces {
    stacks: BTreeMap<u32, Waiting>,
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    stack: StackCopy,
    attempts: u32,
    waits: u32,
}

/// What an attempt to follow a stack has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// As far as it can be followed.
    Done,
    /// Out of what is known: another attempt may lead further.
    Again,
    /// The same, and tables of its process are in the making.
    Waits,
}

impl Pieces {
    /// Takes in a record of the ring buffer. One that is no piece, or whose predecessor was lost, is passed over.
    pub fn add(&mut self, record: &[u8]) {
        let Some((header, bytes)) = parse(record) else { return };
        if self.bytes + bytes.len() > MAX_BYTES {
            return;
        }
        self.bytes += bytes.len();
        if header.offset == 0 {
            let stack = StackCopy { header, bytes: bytes.to_vec() };
            self.stacks.insert(header.site, Waiting { stack, attempts: 0, waits: 0 });
            return;
        }
        let Some(Waiting { stack, .. }) = self.stacks.get_mut(&header.site) else { return };
        if header.offset == stack.bytes.len() as u64 {
            stack.bytes.extend_from_slice(bytes);
        }
    }

    /// Forgets the stacks of slots that are given back: their sites will be others'.
    pub fn forget(&mut self, slots: &[u32]) {
        self.stacks.retain(|_, waiting| !slots.contains(&waiting.stack.header.slot));
        self.bytes = self.bytes_waiting();
    }

    fn bytes_waiting(&self) -> usize {
        self.stacks.values().map(|waiting| waiting.stack.bytes.len()).sum()
    }

    /// Follows all stacks as far as they have come. Of some, more pieces may come as well.
    pub fn follow(&mut self, mut follow: impl FnMut(&StackCopy) -> Attempt) {
        let full = STACK_BYTES as usize;
        let mut kept = 0;
        self.stacks.retain(|_, Waiting { stack, attempts, waits }| {
            let length = stack.bytes.len();
            let has_more = length > 0 && length.is_multiple_of(full) && *attempts == 0;
            let again = match follow(stack) {
                Attempt::Waits if *waits < MAX_WAITS => {
                    *waits += 1;
                    true
                }
                attempt => {
                    *attempts += 1;
                    attempt != Attempt::Done && *attempts <= MAX_ATTEMPTS
                }
            };
            kept += length;
            (again || has_more) && kept <= MAX_WAITING
        });
        self.bytes = self.bytes_waiting();
    }
}

/// Header and bytes of a record.
fn parse(record: &[u8]) -> Option<(CopyHeader, &[u8])> {
    let (head, bytes) = record.split_at_checked(size_of::<CopyHeader>())?;
    let word = |at: usize| head.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_ne_bytes);
    let ids = word(0)?;
    let header = CopyHeader {
        site: u32::try_from(ids & 0xffff_ffff).ok()?,
        slot: u32::try_from(ids >> 32).ok()?,
        instruction: word(8)?,
        stack: word(16)?,
        frame: word(24)?,
        link: word(32)?,
        offset: word(40)?,
    };
    Some((header, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(site: u64, offset: u64, length: usize) -> Vec<u8> {
        let head: Vec<u8> =
            [site, 0x1000, 0x7000, 0x7008, 0, offset].iter().flat_map(|word| word.to_ne_bytes()).collect();
        [head, vec![7; length]].concat()
    }

    /// Pieces of stacks that arrive mixed are put together; what follows a lost piece is left out.
    #[test]
    fn pieces_are_put_together() {
        let full = STACK_BYTES as usize;
        let mut pieces = Pieces::default();
        let next = u64::from(STACK_BYTES);
        for (site, offset, length) in [(1, 0, full), (2, 0, full), (1, next, 100), (2, 2 * next, 100), (3, next, 100)] {
            pieces.add(&record(site, offset, length));
        }
        let lengths = |pieces: &mut Pieces| {
            let mut lengths = Vec::new();
            pieces.follow(|stack| {
                lengths.push((stack.header.site, stack.bytes.len()));
                Attempt::Done
            });
            lengths
        };
        assert_eq!(lengths(&mut pieces), [(1, full + 100), (2, full)]);
        pieces.add(&record(2, next, 10));
        assert_eq!(lengths(&mut pieces), [(2, full + 10)], "more of a stack that was followed before");
        pieces.add(&record(1, 0, full)[..20]);
        assert!(lengths(&mut pieces).is_empty(), "too short for a header");
    }

    /// A stack of a process that is gone does not become that of whoever has its site next.
    #[test]
    fn stacks_of_slots_are_forgotten() {
        let mut pieces = Pieces::default();
        pieces.add(&record(7 << 32 | 1, 0, 100));
        pieces.add(&record(8 << 32 | 2, 0, 100));
        pieces.forget(&[7, 9]);
        let mut sites = Vec::new();
        pieces.follow(|stack| {
            sites.push(stack.header.site);
            Attempt::Done
        });
        assert_eq!(sites, [2]);
    }

    /// How often a stack is followed whose attempts all come to this.
    fn attempts(attempt: Attempt) -> u32 {
        let mut pieces = Pieces::default();
        pieces.add(&record(1, 0, 100));
        let mut attempts = 0;
        for _ in 0..5000 {
            pieces.follow(|_| {
                attempts += 1;
                attempt
            });
        }
        attempts
    }

    /// A stack that another attempt may lead further is kept for some attempts, for many while tables are in the making, and not
    /// for ever.
    #[test]
    fn attempts_are_limited() {
        assert_eq!(attempts(Attempt::Done), 1);
        assert_eq!(attempts(Attempt::Again), MAX_ATTEMPTS + 1);
        assert_eq!(attempts(Attempt::Waits), MAX_WAITS + MAX_ATTEMPTS + 1);
    }
}
