//! Steps through a section of call frame information, entry by entry.
//!
//! gimli's own iterator gives up at the first entry that it cannot parse. Here each entry is found by the length of the
//! one before, so one of a kind that is not understood costs that function alone.

use super::sections::CfiKind;

/// Where an entry begins, as an offset in its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// What functions have in common (CIE).
    Common(usize),
    /// A function (FDE).
    Function(usize),
    /// The section ends within an entry. Nothing comes after it.
    CutShort,
}

/// The entries of a section, in its order.
#[derive(Debug)]
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    kind: CfiKind,
    at: usize,
}

impl<'a> Entries<'a> {
    pub(super) fn new(bytes: &'a [u8], kind: CfiKind) -> Self {
        Self { bytes, kind, at: 0 }
    }

    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    }

    fn double_word(&self, at: usize) -> Option<u64> {
        Some(u64::from(self.word(at)?) | u64::from(self.word(at.checked_add(4)?)?) << 32)
    }

    /// The entry at `at` and the offset of the next.
    fn entry(&self, at: usize) -> Option<(Entry, usize)> {
        let short = self.word(at)?;
        let long = short == u32::MAX;
        let (length, id) = if long {
            (usize::try_from(self.double_word(at.checked_add(4)?)?).ok()?, at.checked_add(12)?)
        } else {
            (short as usize, at.checked_add(4)?)
        };
        let next = id.checked_add(length).filter(|next| *next <= self.bytes.len())?;
        let common = match self.kind {
            CfiKind::EhFrame => self.word(id)? == 0,
            CfiKind::DebugFrame if long => self.double_word(id)? == u64::MAX,
            CfiKind::DebugFrame => self.word(id)? == u32::MAX,
        };
        Some((if common { Entry::Common(at) } else { Entry::Function(at) }, next))
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        while self.at < self.bytes.len() {
            if self.word(self.at) == Some(0) {
                // The end mark of `.eh_frame`; padding in `.debug_frame` (some assemblers write it).
                self.at = if self.kind == CfiKind::EhFrame { self.bytes.len() } else { self.at + 4 };
                continue;
            }
            let Some((entry, next)) = self.entry(self.at) else {
                self.at = self.bytes.len();
                return Some(Entry::CutShort);
            };
            self.at = next;
            return Some(entry);
        }
        None
    }
}
