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
    /// `task_struct.se.sum_exec_runtime`.
    pub task_runtime: u32,
    /// What is mapped at an address; `None` where a field has another name.
    pub mapping: Option<MappingFields>,
}

/// Offsets in bytes of the fields that tell what is mapped at an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MappingFields {
    /// `vm_area_struct.vm_start`.
    pub start: u32,
    /// `vm_area_struct.vm_end`.
    pub end: u32,
    /// `vm_area_struct.vm_flags`.
    pub flags: u32,
    /// `vm_area_struct.vm_pgoff`.
    pub page_offset: u32,
    /// `vm_area_struct.vm_file`.
    pub file: u32,
    /// `file.f_inode`.
    pub file_inode: u32,
    /// `inode.i_ino`.
    pub inode_number: u32,
    /// `inode.i_sb`.
    pub inode_super: u32,
    /// `super_block.s_dev`.
    pub super_device: u32,
}

impl MappingFields {
    fn of(types: Types<'_>) -> Option<Self> {
        Some(Self {
            start: types.offset_of("vm_area_struct", "vm_start")?,
            end: types.offset_of("vm_area_struct", "vm_end")?,
            flags: types.offset_of("vm_area_struct", "vm_flags")?,
            page_offset: types.offset_of("vm_area_struct", "vm_pgoff")?,
            file: types.offset_of("vm_area_struct", "vm_file")?,
            file_inode: types.offset_of("file", "f_inode")?,
            inode_number: types.offset_of("inode", "i_ino")?,
            inode_super: types.offset_of("inode", "i_sb")?,
            super_device: types.offset_of("super_block", "s_dev")?,
        })
    }
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
            mapping: MappingFields::of(types),
            task_runtime: field("task_struct", "se")? + field("sched_entity", "sum_exec_runtime")?,
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

    /// The offset of a structure's member, in bytes.
    fn offset_of(&self, structure: &str, member: &str) -> Option<u32> {
        let is_it = |(_, name, info): &(u32, u32, u32)| is_aggregate(*info) && self.is(*name, structure);
        // A name may stand for several structures.
        let found = self.all().filter(is_it).map(|(id, ..)| id).collect::<Vec<_>>();
        found.into_iter().find_map(|id| self.offset_in(id, member, DEEPEST)).map(|bits| bits / 8)
    }

    /// The offset of a member of a type, in bits; it may lie within members that have no name.
    fn offset_in(&self, id: u32, member: &str, depth: u32) -> Option<u32> {
        let at = self.place_of(id)?;
        let info = word(self.types, at + 4)?;
        if !is_aggregate(info) {
            return None;
        }
        (0..parts(info)).map(|index| at + TYPE + index * MEMBER).find_map(|place| {
            let (name, inner) = (word(self.types, place)?, word(self.types, place + 4)?);
            // With bit fields the upper byte is the field's width.
            let bits = word(self.types, place + 8)? & if info >> 31 == 0 { u32::MAX } else { 0xff_ffff };
            if self.is(name, member) {
                return Some(bits);
            }
            let is_nameless = self.is(name, "") && depth > 0;
            is_nameless.then(|| self.offset_in(inner, member, depth - 1)).flatten().map(|offset| bits + offset)
        })
    }

    /// Where a type is described.
    fn place_of(&self, id: u32) -> Option<usize> {
        let mut at = 0;
        for _ in 1..id {
            let info = word(self.types, at + 4)?;
            at += TYPE + trailing(kind(info), parts(info))?;
        }
        (id > 0).then_some(at)
    }

    /// Every type: its id, its name, and the word that tells what it is.
    fn all(&self) -> impl Iterator<Item = (u32, u32, u32)> {
        let mut at = 0;
        (1..).map_while(move |id| {
            let (name, info) = (word(self.types, at)?, word(self.types, at + 4)?);
            at += TYPE + trailing(kind(info), parts(info))?;
            Some((id, name, info))
        })
    }

    fn is(&self, name: u32, wanted: &str) -> bool {
        let rest = self.strings.get(name as usize..).unwrap_or_default();
        rest.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Members without names that lie in one another, at most.
const DEEPEST: u32 = 8;

const fn kind(info: u32) -> u32 {
    info >> 24 & 0x1f
}

const fn parts(info: u32) -> usize {
    (info & 0xffff) as usize
}

fn is_aggregate(info: u32) -> bool {
    AGGREGATES.contains(&kind(info))
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

    /// A member is found within others that have no name, at the sum of their offsets.
    #[test]
    fn members_without_names_are_looked_into() {
        let strings = b"\0task\0tgid\0";
        // A union of one structure with a member `tgid`, as the nameless second member of `task`.
        let types: [u32; 21] =
            [0, 4 << 24 | 1, 8, 6, 0, 64, 0, 5 << 24 | 1, 8, 0, 1, 32, 1, 4 << 24 | 2, 16, 0, 0, 0, 0, 2, 128];
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let types = Types { types: &types, strings };
        assert_eq!(types.offset_of("task", "tgid"), Some(28));
        assert_eq!(types.offset_of("task", "task"), None);
    }

    /// The kernel that the tests run on tells its fields, if it tells any.
    #[test]
    fn this_kernel_has_the_fields() {
        if std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
            let fields = KernelFields::of_kernel().expect("fields");
            assert!(fields.task_tgid > 0 && fields.task_signal > 0 && fields.signal_live < 64, "{fields:?}");
            let mapping = fields.mapping.expect("what is mapped");
            assert!(
                mapping.end == mapping.start + 8 && mapping.page_offset > 8 && mapping.inode_number > 0,
                "{mapping:?}"
            );
        }
    }
}
