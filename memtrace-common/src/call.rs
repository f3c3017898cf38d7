//! What a probed function does, as the BPF programs need to know it: packed into the 64 bits of the probe's cookie.
//!
//! Fields of four bits that name an argument hold its index plus one, and 0 for none: arguments are numbered from 0,
//! and [`ARGUMENTS`] of them can be read.

/// Arguments that are passed in registers on every machine that memtrace runs on.
pub const ARGUMENTS: usize = 6;

/// What a function does.
pub mod kind {
    /// Hands out a block.
    pub const ALLOCATE: u64 = 1;
    /// Takes a block and hands out another in its place, perhaps at the same address.
    pub const REALLOCATE: u64 = 2;
    /// Changes the size of a block that stays where it is, and returns the size that it has then (`xallocx`).
    pub const RESIZE: u64 = 3;
    /// Takes a block back.
    pub const RELEASE: u64 = 4;
}

/// Places of the fields.
pub mod field {
    /// A constant of [`super::kind`].
    pub const KIND: u32 = 0;
    /// Argument with the bytes asked for.
    pub const SIZE: u32 = 4;
    /// Argument with the number of such sizes.
    pub const COUNT: u32 = 8;
    /// Argument with bytes that are welcome beyond the size.
    pub const EXTRA: u32 = 12;
    /// Argument with the block that is taken.
    pub const BLOCK: u32 = 16;
    /// Argument that says where the result is stored; none: it is returned.
    pub const RESULT: u32 = 20;
}

/// Properties, one bit each.
pub mod flag {
    /// The return value is an error number (32 bits), and the result valid only if that is 0.
    pub const ZERO_IS_SUCCESS: u64 = 1 << 32;
    /// A reallocation that fails frees the block.
    pub const FREES_ON_FAILURE: u64 = 1 << 33;
    /// The end of the call is seen at the function's own exits, not by a return probe.
    pub const BY_EXITS: u64 = 1 << 34;
    /// The function may be left by an exception, so that its end may never be seen; what it calls within counts instead
    /// of it, if that returns the same block. Always with [`BY_EXITS`].
    pub const THROWS: u64 = 1 << 35;
    /// The function may call others that are probed, so its end is awaited even where it is of no interest itself: what is
    /// called meanwhile is not the program's.
    pub const NESTS: u64 = 1 << 36;
}

/// Cookies of the probes at the exits of functions.
pub mod exit {
    /// A return: the result is in its register.
    pub const RETURN: u64 = 0;
    /// A jump to a function that returns its first argument (memset and its like): the result is there.
    pub const RESULT_IN_ARGUMENT0: u64 = 1;
}

/// The number in a field.
#[must_use]
#[inline]
pub const fn get(shape: u64, field: u32) -> u64 {
    shape >> field & 0xf
}
