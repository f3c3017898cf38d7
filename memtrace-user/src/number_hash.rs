//! A hash for tables whose keys are a few numbers, or short texts: several times as fast as that of std, and as hard to attack.
//!
//! Grouping asks such tables some millions of times, and the numbers come from untrusted files: a hash without a secret
//! would let a file choose keys that all fall together. So the state starts at a number that is drawn once a table, and
//! each word is folded in by a multiplication to 128 bits, as in `wyhash` and `foldhash`.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
};

/// A map from a few numbers.
pub(crate) type NumberMap<K, V> = HashMap<K, V, NumberHash>;

/// A set of the same.
pub(crate) type NumberSet<K> = HashSet<K, NumberHash>;

/// Odd, with its bits well spread: the golden ratio's fraction.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes hashers with one secret.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumberHash(u64);

impl Default for NumberHash {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u64))
    }
}

impl BuildHasher for NumberHash {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher(self.0)
    }
}

/// One hash in the making.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number).wrapping_mul(u128::from(MULTIPLIER | 1));
        let (low, high) = (product & u128::from(u64::MAX), product >> 64);
        self.0 = u64::try_from(low ^ high).unwrap_or_default().rotate_left(23);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in a row, and numbers that differ in their high bits alone, spread over a table.
    #[test]
    fn regular_numbers_spread() {
        for stride in [1_u64, 16, 4096, 1 << 32, 1 << 48] {
            let hash = NumberHash::default();
            let mut buckets = [0_u32; 256];
            for index in 0..4096 {
                let hashed = hash.hash_one(index * stride);
                buckets[usize::try_from(hashed % 256).unwrap_or_default()] += 1;
            }
            let fullest = buckets.iter().max().copied().unwrap_or_default();
            assert!(fullest < 80, "{fullest} of 4096 numbers in one of 256 buckets, stride {stride}");
        }
    }

    /// Two tables have different secrets.
    #[test]
    fn secrets_differ() {
        assert_ne!(NumberHash::default().hash_one(1_u64), NumberHash::default().hash_one(1_u64));
    }
}
