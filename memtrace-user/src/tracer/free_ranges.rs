//! Which places of an array are free: runs are taken first fit and given back.

use std::ops::Range;

/// Free places, as ranges in order that do not touch.
#[derive(Debug)]
pub struct FreeRanges {
    ranges: Vec<Range<u32>>,
    size: u32,
}

impl FreeRanges {
    /// All of an array's places.
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self { ranges: std::iter::once(0..size).collect(), size }
    }

    /// Takes a run of this length; `None` when there is none.
    pub fn take(&mut self, length: u32) -> Option<u32> {
        if length == 0 {
            return Some(0);
        }
        let index = self.ranges.iter().position(|range| range.end - range.start >= length)?;
        let range = &mut self.ranges[index];
        let start = range.start;
        range.start += length;
        if range.start == range.end {
            self.ranges.remove(index);
        }
        Some(start)
    }

    /// Gives a run back.
    pub fn give_back(&mut self, start: u32, length: u32) {
        if length == 0 {
            return;
        }
        let at = self.ranges.partition_point(|range| range.start < start);
        self.ranges.insert(at, start..start + length);
        self.join(at + 1);
        self.join(at);
    }

    /// Makes one of a range and the one before it, where they touch.
    fn join(&mut self, at: usize) {
        let touch = at > 0 && self.ranges.get(at).is_some_and(|range| range.start == self.ranges[at - 1].end);
        if touch {
            self.ranges[at - 1].end = self.ranges[at].end;
            self.ranges.remove(at);
        }
    }

    /// Whether nothing is taken.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        self.longest() == self.size
    }

    /// The longest run that can be taken.
    #[must_use]
    pub fn longest(&self) -> u32 {
        self.ranges.iter().map(|range| range.end - range.start).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Runs that are taken lie within the array and never overlap, and once all are given back, all is free.
        #[test]
        fn runs_are_apart(steps in prop::collection::vec((any::<bool>(), 0..40_u32, any::<prop::sample::Index>()), 1..200)) {
            let mut free = FreeRanges::new(100);
            let mut taken: Vec<(u32, u32)> = Vec::new();
            for (take, length, which) in steps {
                if take {
                    let longest = free.longest();
                    match free.take(length) {
                        Some(start) => {
                            prop_assert!(start + length <= 100);
                            let apart = |(other, size): &(u32, u32)| start + length <= *other || other + size <= start;
                            prop_assert!(length == 0 || taken.iter().all(apart));
                            taken.push((start, length));
                        }
                        None => prop_assert!(longest < length),
                    }
                } else if !taken.is_empty() {
                    let (start, length) = taken.swap_remove(which.index(taken.len()));
                    free.give_back(start, length);
                }
                taken.retain(|(_, length)| *length > 0);
            }
            for (start, length) in taken {
                free.give_back(start, length);
            }
            prop_assert!(free.is_unused());
        }
    }
}
