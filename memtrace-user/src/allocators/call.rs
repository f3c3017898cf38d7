//! What a call of an allocator function does, as the BPF programs need to know it.

use memtrace_common::call::{ARGUMENTS, field, flag, kind};

/// What a function does with blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Hands one out.
    Allocate,
    /// Takes one and hands out another in its place.
    Reallocate,
    /// Changes the size of one in place, and returns its size (`xallocx`).
    Resize,
    /// Takes one back.
    Release,
}

/// What a call does. Arguments are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What it does with blocks.
    pub kind: Kind,
    /// Argument with the bytes asked for.
    size: Option<u8>,
    /// Argument with the number of such sizes.
    count: Option<u8>,
    /// Argument with bytes that are welcome beyond the size.
    extra: Option<u8>,
    /// Argument with the block that is taken.
    block: Option<u8>,
    /// Argument that says where the result is stored, when it is not returned.
    result_at: Option<u8>,
    /// The return value is an error number, 0 on success.
    zero_is_success: bool,
    /// When it fails, the block that it took is freed.
    frees_on_failure: bool,
    /// It may throw an exception.
    throws: bool,
}

impl Call {
    const NOTHING: Self = Self {
        kind: Kind::Release,
        size: None,
        count: None,
        extra: None,
        block: None,
        result_at: None,
        zero_is_success: false,
        frees_on_failure: false,
        throws: false,
    };

    /// `ptr f(.., size, ..)`: malloc.
    #[must_use]
    pub const fn allocate(size: u8) -> Self {
        Self { kind: Kind::Allocate, size: Some(size), ..Self::NOTHING }
    }

    /// `ptr f(.., block, .., size, ..)`: realloc.
    #[must_use]
    pub const fn reallocate(block: u8, size: u8) -> Self {
        Self { kind: Kind::Reallocate, block: Some(block), ..Self::allocate(size) }
    }

    /// `real f(block, size, extra, ..)`: xallocx.
    #[must_use]
    pub const fn resize(block: u8, size: u8, extra: u8) -> Self {
        Self { kind: Kind::Resize, extra: Some(extra), ..Self::reallocate(block, size) }
    }

    /// `f(.., block, ..)`: free.
    #[must_use]
    pub const fn release(block: u8) -> Self {
        Self { block: Some(block), ..Self::NOTHING }
    }

    /// The size is to be multiplied by another argument: calloc.
    #[must_use]
    pub const fn times(self, count: u8) -> Self {
        Self { count: Some(count), ..self }
    }

    /// The result is stored where an argument says.
    #[must_use]
    pub const fn stored_at(self, argument: u8) -> Self {
        Self { result_at: Some(argument), ..self }
    }

    /// The return value is an error number, 0 on success: `posix_memalign`.
    #[must_use]
    pub const fn zero_is_success(self) -> Self {
        Self { zero_is_success: true, ..self }
    }

    /// When it fails, the block that it took is freed: reallocf.
    #[must_use]
    pub const fn frees_on_failure(self) -> Self {
        Self { frees_on_failure: true, ..self }
    }

    /// It throws when there is no memory: operator new. An exception cannot pass a return probe (the unwinder meets the
    /// kernel's trampoline, knows no rule for it, and terminates the program), so none is placed.
    #[must_use]
    pub const fn throws(self) -> Self {
        Self { throws: true, ..self }
    }

    /// Whether an exception may leave it.
    #[must_use]
    pub const fn may_throw(self) -> bool {
        self.throws
    }

    /// What travels in the probe's cookie; `by_exits` when its end is seen at its exits, not by a return probe.
    #[must_use]
    pub const fn cookie(self, by_exits: bool) -> u64 {
        const fn argument(index: Option<u8>, field: u32) -> u64 {
            match index {
                Some(index) => (index as u64 + 1) << field,
                None => 0,
            }
        }
        const fn flag(is_set: bool, flag: u64) -> u64 {
            if is_set { flag } else { 0 }
        }
        let kind = match self.kind {
            Kind::Allocate => kind::ALLOCATE,
            Kind::Reallocate => kind::REALLOCATE,
            Kind::Resize => kind::RESIZE,
            Kind::Release => kind::RELEASE,
        };
        kind << field::KIND
            | argument(self.size, field::SIZE)
            | argument(self.count, field::COUNT)
            | argument(self.extra, field::EXTRA)
            | argument(self.block, field::BLOCK)
            | argument(self.result_at, field::RESULT)
            | flag(self.zero_is_success, flag::ZERO_IS_SUCCESS)
            | flag(self.frees_on_failure, flag::FREES_ON_FAILURE)
            | flag(by_exits, flag::BY_EXITS)
            | flag(by_exits && self.throws && matches!(self.kind, Kind::Allocate), flag::THROWS)
    }

    /// Indexes of the arguments that the BPF program reads at the probe point.
    #[must_use]
    pub fn arguments(self) -> Vec<usize> {
        let read = [self.size, self.count, self.extra, self.block, self.result_at];
        read.into_iter().flatten().map(usize::from).filter(|index| *index < ARGUMENTS).collect()
    }

    /// Whether the outcome counts, so that the end of a call has to be seen.
    #[must_use]
    pub const fn needs_return(self) -> bool {
        !matches!(self.kind, Kind::Release)
    }

    /// The argument with the block, of a function that takes one back.
    #[must_use]
    pub fn released(self) -> Option<usize> {
        self.block.filter(|_| !self.needs_return()).map(usize::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each part of a call is found again in its cookie, and no two calls have the same.
    #[test]
    fn cookies_say_it_all() {
        use memtrace_common::call::get;
        let cookie = Call::resize(0, 1, 5).cookie(false);
        let parts = [field::KIND, field::SIZE, field::COUNT, field::EXTRA, field::BLOCK, field::RESULT];
        assert_eq!(parts.map(|field| get(cookie, field)), [kind::RESIZE, 2, 0, 6, 1, 0]);
        let calls = [
            Call::allocate(0),
            Call::allocate(1),
            Call::allocate(0).times(1),
            Call::allocate(0).stored_at(1),
            Call::allocate(0).stored_at(1).zero_is_success(),
            Call::reallocate(0, 1),
            Call::reallocate(0, 1).frees_on_failure(),
            Call::release(0),
            Call::release(1),
        ];
        let cookies: std::collections::BTreeSet<u64> = calls.iter().map(|call| call.cookie(false)).collect();
        assert_eq!(cookies.len(), calls.len());
        assert!(!cookies.contains(&0), "BPF reads an unset cookie as zero");
    }

    /// A function that throws is marked so only where its end is seen without a return probe.
    #[test]
    fn throwing_functions_are_seen_by_their_exits() {
        assert_eq!(Call::allocate(0).throws().cookie(true) >> 32, (flag::BY_EXITS | flag::THROWS) >> 32);
        assert_eq!(Call::allocate(0).cookie(true) >> 32, flag::BY_EXITS >> 32);
    }
}
