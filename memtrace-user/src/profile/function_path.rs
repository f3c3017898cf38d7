//! The qualified name of a function within its demangled symbol: no return type, parameters or compiler suffix.

/// Suffixes of copies that compilers make of a function; whatever follows belongs to them.
const COPY_SUFFIXES: &[&str] = &[".constprop.", ".part.", ".isra.", ".cold", ".llvm.", ".lto_priv.", "@", " [clone"];

/// `std::string ns::make<int>(int) const` becomes `ns::make<int>`; C and Rust names come back as they are.
///
/// Never fails: of a name that is no function's it returns some part.
pub(super) fn function_path(symbol: &str) -> &str {
    let symbol = without_copy_suffix(symbol);
    let mut scan = Scan { depth: 0, start: 0 };
    for (at, byte) in symbol.bytes().enumerate() {
        if let Some(end) = scan.step(symbol, at, byte) {
            return &symbol[scan.start..end];
        }
    }
    &symbol[scan.start..]
}

/// Every suffix begins with one of three characters, and most names have none of them.
fn without_copy_suffix(symbol: &str) -> &str {
    let starts = symbol.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'@' | b' '));
    let mut ends =
        starts.map(|(at, _)| at).filter(|at| COPY_SUFFIXES.iter().any(|suffix| symbol[*at..].starts_with(suffix)));
    ends.next().map_or(symbol, |at| &symbol[..at])
}

/// The state of one pass over a symbol. All bytes it stops at are ASCII, so slices fall on character boundaries.
struct Scan {
    /// Open brackets of any kind.
    depth: u32,
    /// Where the path begins, as far as is known.
    start: usize,
}

impl Scan {
    /// Takes one byte; the end of the path when it is known.
    fn step(&mut self, symbol: &str, at: usize, byte: u8) -> Option<usize> {
        let rest = &symbol.as_bytes()[at..];
        match byte {
            b'(' if self.depth == 0 && at > self.start && !rest.starts_with(b"(anonymous namespace)") => {
                return Some(at);
            }
            b'<' | b'(' | b'[' | b'{' => self.depth += 1,
            b'>' if at > 0 && symbol.as_bytes()[at - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b' ' if self.depth == 0 => self.start = at + 1,
            // Operators are spelled with brackets and spaces, and always end the path.
            b'o' if self.depth == 0 && rest.starts_with(b"operator") && self.begins_word(symbol, at) => {
                return Some(end_of_operator(symbol, at));
            }
            _ => {}
        }
        None
    }

    fn begins_word(&self, symbol: &str, at: usize) -> bool {
        let follows_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        at == self.start || !follows_word(&symbol.as_bytes()[at - 1]) && !symbol[at + 8..].starts_with('_')
    }
}

/// Where the parameters of an operator begin: the first bracket that is not part of `operator()`.
fn end_of_operator(symbol: &str, at: usize) -> usize {
    let name = at + "operator".len();
    let skip = if symbol[name..].starts_with("()") { 2 } else { 0 };
    symbol[name + skip..].find('(').map_or(symbol.len(), |found| name + skip + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::function_path;

    /// Return types, parameters, qualifiers and copies made by the compiler are no part of the path.
    #[test]
    fn leaves_the_qualified_name() {
        for (symbol, path) in [
            ("malloc", "malloc"),
            ("xmalloc.part.0", "xmalloc"),
            ("read_rows.constprop.0.isra.0", "read_rows"),
            ("memcpy@@GLIBC_2.14", "memcpy"),
            ("operator new(unsigned long)", "operator new"),
            ("operator new[](unsigned long, std::align_val_t)", "operator new[]"),
            ("std::string ns::make<int>(int) const", "ns::make<int>"),
            (
                "void std::vector<int, std::allocator<int> >::_M_realloc_insert<int>(int*, int&&)",
                "std::vector<int, std::allocator<int> >::_M_realloc_insert<int>",
            ),
            ("ns::Callable::operator()(int) const", "ns::Callable::operator()"),
            ("std::ostream& operator<< <char>(std::ostream&, char)", "operator<< <char>"),
            ("(anonymous namespace)::load(char const*)", "(anonymous namespace)::load"),
            ("operator_table_new", "operator_table_new"),
            (
                "<alloc::vec::Vec<T,A> as core::clone::Clone>::clone",
                "<alloc::vec::Vec<T,A> as core::clone::Clone>::clone",
            ),
            ("core::ops::FnOnce<dyn Fn() -> i32>::call", "core::ops::FnOnce<dyn Fn() -> i32>::call"),
            ("main::{{closure}}", "main::{{closure}}"),
            ("", ""),
        ] {
            assert_eq!(function_path(symbol), path, "{symbol}");
        }
    }

    proptest! {
        /// Any text gives a part of itself, without a panic.
        #[test]
        fn any_text_gives_a_part_of_itself(symbol in "(operator|[ ()<>:.@a-zé\\-]){0,40}") {
            prop_assert!(symbol.contains(function_path(&symbol)));
        }
    }
}
