//! Places of fields in the kernel's structures, by the type information that the kernel carries
//! (Documentation/bpf/btf.rst).

use std::{fs, sync::OnceLock};

/// The kernel's own types.
const KERNEL: &str = "/sys/kernel/btf/vmlinux";

/// Field of `struct thread_struct` with a thread's pointer to its own data: what `pthread_self` is made from. On aarch64 the
/// first one of a structure.
const POINTER: &str = if cfg!(target_arch = "aarch64") { "uw" } else { "fsbase" };

/// Kinds of types, and bytes that follow the first twelve: of each, or of each of their parts.
mod kind {
    pub const STRUCTURE: u32 = 4;
    /// By kind: fixed bytes, and bytes a part.
    pub const LENGTHS: [(usize, usize); 20] = [
        (0, 0),
        (4, 0),
        (0, 0),
        (12, 0),
        (0, 12),
        (0, 12),
        (0, 8),
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 0),
        (0, 8),
        (4, 0),
        (0, 12),
        (0, 0),
        (4, 0),
        (0, 0),
        (0, 12),
    ];
}

/// Where the kernel keeps a thread's pointer, in bytes from the beginning of its `struct task_struct`.
#[must_use]
pub fn thread_pointer() -> Option<u64> {
    static FOUND: OnceLock<Option<u64>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let types = fs::read(KERNEL).ok()?;
        Some(field(&types, "task_struct", "thread")? + field(&types, "thread_struct", POINTER)?)
    })
}

/// Offset in bytes of a field of a structure.
fn field(types: &[u8], structure: &str, name: &str) -> Option<u64> {
    let word = |at: usize| types.get(at..).and_then(|rest| rest.first_chunk()).map(|word| u32::from_ne_bytes(*word));
    let place = |at: usize| word(at).and_then(|value| usize::try_from(value).ok());
    // Magic number, version and flags; then the length of this head, and where types and names are behind it.
    let head = place(4)?;
    let (mut at, names) = (head + place(8)?, head + place(16)?);
    let end = at + place(12)?;
    let is_named = |offset: usize, name: &str| {
        let text = types.get(names + offset..).unwrap_or_default();
        text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    };
    while at + 12 <= end {
        let info = word(at + 4)?;
        let (kind, parts) = (info >> 24 & 31, usize::try_from(info & 0xffff).ok()?);
        let (fixed, each) = *kind::LENGTHS.get(usize::try_from(kind).ok()?)?;
        if kind == kind::STRUCTURE && is_named(place(at)?, structure) {
            let members = (0..parts).map(|index| at + 12 + index * 12);
            for member in members {
                if is_named(place(member)?, name) {
                    let offset = word(member + 8)?;
                    // With the highest bit of `info`, the upper eight bits are a width.
                    let bits = if info >> 31 == 1 { offset & 0xff_ffff } else { offset };
                    return Some(u64::from(bits / 8));
                }
            }
            return None;
        }
        at += 12 + fixed + parts * each;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This kernel tells where a thread's pointer is, and where the first field of a structure is.
    #[test]
    fn fields_are_found() {
        let Ok(types) = fs::read(KERNEL) else { return };
        assert_eq!(field(&types, "list_head", "next"), Some(0));
        assert_eq!(field(&types, "list_head", "prev"), Some(8));
        assert_eq!(field(&types, "list_head", "other"), None);
        assert!(thread_pointer().is_some_and(|offset| offset > 0 && offset % 8 == 0));
    }

    /// Type information that is cut short has no fields, and no end that is missed.
    #[test]
    fn nonsense_has_no_fields() {
        for length in [0, 4, 24, 100] {
            assert_eq!(field(&vec![0xff; length], "list_head", "next"), None);
            assert_eq!(field(&vec![0; length], "list_head", "next"), None);
        }
    }
}
