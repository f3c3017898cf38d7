//! One copy of each name, however many locations have it.

use std::{collections::HashSet, sync::Arc};

/// Longest name kept, in bytes. Names come from untrusted files; the longest C++ names seen are below this.
const MAX_NAME_BYTES: usize = 16 << 10;

/// Fewer names than this are never swept.
const MIN_SWEEP: usize = 4096;

/// Shares equal strings, and forgets those that nobody else holds any more.
#[derive(Debug, Default)]
pub struct Interner {
    names: HashSet<Arc<str>>,
    sweep_at: usize,
}

impl Interner {
    /// The shared copy of a name.
    pub fn intern(&mut self, name: &str) -> Arc<str> {
        let name = &name[..name.floor_char_boundary(MAX_NAME_BYTES)];
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        if self.names.len() >= self.sweep_at {
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.sweep_at = (self.names.len() * 2).max(MIN_SWEEP);
        }
        let shared: Arc<str> = name.into();
        self.names.insert(Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Equal names share memory while they are in use; unused ones do not pile up.
    #[test]
    fn names_are_shared_and_swept() {
        let mut interner = Interner::default();
        let kept = interner.intern("kept");
        for index in 0..10 * MIN_SWEEP {
            interner.intern(&index.to_string());
        }
        assert!(interner.names.len() <= 2 * MIN_SWEEP);
        assert!(Arc::ptr_eq(&kept, &interner.intern("kept")));
    }

    /// A huge name is cut between characters.
    #[test]
    fn huge_name_is_cut() {
        let name = "é".repeat(MAX_NAME_BYTES);
        let cut = Interner::default().intern(&name);
        assert!(cut.len() <= MAX_NAME_BYTES && name.starts_with(&*cut) && !cut.is_empty());
    }
}
