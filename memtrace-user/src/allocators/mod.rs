//! Which functions hand out and take back memory, allocator by allocator.
//!
//! One file an allocator, one line in [`ALL`]. What an object is gets decided by the symbols that it defines, never by
//! its path: copies, containers and static executables put an allocator anywhere.

mod c_api;
mod call;
mod cpp;
mod generic;
mod glibc;
mod jemalloc;
mod mimalloc;
mod musl;
mod python;
mod tcmalloc;
mod user;

use std::{borrow::Cow, collections::BTreeSet, sync::LazyLock};

pub use self::{
    call::{Call, Kind},
    python::PYTHON_FUNCTIONS,
    user::{FunctionName, UserFunction, UserFunctionError, UserFunctions},
};

/// Every known allocator, in the order in which an object is tried. Those that programs link statically come before the
/// C libraries, as a static executable has the marks of both; the last takes what is left.
pub static ALL: &[&Allocator] =
    &[&mimalloc::MIMALLOC, &jemalloc::JEMALLOC, &tcmalloc::TCMALLOC, &glibc::GLIBC, &musl::MUSL, &generic::GENERIC];

/// An allocator and the functions to probe in it.
#[derive(Debug)]
pub struct Allocator {
    /// The name that people know it by.
    pub name: &'static str,
    /// Symbols of which one at least is defined by this allocator and by no other; empty for the one that takes any.
    pub marks: &'static [&'static str],
    /// The file has the functions, too, by which programs map memory: that a mapping comes from it says nothing.
    pub is_c_library: bool,
    /// Where its functions call what a pointer says, that may be one of them (a hook, or the allocator that it wraps).
    pub calls_itself_by_pointers: bool,
    /// Functions to probe. Those that an object does not define are passed over.
    pub tables: &'static [Table],
}

/// Functions under all the prefixes that builds of an allocator give them.
#[derive(Debug)]
pub struct Table {
    /// What stands before each name; the empty prefix among them where builds have none.
    pub prefixes: &'static [&'static str],
    /// Name and meaning.
    pub functions: &'static [(&'static str, Call)],
}

/// A function to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocatorFunction {
    /// Its symbol, without version.
    pub name: Cow<'static, str>,
    /// What a call does.
    pub call: Call,
}

impl Allocator {
    /// All functions, each under every prefix.
    pub fn functions(&self) -> impl Iterator<Item = AllocatorFunction> + use<'_> {
        self.tables.iter().flat_map(|table| {
            let named = |prefix: &'static str, (name, call): (&'static str, Call)| AllocatorFunction {
                name: if prefix.is_empty() { name.into() } else { format!("{prefix}{name}").into() },
                call,
            };
            let prefixed = move |prefix: &&'static str| {
                let prefix = *prefix;
                table.functions.iter().map(move |function| named(prefix, *function))
            };
            table.prefixes.iter().flat_map(prefixed)
        })
    }
}

/// Every symbol that [`detect`] and attaching want to know of: one pass over a symbol table answers for all.
pub fn symbols_of_interest() -> impl Iterator<Item = &'static str> {
    static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let marks = ALL.iter().flat_map(|allocator| allocator.marks.iter().map(|mark| (*mark).to_owned()));
        let functions =
            ALL.iter().flat_map(|allocator| allocator.functions().map(|function| function.name.into_owned()));
        marks.chain(functions).collect()
    });
    NAMES.iter().map(String::as_str)
}

/// Prefixes under which an object may define an allocator's functions.
const PREFIXES: [&str; 7] = ["", "je_", "_rjem_", "__rjem_", "_rjem_je_", "tc_", "mi_"];

/// The allocator that an ELF object exports, or `None`.
///
/// `defines` tells whether the object itself defines a function of that name: in `.dynsym`, or in `.symtab` for a
/// static executable. An object is an allocator when it defines both `malloc` and `free`; one that only calls them is
/// not.
pub fn detect(defines: impl Fn(&str) -> bool) -> Option<&'static Allocator> {
    let has = |name: &str| PREFIXES.iter().any(|prefix| defines(&format!("{prefix}{name}")));
    if !(has("malloc") && has("free") || has("mallocx") && has("dallocx")) {
        return None;
    }
    ALL.iter().copied().find(|allocator| allocator.marks.is_empty() || allocator.marks.iter().any(|mark| defines(mark)))
}

/// The allocator that an ELF object keeps for itself, or `None`: its functions are in `.symtab` only. Names alone say
/// less there, as any file may have a private function `free`, so the four of the C library must all be there.
pub fn detect_private(defines: impl Fn(&str) -> bool) -> Option<&'static Allocator> {
    let family = ["malloc", "free", "calloc", "realloc"];
    let whole = |prefix: &&str| family.iter().all(|name| defines(&format!("{prefix}{name}")));
    if PREFIXES.iter().any(whole) { detect(defines) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(symbols: &[&str]) -> Option<&'static str> {
        detect(|name| symbols.contains(&name)).map(|allocator| allocator.name)
    }

    /// No function is listed twice in an allocator with different meanings: the first would win silently.
    #[test]
    fn functions_are_listed_once() {
        for allocator in ALL {
            let mut names = BTreeSet::new();
            for function in allocator.functions() {
                assert!(names.insert(function.name.clone()), "{}: {}", allocator.name, function.name);
            }
        }
    }

    /// A name means the same in every allocator, so that it does not matter which one a static executable is taken for.
    #[test]
    fn names_mean_the_same_everywhere() {
        let mut meanings = std::collections::BTreeMap::new();
        for function in ALL.iter().flat_map(|allocator| allocator.functions()) {
            let known = *meanings.entry(function.name.clone()).or_insert(function.call);
            assert_eq!(known, function.call, "{}", function.name);
        }
    }

    /// Allocators are told by their own symbols, and any other object that exports malloc and free is one, too.
    #[test]
    fn allocators_are_recognised_by_content() {
        assert_eq!(name_of(&["malloc", "free", "gnu_get_libc_version"]), Some("glibc"));
        assert_eq!(name_of(&["malloc", "free", "__dls3"]), Some("musl"));
        assert_eq!(name_of(&["malloc", "free", "mallctl"]), Some("jemalloc"));
        assert_eq!(name_of(&["_rjem_malloc", "_rjem_free", "_rjem_mallctl"]), Some("jemalloc"));
        assert_eq!(name_of(&["malloc", "free", "tc_malloc", "gnu_get_libc_version"]), Some("tcmalloc"));
        assert_eq!(name_of(&["mi_malloc", "mi_free"]), Some("mimalloc"));
        assert_eq!(name_of(&["malloc", "free", "calloc"]), Some("unknown allocator"));
    }

    /// An object that defines only one of malloc and free serves no heap.
    #[test]
    fn half_an_allocator_is_none() {
        assert_eq!(name_of(&["malloc", "gnu_get_libc_version"]), None);
        assert_eq!(name_of(&["free", "operator_new"]), None);
    }

    /// A private `malloc` and `free` may be anything; the whole family is an allocator.
    #[test]
    fn private_functions_need_the_whole_family() {
        let private = |symbols: &[&str]| detect_private(|name| symbols.contains(&name)).map(|allocator| allocator.name);
        assert_eq!(private(&["malloc", "free"]), None);
        assert_eq!(private(&["je_malloc", "je_free", "je_calloc", "je_realloc", "je_mallctl"]), Some("jemalloc"));
    }
}
