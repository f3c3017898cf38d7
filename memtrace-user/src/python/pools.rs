//! Pools of the interpreter's own allocator (pymalloc, `Objects/obmalloc.c`), told by their headers as they lie in memory: of the
//! objects in them nothing is seen, but how many there are and how large.

use super::Version;

/// Bytes of a pool's header. They come from an untrusted process.
pub const HEADER: usize = 48;

/// Size classes, each 16 bytes larger than the one before.
const CLASSES: u32 = 32;
const CLASS_BYTES: u64 = 16;

/// Bytes of a pool in a version, which are also what it is aligned to.
#[must_use]
pub const fn pool_bytes(version: Version) -> u64 {
    if matches!(version, Version(3, 10..)) { 16 << 10 } else { 4 << 10 }
}

/// Bytes of an arena in a version: what the interpreter maps at a time.
#[must_use]
pub const fn arena_bytes(version: Version) -> u64 {
    if matches!(version, Version(3, 10..)) { 1 << 20 } else { 256 << 10 }
}

/// What pools hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pooled {
    /// Objects.
    pub blocks: u64,
    /// Their bytes, rounded up to the size class.
    pub bytes: u64,
    /// Bytes of the pools that they are in.
    pub pool_bytes: u64,
}

impl Pooled {
    /// Adds what others hold.
    pub const fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
        self.pool_bytes += other.pool_bytes;
    }

    /// What the pool at an address holds; `None` when there is none, or it is empty. A header has four numbers that depend on
    /// each other, so what is none does not pass for one.
    #[must_use]
    pub fn of(header: &[u8; HEADER], address: u64, pool_bytes: u64) -> Option<Self> {
        let word = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let free = header[8..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        let (count, class) = (u64::from(word(0)), word(36));
        let (next, last) = (u64::from(word(40)), u64::from(word(44)));
        let size = u64::from(class).wrapping_add(1) * CLASS_BYTES;
        let begun = next.checked_sub(HEADER as u64)?;
        let is_inside = free == 0 || free.wrapping_sub(address) < pool_bytes;
        let is_pool = class < CLASSES
            && last == pool_bytes - size
            && next <= pool_bytes
            && begun.is_multiple_of(size)
            && count > 0
            && count <= begun / size
            && is_inside;
        is_pool.then(|| Self { blocks: count, bytes: count * size, pool_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(count: u32, free: u64, class: u32, next: u32, last: u32) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&count.to_ne_bytes());
        header[8..16].copy_from_slice(&free.to_ne_bytes());
        for (at, word) in [(36, class), (40, next), (44, last)] {
            header[at..at + 4].copy_from_slice(&word.to_ne_bytes());
        }
        header
    }

    /// A pool of objects of 64 bytes is known by its header; numbers that do not fit each other are those of no pool.
    #[test]
    fn pools_are_told_by_their_headers() {
        let of = |header| Pooled::of(&header, 0x10_0000, 16384);
        let expected = Some(Pooled { blocks: 7, bytes: 448, pool_bytes: 16384 });
        assert_eq!(of(header(7, 0x10_0030, 3, 48 + 640, 16320)), expected);
        assert_eq!(of(header(7, 0, 3, 48 + 448, 16320)), expected, "full");
        let others = [
            header(0, 0, 3, 48 + 640, 16320),
            header(11, 0, 3, 48 + 640, 16320),
            header(7, 0x20_0000, 3, 48 + 640, 16320),
            header(7, 0, 3, 48 + 650, 16320),
            header(7, 0, 3, 48 + 640, 16336),
            header(7, 0, u32::MAX, 48 + 640, 16384),
            header(7, 0, 3, 0, 16320),
            [0; HEADER],
            [0xff; HEADER],
        ];
        assert!(others.into_iter().all(|header| of(header).is_none()));
        let versions = [Version(3, 9), Version(3, 10), Version(3, 14)];
        assert_eq!(versions.map(pool_bytes), [4096, 16384, 16384]);
        assert_eq!(versions.map(arena_bytes), [1 << 18, 1 << 20, 1 << 20]);
    }
}
