//! Which functions hand out and take back memory, allocator by allocator.
//!
//! One file an allocator, one line in [`ALL`]. What an object is gets decided by the symbols that it defines, never by
//! its path: copies, containers and static executables put a libc anywhere.

mod glibc;

use memtrace_common::call;

/// Every known allocator, in the order in which an object is tried: the most specific first.
pub static ALL: &[&Allocator] = &[&glibc::GLIBC];

/// An allocator and the functions to probe in it.
#[derive(Debug)]
pub struct Allocator {
    /// The name that people know it by.
    pub name: &'static str,
    /// Symbols of which one at least is defined by this allocator and by no other.
    pub marks: &'static [&'static str],
    /// Functions to probe. Those that an object does not define are passed over.
    pub functions: &'static [AllocatorFunction],
}

/// A function of an allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllocatorFunction {
    /// Its symbol, without version.
    pub name: &'static str,
    /// What a call does.
    pub call: Call,
}

/// What a call of an allocator function does, as the BPF programs need to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `ptr f(size)`.
    AllocateArg0,
    /// `ptr f(_, size)`.
    AllocateArg1,
    /// `ptr f(count, size)`.
    AllocateProduct,
    /// `ptr f(ptr, size)`.
    Reallocate,
    /// `int f(ptr *, _, size)`, zero on success.
    AllocateThroughArg0,
    /// `f(ptr, ..)`.
    ReleaseArg0,
}

impl Call {
    /// The constant of [`memtrace_common::call`] that travels in the probe's cookie.
    #[must_use]
    pub const fn cookie(self) -> u64 {
        match self {
            Self::AllocateArg0 => call::ALLOCATE_ARG0,
            Self::AllocateArg1 => call::ALLOCATE_ARG1,
            Self::AllocateProduct => call::ALLOCATE_PRODUCT,
            Self::Reallocate => call::REALLOCATE,
            Self::AllocateThroughArg0 => call::ALLOCATE_THROUGH_ARG0,
            Self::ReleaseArg0 => call::RELEASE_ARG0,
        }
    }

    /// Indexes of the arguments that the BPF program reads at the probe point.
    #[must_use]
    pub const fn arguments(self) -> &'static [usize] {
        match self {
            Self::AllocateArg0 | Self::ReleaseArg0 => &[0],
            Self::AllocateArg1 => &[1],
            Self::AllocateProduct | Self::Reallocate => &[0, 1],
            Self::AllocateThroughArg0 => &[0, 2],
        }
    }

    /// Whether the outcome counts, so that a return probe has to go with the entry probe.
    #[must_use]
    pub const fn needs_return(self) -> bool {
        !matches!(self, Self::ReleaseArg0)
    }
}

/// Every symbol that [`detect`] and attaching want to know of: one pass over a symbol table answers for all.
pub fn symbols_of_interest() -> impl Iterator<Item = &'static str> {
    ALL.iter().flat_map(|allocator| allocator.marks.iter().copied().chain(allocator.functions.iter().map(|f| f.name)))
}

/// The allocator that an ELF object is, or `None`.
///
/// `defines` tells whether the object itself defines a function of that name: in `.dynsym`, or in `.symtab` for a
/// static executable. An object is an allocator when it defines both `malloc` and `free`; one that only calls them is
/// not. An allocator that this table does not know yields `None`, too: its functions may not do what their names say.
pub fn detect(defines: impl Fn(&str) -> bool) -> Option<&'static Allocator> {
    if !defines("malloc") || !defines("free") {
        return None;
    }
    ALL.iter().copied().find(|allocator| allocator.marks.iter().any(|mark| defines(mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind of call has a cookie of its own, and none is zero: BPF reads an unset cookie as zero.
    #[test]
    fn cookies_differ() {
        let calls = [
            Call::AllocateArg0,
            Call::AllocateArg1,
            Call::AllocateProduct,
            Call::Reallocate,
            Call::AllocateThroughArg0,
            Call::ReleaseArg0,
        ];
        let cookies: std::collections::BTreeSet<u64> = calls.iter().map(|call| call.cookie()).collect();
        assert_eq!(cookies.len(), calls.len());
        assert!(!cookies.contains(&0));
    }

    /// No function is listed twice in an allocator, which would probe it twice.
    #[test]
    fn functions_are_listed_once() {
        for allocator in ALL {
            let names: std::collections::BTreeSet<&str> = allocator.functions.iter().map(|f| f.name).collect();
            assert_eq!(names.len(), allocator.functions.len(), "{}", allocator.name);
        }
    }

    /// glibc is told by its own symbols; a wrapper that defines malloc and free is not glibc.
    #[test]
    fn glibc_is_recognised_by_content() {
        let libc = ["malloc", "free", "gnu_get_libc_version"];
        assert_eq!(detect(|name| libc.contains(&name)).map(|a| a.name), Some("glibc"));
        let wrapper = ["malloc", "free", "calloc"];
        assert!(detect(|name| wrapper.contains(&name)).is_none());
    }

    /// An object that defines only one of malloc and free serves no heap.
    #[test]
    fn half_an_allocator_is_none() {
        let half = ["malloc", "gnu_get_libc_version"];
        assert!(detect(|name| half.contains(&name)).is_none());
    }
}
