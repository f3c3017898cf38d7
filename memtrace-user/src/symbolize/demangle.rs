//! Readable names of mangled symbols.
//!
//! Not left to blazesym: it takes every name for a mangled one where it does not know the language, so that a C
//! function `a` becomes `signed char`, as the C++ ABI encodes that type.

use std::borrow::Cow;

/// Longest name that is demangled: the work may grow faster than the name, and names come from untrusted files.
const LONGEST: usize = 4096;

/// The name as its source has it; names that no known compiler mangled are left alone.
#[must_use]
pub fn demangle(name: &str) -> Cow<'_, str> {
    if name.len() > LONGEST {
        return Cow::Borrowed(name);
    }
    if name.starts_with("_R") || is_legacy_rust(name) {
        return rustc_demangle::try_demangle(name).map_or(Cow::Borrowed(name), |name| Cow::Owned(format!("{name:#}")));
    }
    if name.starts_with("_Z") {
        return cpp(name).map_or(Cow::Borrowed(name), Cow::Owned);
    }
    Cow::Borrowed(name)
}

/// Rust's older scheme borrows C++'s and ends with a hash: `17h` and 16 hexadecimal digits.
fn is_legacy_rust(name: &str) -> bool {
    name.starts_with("_ZN") && rustc_demangle::try_demangle(name).is_ok()
}

fn cpp(name: &str) -> Option<String> {
    let options = cpp_demangle::DemangleOptions::new().no_return_type();
    cpp_demangle::Symbol::new(name).ok()?.demangle_with_options(&options).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C++ and both of Rust's schemes are read; C names, and names that only look mangled, stay as they are.
    #[test]
    fn only_mangled_names_are_changed() {
        let names = [
            ("a", "a"),
            ("main", "main"),
            ("_start", "_start"),
            ("_Znwm", "operator new(unsigned long)"),
            ("_ZN3foo3barEi", "foo::bar(int)"),
            ("_ZN5alloc5alloc15exchange_malloc17h0123456789abcdefE", "alloc::alloc::exchange_malloc"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_Zwhatever", "_Zwhatever"),
            ("_Rnothing", "_Rnothing"),
        ];
        for (mangled, readable) in names {
            assert_eq!(demangle(mangled), readable);
        }
    }

    /// A name of unreasonable length is shown as it is.
    #[test]
    fn long_names_are_left_alone() {
        let name = format!("_Z{}", "N1a".repeat(10_000));
        assert_eq!(demangle(&name), name);
    }
}
