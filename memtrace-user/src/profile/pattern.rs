//! Looks a name up among patterns with at most one `*`, without trying them all.

use std::collections::HashMap;

/// Patterns by their first byte, as a table of hundreds is asked about thousands of names a second.
#[derive(Debug, Clone, Default)]
pub(super) struct PatternSet {
    by_first_byte: HashMap<u8, Vec<Pattern>>,
    any_start: Vec<Pattern>,
}

/// Text before the `*` and, when there is one, the text after it.
#[derive(Debug, Clone, Copy)]
struct Pattern {
    before: &'static str,
    after: Option<&'static str>,
}

impl Pattern {
    fn parse(text: &'static str) -> Self {
        match text.split_once('*') {
            Some((before, after)) => Self { before, after: Some(after) },
            None => Self { before: text, after: None },
        }
    }

    fn matches(self, name: &str) -> bool {
        match self.after {
            None => name == self.before,
            Some(after) => name.strip_prefix(self.before).is_some_and(|rest| rest.ends_with(after)),
        }
    }
}

impl PatternSet {
    /// Takes patterns of at most one `*`.
    pub(super) fn new(patterns: &[&'static str]) -> Self {
        let mut set = Self::default();
        for pattern in patterns.iter().map(|text| Pattern::parse(text)) {
            match pattern.before.bytes().next() {
                Some(byte) => set.by_first_byte.entry(byte).or_default().push(pattern),
                None => set.any_start.push(pattern),
            }
        }
        set
    }

    /// Whether any pattern matches the whole name.
    pub(super) fn matches(&self, name: &str) -> bool {
        let same_start = name.bytes().next().and_then(|byte| self.by_first_byte.get(&byte));
        same_start.into_iter().flatten().chain(&self.any_start).any(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::PatternSet;

    /// A star matches any text, also none, at the start, in the middle or at the end; nothing else is special.
    #[test]
    fn star_matches_any_text_once() {
        let set = PatternSet::new(&["exact", "head*", "*_tail", "a*b"]);
        for name in ["exact", "head", "header", "x_tail", "_tail", "ab", "a::b"] {
            assert!(set.matches(name), "{name}");
        }
        for name in ["", "exactly", "inexact", "hea", "tail", "a", "b", "abc", "ba"] {
            assert!(!set.matches(name), "{name}");
        }
    }
}
