//! From ids, as a file gives them, to places in its tables.

use std::collections::{HashMap, hash_map::Entry};

use crate::snapshot::SnapshotProblem;

/// The ids of a table.
#[derive(Debug)]
pub enum Ids {
    /// 1, 2, 3, as most programs number.
    InOrder(usize),
    /// Any others.
    Other(HashMap<u64, usize>),
}

impl Ids {
    /// Of the ids in the table's order; `what` names the table in errors.
    pub fn of(ids: impl Iterator<Item = u64> + Clone, what: &str) -> Result<Self, SnapshotProblem> {
        if ids.clone().zip(1..).all(|(id, expected)| id == expected) {
            return Ok(Self::InOrder(ids.count()));
        }
        let mut places = HashMap::new();
        for (place, id) in ids.enumerate() {
            match places.entry(id) {
                _ if id == 0 => return Err(SnapshotProblem::damaged(format!("a {what} has the id 0"))),
                Entry::Occupied(_) => return Err(SnapshotProblem::damaged(format!("two {what}s have the id {id}"))),
                Entry::Vacant(entry) => entry.insert(place),
            };
        }
        Ok(Self::Other(places))
    }

    /// The place of an id.
    pub fn place(&self, id: u64) -> Option<usize> {
        match self {
            Self::InOrder(count) => usize::try_from(id).ok()?.checked_sub(1).filter(|place| place < count),
            Self::Other(places) => places.get(&id).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids in any order lead to their place; 0, duplicates and unknown ones do not.
    #[test]
    fn ids_lead_to_their_place() {
        let of = |ids: &'static [u64]| Ids::of(ids.iter().copied(), "function");
        for (ids, id, place) in
            [(&[1, 2, 3][..], 3, Some(2)), (&[1, 2], 3, None), (&[1], 0, None), (&[7, u64::MAX], u64::MAX, Some(1))]
        {
            assert_eq!(of(ids).unwrap().place(id), place);
        }
        assert!(of(&[2, 2]).is_err_and(|error| error.to_string().contains("two functions have the id 2")));
        assert!(of(&[0]).is_err());
    }
}
