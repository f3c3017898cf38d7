//! A table of address ranges in which a later range replaces what it covers of earlier ones.

use std::collections::BTreeMap;

use crate::profile::ModuleId;

/// Code of one file (or of none: [`ModuleId::UNKNOWN`]) mapped at an address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Offset in the file of the first address.
    pub file_offset: u64,
    /// The file.
    pub module: ModuleId,
}

impl Region {
    /// Whether an address lies in it.
    #[must_use]
    pub const fn holds(&self, address: u64) -> bool {
        self.start <= address && address < self.end
    }
}

/// Regions that do not overlap, by their first address.
#[derive(Debug, Clone, Default)]
pub struct Regions(BTreeMap<u64, Region>);

impl Regions {
    /// The region that holds an address.
    pub fn containing(&self, address: u64) -> Option<&Region> {
        self.0.range(..=address).next_back().map(|(_, region)| region).filter(|region| region.holds(address))
    }

    /// Adds a region; parts of others that it covers are forgotten. Empty regions are ignored.
    pub fn insert(&mut self, region: Region) {
        if region.start >= region.end || self.0.get(&region.start) == Some(&region) {
            return;
        }
        self.cut(region.start, region.end);
        self.0.insert(region.start, region);
    }

    /// All regions, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Region> {
        self.0.values()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Number of regions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets the regions for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&Region) -> bool) {
        self.0.retain(|_, region| keep(region));
    }

    fn cut(&mut self, start: u64, end: u64) {
        if let Some(before) = self.0.range_mut(..start).next_back().map(|(_, region)| region) {
            let tail = *before;
            if tail.end > start {
                before.end = start;
                self.insert_tail(&tail, end);
            }
        }
        while let Some((&first, &covered)) = self.0.range(start..end).next() {
            self.0.remove(&first);
            self.insert_tail(&covered, end);
        }
    }

    fn insert_tail(&mut self, region: &Region, from: u64) {
        if region.end > from {
            let file_offset = region.file_offset.wrapping_add(from - region.start);
            self.0.insert(from, Region { start: from, file_offset, ..*region });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn region(start: u64, end: u64, module: u32) -> Region {
        Region { start, end, file_offset: 0x1000 * u64::from(module), module: ModuleId(module) }
    }

    /// A mapping in the middle of another leaves both ends, with the right offsets.
    #[test]
    fn middle_is_replaced() {
        let mut regions = Regions::default();
        regions.insert(region(0x100, 0x500, 1));
        regions.insert(region(0x200, 0x300, 2));
        assert_eq!(regions.containing(0x1ff), Some(&Region { end: 0x200, ..region(0x100, 0, 1) }));
        assert_eq!(regions.containing(0x2ff), Some(&region(0x200, 0x300, 2)));
        assert_eq!(
            regions.containing(0x300),
            Some(&Region { start: 0x300, file_offset: 0x1200, ..region(0, 0x500, 1) })
        );
        assert_eq!(regions.containing(0x500), None);
    }

    proptest! {
        /// The table answers as a plain array would in which each insertion overwrites its range.
        #[test]
        fn agrees_with_an_array(inserted in prop::collection::vec((0_u64..64, 0_u64..32), 0..40)) {
            let mut regions = Regions::default();
            let mut expected = [None; 100];
            for (index, (start, length)) in inserted.into_iter().enumerate() {
                let module = u32::try_from(index + 1).unwrap();
                let added = region(start, start + length, module);
                regions.insert(added);
                for address in start..start + length {
                    expected[usize::try_from(address).unwrap()] = Some((module, added.file_offset + address - start));
                }
            }
            for (address, expected) in (0..).zip(expected) {
                let found = regions.containing(address);
                prop_assert_eq!(found.map(|r| (r.module.0, r.file_offset + address - r.start)), expected);
            }
        }
    }
}
