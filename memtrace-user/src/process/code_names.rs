//! Names of functions that were compiled at run time, by address. Later ones replace what they cover of earlier ones, as
//! compilers reuse memory; each gets a key of its own, so that what was found before stays what it was.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Functions that are kept at most; beyond, new ones are not named.
const MAX_FUNCTIONS: usize = 1 << 20;
/// Bytes of a name; the rest is cut off.
const MAX_NAME: usize = 512;
/// Bits of an address of user space; a key has above them how often the address was used before.
const ADDRESS_BITS: u32 = 48;

/// A function.
#[derive(Debug, Clone)]
struct Function {
    end: u64,
    key: u64,
    name: Arc<str>,
}

/// Functions by their first address.
#[derive(Debug, Default)]
pub struct CodeNames {
    functions: BTreeMap<u64, Function>,
    /// How many functions have begun at an address.
    uses: HashMap<u64, u64>,
    /// Every name that there ever was, by key.
    names: HashMap<u64, Arc<str>>,
}

impl CodeNames {
    /// Adds a function; returns whether it is new.
    pub(super) fn add(&mut self, start: u64, size: u64, name: &str) -> bool {
        let end = start.saturating_add(size);
        let name = &name[..name.floor_char_boundary(MAX_NAME)];
        let is_known = self.functions.get(&start).is_some_and(|known| known.end == end && *known.name == *name);
        if is_known || start >> ADDRESS_BITS != 0 || self.names.len() >= MAX_FUNCTIONS {
            return false;
        }
        self.cut(start, end);
        let uses = self.uses.entry(start).or_default();
        let key = start | *uses << ADDRESS_BITS;
        // After 65,536 functions at one address the last key serves for all that follow.
        *uses = (*uses + 1).min(0xffff);
        let name: Arc<str> = name.into();
        self.names.insert(key, Arc::clone(&name));
        self.functions.insert(start, Function { end, key, name });
        true
    }

    /// The function at an address: a key that no other function ever has, and its name.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<(u64, &Arc<str>)> {
        let (_, function) = self.functions.range(..=address).next_back()?;
        (address < function.end).then_some((function.key, &function.name))
    }

    /// The name of a function by its key, also of one that has been replaced.
    #[must_use]
    pub fn name(&self, key: u64) -> Option<&Arc<str>> {
        self.names.get(&key)
    }

    /// Makes room for a function.
    fn cut(&mut self, start: u64, end: u64) {
        if let Some((_, before)) = self.functions.range_mut(..start).next_back() {
            before.end = before.end.min(start);
        }
        while let Some((&covered, _)) = self.functions.range(start..end).next() {
            self.functions.remove(&covered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(names: &CodeNames, address: u64) -> Option<&str> {
        names.find(address).map(|(_, name)| &**name)
    }

    /// A function compiled anew keeps its key when nothing changed; another one at its address gets another key.
    #[test]
    fn keys_are_never_used_again() {
        let mut names = CodeNames::default();
        assert!(names.add(0x1000, 0x20, "f"));
        let first = names.find(0x1010).expect("known").0;
        assert!(!names.add(0x1000, 0x20, "f"));
        assert_eq!(names.find(0x1010).expect("known").0, first);
        assert!(names.add(0x1000, 0x20, "g"));
        let second = names.find(0x1010).expect("known").0;
        assert!(names.add(0x1000, 0x20, "f"));
        let third = names.find(0x1010).expect("known").0;
        assert!(first != second && second != third && first != third);
        assert_eq!(names.name(second).map(|name| &**name), Some("g"), "though it has been replaced");
    }

    /// A function takes its place from those that it covers, and cuts one that reaches into it.
    #[test]
    fn later_functions_replace_earlier_ones() {
        let mut names = CodeNames::default();
        names.add(0x1000, 0x100, "long");
        names.add(0x1200, 0x10, "covered");
        names.add(0x1080, 0x200, "new");
        let found = [0x107f, 0x1080, 0x1200, 0x127f, 0x1280].map(|address| name(&names, address));
        assert_eq!(found, [Some("long"), Some("new"), Some("new"), Some("new"), None]);
        assert_eq!(name(&names, 0xfff), None);
    }

    /// A long name is cut at a character's border.
    #[test]
    fn long_names_are_cut() {
        let mut names = CodeNames::default();
        names.add(0x1000, 1, &"é".repeat(1000));
        assert_eq!(name(&names, 0x1000).map(str::len), Some(MAX_NAME));
    }
}
