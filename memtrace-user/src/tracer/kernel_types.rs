//! Where the running kernel keeps the fields that the BPF programs read, from its own type information
//! (`/sys/kernel/btf/vmlinux`; Documentation/bpf/btf.rst). aya keeps what it parses to itself, so the few kinds that
//! matter are read here.

use std::{fs, io};

/// Bytes of the header, of a type and of a member.
const HEADER: usize = 24;
const TYPE: usize = 12;
const MEMBER: usize = 12;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// `BTF_KIND_STRUCT` and `BTF_KIND_UNION`.
const AGGREGATES: [u32; 2] = [4, 5];

/// Offsets in bytes of the fields that programs need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelFields {
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.signal`.
    pub task_signal: u32,
    /// `signal_struct.live`.
    pub signal_live: u32,
}

impl KernelFields {
    /// Of the running kernel.
    ///
    /// # Errors
    /// When its type information cannot be read, or lacks a field.
    pub fn of_kernel() -> io::Result<Self> {
        let btf = fs::read("/sys/kernel/btf/vmlinux")?;
        let types = Types::parse(&btf).ok_or_else(|| invalid("no BTF type information"))?;
        let field = |structure: &str, member: &str| {
            let offset = types.offset_of(structure, member);
            offset.ok_or_else(|| invalid(&format!("no field `{member}` in `{structure}`")))
        };
        Ok(Self {
            task_tgid: field("task_struct", "tgid")?,
            task_signal: field("task_struct", "signal")?,
            signal_live: field("signal_struct", "live")?,
        })
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The two sections of the type information.
#[derive(Debug, Clone, Copy)]
struct Types<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Types<'a> {
    fn parse(btf: &'a [u8]) -> Option<Self> {
        if u16::from_ne_bytes(btf.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let header = word(btf, 4)? as usize;
        let section = |at: usize| {
            let start = header.checked_add(word(btf, at)? as usize)?;
            btf.get(start..start.checked_add(word(btf, at + 4)? as usize)?)
        };
        (header >= HEADER).then_some(Self { types: section(8)?, strings: section(16)? })
    }

    /// The offset of a structure's own member, in bytes.
    fn offset_of(&self, structure: &str, member: &str) -> Option<u32> {
        let mut at = 0;
        while at < self.types.len() {
            let (name, info) = (word(self.types, at)?, word(self.types, at + 4)?);
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let members = at + TYPE;
            if AGGREGATES.contains(&kind) && self.is(name, structure) {
                // With bit fields the upper byte is the field's width.
                let bits = |at| Some(word(self.types, at + 8)? & if info >> 31 == 0 { u32::MAX } else { 0xff_ffff });
                let found = (0..count).map(|index| members + index * MEMBER);
                let found = found.filter(|at| word(self.types, *at).is_some_and(|name| self.is(name, member)));
                return found.filter_map(bits).map(|bits| bits / 8).next();
            }
            at = members + trailing(kind, count)?;
        }
        None
    }

    fn is(&self, name: u32, wanted: &str) -> bool {
        let rest = self.strings.get(name as usize..).unwrap_or_default();
        rest.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Bytes that follow a type of a kind with so many parts.
fn trailing(kind: u32, count: usize) -> Option<usize> {
    Some(match kind {
        // INT, VAR, DECL_TAG.
        1 | 14 | 17 => 4,
        // ARRAY.
        3 => 12,
        // STRUCT, UNION, DATASEC, ENUM64.
        4 | 5 | 15 | 19 => 12 * count,
        // ENUM, FUNC_PROTO.
        6 | 13 => 8 * count,
        // PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG.
        2 | 7..=12 | 16 | 18 => 0,
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member is found behind types of other kinds, and only in the structure asked for.
    #[test]
    fn members_are_found() {
        let strings = b"\0int\0other\0task\0tgid\0";
        // An INT with its word, a structure `other` and a structure `task`, each with a member `tgid`.
        let types: [u32; 16] = [1, 1 << 24, 4, 32, 5, 4 << 24 | 1, 4, 16, 1, 8, 11, 4 << 24 | 1, 8, 16, 1, 48];
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let [types_length, strings_length] =
            [types.len(), strings.len()].map(|length| u32::try_from(length).expect("short"));
        let sizes = [24, 0, types_length, types_length, strings_length];
        let mut btf: Vec<u8> = MAGIC.to_ne_bytes().into_iter().chain([1, 0]).collect();
        btf.extend(sizes.iter().flat_map(|word| word.to_ne_bytes()));
        btf.extend(types.iter().chain(strings));
        let types = Types::parse(&btf).expect("sections");
        assert_eq!((types.offset_of("task", "tgid"), types.offset_of("other", "tgid")), (Some(6), Some(1)));
        assert_eq!((types.offset_of("task", "tgi"), types.offset_of("tas", "tgid")), (None, None));
        for length in 0..btf.len() {
            let _no_panic = Types::parse(&btf[..length]).map(|types| types.offset_of("task", "tgid"));
        }
    }

    /// The kernel that the tests run on tells its fields, if it tells any.
    #[test]
    fn this_kernel_has_the_fields() {
        if std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
            let fields = KernelFields::of_kernel().expect("fields");
            assert!(fields.task_tgid > 0 && fields.task_signal > 0 && fields.signal_live < 64, "{fields:?}");
        }
    }
}
