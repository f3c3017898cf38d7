//! The rules of a table, each once: rows name them by number. A library has some hundreds of them.

use std::collections::HashMap;

use memtrace_common::unwind::kind;

/// Different rules in one file. libLLVM (200 MB) has 727; rows of a made-up file that has more are without support.
const MAX_RULES: usize = 1 << 16;
/// Rules that are found without hashing.
const RECENT: usize = 256;

/// Rules by number.
#[derive(Debug)]
pub(super) struct Dictionary {
    rules: Vec<u64>,
    numbers: HashMap<u64, u32>,
    recent: Box<[(u64, u32); RECENT]>,
}

/// Number of [`kind::NONE`].
pub(super) const NONE: u32 = 0;
/// Number of [`kind::UNSUPPORTED`].
pub(super) const UNSUPPORTED: u32 = 1;
/// Number of [`kind::OUTERMOST`].
pub(super) const OUTERMOST: u32 = 2;
/// Number of [`kind::CHAIN`].
pub(super) const CHAIN: u32 = 3;
/// Number of [`kind::SIGNAL`].
pub(super) const SIGNAL: u32 = 4;

impl Default for Dictionary {
    fn default() -> Self {
        let rules = vec![kind::NONE, kind::UNSUPPORTED, kind::OUTERMOST, kind::CHAIN, kind::SIGNAL];
        let numbers = rules.iter().copied().zip(0..).collect();
        Self { rules, numbers, recent: Box::new([(kind::NONE, NONE); RECENT]) }
    }
}

impl Dictionary {
    /// The number of a rule, which may be a new one.
    pub(super) fn number(&mut self, rule: u64) -> u32 {
        let recent = &mut self.recent[place(rule)];
        if recent.0 == rule {
            return recent.1;
        }
        let next = u32::try_from(self.rules.len()).unwrap_or(UNSUPPORTED);
        let number = match self.numbers.get(&rule) {
            Some(number) => *number,
            None if self.rules.len() >= MAX_RULES => UNSUPPORTED,
            None => {
                self.numbers.insert(rule, next);
                self.rules.push(rule);
                next
            }
        };
        *recent = (rule, number);
        number
    }

    /// All rules, by number.
    pub(super) fn rules(&self) -> &[u64] {
        &self.rules
    }
}

/// Where a rule is kept in `recent`: the upper bits of a multiplicative hash.
fn place(rule: u64) -> usize {
    (rule.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule keeps its number, and different rules have different ones, until there are too many.
    #[test]
    fn each_rule_has_one_number() {
        let mut dictionary = Dictionary::default();
        let numbers: Vec<u32> = (0..1000).map(|rule| dictionary.number(rule << 32 | 1)).collect();
        let again: Vec<u32> = (0..1000).map(|rule| dictionary.number(rule << 32 | 1)).collect();
        assert_eq!(numbers, again);
        for (rule, number) in (0_u64..1000).zip(numbers) {
            assert_eq!(dictionary.rules()[number as usize], rule << 32 | 1);
        }
        for rule in 0..MAX_RULES as u64 {
            dictionary.number(rule << 32 | 2);
        }
        assert_eq!(dictionary.rules().len(), MAX_RULES);
        assert_eq!(dictionary.number(u64::MAX), UNSUPPORTED);
    }

    /// The numbers that are constants are those of their rules.
    #[test]
    fn constants_are_right() {
        let dictionary = Dictionary::default();
        let rule = |number: u32| dictionary.rules()[number as usize];
        let rules = [rule(NONE), rule(UNSUPPORTED), rule(OUTERMOST), rule(CHAIN), rule(SIGNAL)];
        assert_eq!(rules, [kind::NONE, kind::UNSUPPORTED, kind::OUTERMOST, kind::CHAIN, kind::SIGNAL]);
    }
}
