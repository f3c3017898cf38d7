//! BPF array maps as shared memory: reading one costs no system call.

#![expect(unsafe_code, reason = "memory mapping; each block says why it is sound")]

use std::{
    io,
    marker::PhantomData,
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::process::page_size;

/// An array map of `T` mapped into memory, seen as 64-bit words: BPF programs change them at any time.
#[derive(Debug)]
pub struct MappedArray<T> {
    start: NonNull<AtomicU64>,
    entries: usize,
    length: NonZeroUsize,
    values: PhantomData<T>,
}

// SAFETY: shared memory of atomics, not tied to a thread; unmapped only on drop.
unsafe impl<T> Send for MappedArray<T> {}
// SAFETY: as above: every access is atomic.
unsafe impl<T> Sync for MappedArray<T> {}

impl<T> MappedArray<T> {
    /// Words of one value. BPF arrays place values at multiples of 8 bytes, and every shared type is a multiple.
    const WORDS: usize = size_of::<T>() / 8;

    /// Maps an array map that has the `BPF_F_MMAPABLE` flag and `entries` values.
    ///
    /// # Errors
    /// What mmap(2) says.
    pub fn new(map: impl AsFd, entries: u32) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8) && size_of::<T>() > 0) };
        let entries = entries as usize;
        let page = usize::try_from(page_size()).map_err(io::Error::other)?;
        let length = NonZeroUsize::new((entries * size_of::<T>()).next_multiple_of(page))
            .ok_or_else(|| io::Error::other("an empty map"))?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start =
            unsafe { mmap(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, map, 0)? };
        Ok(Self { start: start.cast(), entries, length, values: PhantomData })
    }

    /// The words of one value.
    ///
    /// # Panics
    /// When the index is not below the number of entries.
    #[must_use]
    pub fn words(&self, index: u32) -> &[AtomicU64] {
        let index = index as usize;
        assert!(index < self.entries, "index {index} in an array of {}", self.entries);
        // SAFETY: within the mapping, which lives as long as `self`; aligned, as mappings are to pages.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(index * Self::WORDS), Self::WORDS) }
    }

    /// One word of one value, at a byte offset as `offset_of!` gives it.
    #[must_use]
    pub fn load(&self, index: u32, byte_offset: usize) -> u64 {
        // Acquire: what BPF wrote before it published this word is seen after.
        self.words(index)[byte_offset / 8].load(Ordering::Acquire)
    }

    /// Writes one word of one value.
    pub fn store(&self, index: u32, byte_offset: usize, value: u64) {
        self.words(index)[byte_offset / 8].store(value, Ordering::Release);
    }

    /// Takes from one word of one value, which BPF programs may change at the same time.
    pub fn subtract(&self, index: u32, byte_offset: usize, value: u64) {
        self.words(index)[byte_offset / 8].fetch_sub(value, Ordering::Relaxed);
    }

    /// Number of values.
    #[must_use]
    pub const fn entries(&self) -> usize {
        self.entries
    }

    /// Bytes of kernel memory that the map takes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.length.get() as u64
    }
}

impl<T> Drop for MappedArray<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and no reference outlives `self`.
        let _ = unsafe { munmap(self.start.cast(), self.length.get()) };
    }
}
