//! Puts Python frames where they belong on a native stack: in the place of the interpreter's loop that runs them.
//!
//! To 3.10 the loop is called once for each frame. From then on one call runs Python functions that call each other: to the
//! frame that native code has called (3.11), or to the mark that it leaves (from 3.12 on).

use memtrace_common::python::frame;

use super::Version;

/// Which frames one call of the loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// One.
    Each,
    /// Those up to one that native code has called, with it.
    ToEntry,
    /// Those up to a mark.
    ToMark,
}

/// A frame of the merged stack: an index on the native one, or of a Python frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Index of a return address.
    Native(usize),
    /// Index of a word.
    Python(usize),
}

impl Rule {
    /// That of a version.
    #[must_use]
    pub const fn of(version: Version) -> Self {
        match version {
            Version(3, 11) => Self::ToEntry,
            Version(3, ..=10) => Self::Each,
            _ => Self::ToMark,
        }
    }

    /// Whether the loop's call ends with this word.
    const fn ends(self, word: u64) -> bool {
        match self {
            Self::Each => true,
            Self::ToEntry => word & frame::ENTRY != 0,
            Self::ToMark => word & frame::MARK != 0,
        }
    }
}

/// Merges a stack, innermost first. `is_loop` says which native frames are the interpreter's loop. A loop's frame for which
/// there is no Python frame stays; Python frames for which there is no loop, as the native stack is not whole, follow at the
/// end.
#[must_use]
pub fn merge(rule: Rule, native: impl Iterator<Item = bool>, words: &[u64]) -> Vec<Piece> {
    let mut rest = 0;
    let mut pieces = Vec::new();
    for (index, is_loop) in native.enumerate() {
        if !is_loop || rest == words.len() {
            pieces.push(Piece::Native(index));
            continue;
        }
        let after = words[rest..].iter().position(|word| rule.ends(*word)).map_or(words.len(), |at| rest + at + 1);
        pieces.extend(frames(words, rest..after));
        rest = after;
    }
    pieces.extend(frames(words, rest..words.len()));
    pieces
}

fn frames(words: &[u64], range: std::ops::Range<usize>) -> impl Iterator<Item = Piece> {
    range.filter(|index| words[*index] & frame::MARK == 0).map(Piece::Python)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` native frames and `e` ones of the loop; Python frames are letters, those that native code has called upper case,
    /// and marks are `|`.
    fn merged(rule: Rule, native: &str, python: &str) -> String {
        let word = |c: char| match c {
            '|' => frame::pack(0, 0, frame::MARK),
            c => frame::pack(1, 0, if c.is_uppercase() { frame::ENTRY } else { 0 }),
        };
        let words: Vec<u64> = python.chars().map(word).collect();
        let letter = |piece| match piece {
            Piece::Native(index) => native.as_bytes()[index] as char,
            Piece::Python(index) => python.as_bytes()[index] as char,
        };
        merge(rule, native.chars().map(|c| c == 'e'), &words).into_iter().map(letter).collect()
    }

    /// Frames take the place of the loop that runs them, in each version's way.
    #[test]
    fn frames_take_the_place_of_their_loop() {
        assert_eq!(merged(Rule::Each, "nene-", "ab"), "nanb-");
        assert_eq!(merged(Rule::ToEntry, "nene-", "abCD"), "nabCnD-");
        assert_eq!(merged(Rule::ToMark, "nene-", "ab|c|"), "nabnc-");
        assert_eq!(merged(Rule::ToMark, "n-", ""), "n-");
    }

    /// A native stack that is not whole loses no Python frame, and a loop without frames stays.
    #[test]
    fn what_does_not_match_is_kept() {
        assert_eq!(merged(Rule::ToMark, "ne", "a|bc|d|"), "nabcd");
        assert_eq!(merged(Rule::ToEntry, "neene", "aB"), "naBene");
        assert_eq!(merged(Rule::Each, "", "ab"), "ab");
    }
}
