//! Line tables of code objects, in the three forms that they have had. They come from an untrusted process: a table that makes
//! no sense gives no line, or a wrong one of its own making, and ends in any case.

use super::layout::Version;

/// The line of an instruction; `None` where the table has none. `instruction` is the interpreter's own number of it: in bytes
/// to 3.9, of two bytes each from then on.
#[must_use]
pub fn line(version: Version, table: &[u8], first_line: i32, instruction: i64) -> Option<u32> {
    // A frame that has not begun is at its first line.
    let line = if instruction < 0 {
        Some(first_line)
    } else if version <= Version(3, 9) {
        Some(by_increments(table, first_line, instruction))
    } else if version == Version(3, 10) {
        by_ranges(table, first_line, instruction.saturating_mul(2))
    } else {
        by_locations(table, first_line, instruction)
    };
    line.and_then(|line| u32::try_from(line).ok())
}

/// To 3.9 (`Objects/lnotab_notes.txt`): pairs of bytes, of instructions and of lines (signed), to be added up.
fn by_increments(table: &[u8], first_line: i32, instruction: i64) -> i32 {
    let (mut line, mut at) = (first_line, 0_i64);
    for pair in table.chunks_exact(2) {
        at += i64::from(pair[0]);
        if at > instruction {
            break;
        }
        line = line.wrapping_add(i32::from(pair[1].cast_signed()));
    }
    line
}

/// 3.10 (PEP 626): pairs of bytes, how far a range reaches, and what its line is more than the one before; -128 for a range
/// without a line.
fn by_ranges(table: &[u8], first_line: i32, at: i64) -> Option<i32> {
    let (mut line, mut end) = (first_line, 0_i64);
    for pair in table.chunks_exact(2) {
        end += i64::from(pair[0]);
        let more = i32::from(pair[1].cast_signed());
        if more != -128 {
            line = line.wrapping_add(more);
        }
        if end > at {
            return (more != -128).then_some(line);
        }
    }
    None
}

/// From 3.11 on (`Objects/locations.md`): entries of a first byte, form and length, and what the form asks for.
fn by_locations(table: &[u8], first_line: i32, instruction: i64) -> Option<i32> {
    let mut bytes = table.iter().copied();
    let (mut line, mut end) = (first_line, 0_i64);
    while let Some(first) = bytes.next() {
        let mut has_line = true;
        match first >> 3 & 15 {
            0..=9 => drop(bytes.next()),
            form @ 10..=12 => {
                line = line.wrapping_add(i32::from(form) - 10);
                bytes.nth(1);
            }
            13 => line = line.wrapping_add(signed(&mut bytes)),
            14 => {
                line = line.wrapping_add(signed(&mut bytes));
                for _ in 0..3 {
                    number(&mut bytes);
                }
            }
            _ => has_line = false,
        }
        end += i64::from(first & 7) + 1;
        if instruction < end {
            return has_line.then_some(line);
        }
    }
    None
}

/// Six bits a byte, the lowest first; the seventh says that more follow.
fn number(bytes: &mut impl Iterator<Item = u8>) -> u32 {
    let (mut value, mut shift) = (0_u32, 0);
    for byte in bytes {
        value |= u32::from(byte & 63).checked_shl(shift).unwrap_or(0);
        shift += 6;
        if byte & 64 == 0 {
            break;
        }
    }
    value
}

/// The lowest bit is the sign.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> i32 {
    let value = number(bytes);
    let size = (value >> 1).cast_signed();
    if value & 1 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What interpreters themselves say of code objects that they have compiled: `tables.txt` is made by `tables.py` beside
    /// it, run by each version. A record is the version, the first line, the table, and each instruction's line.
    #[test]
    fn lines_are_those_of_the_interpreters() {
        let mut checked = 0;
        for record in include_str!("tables.txt").lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = record.split(' ').collect();
            let [minor, first, table, lines] = fields[..] else { panic!("{record}") };
            let version = Version(3, minor.parse().expect("a version"));
            let table: Vec<u8> = (0..table.len() / 2)
                .map(|at| u8::from_str_radix(&table[at * 2..at * 2 + 2], 16).expect("hexadecimal"))
                .collect();
            for pair in lines.split(',') {
                let (instruction, expected) = pair.split_once(':').expect("a pair");
                let found =
                    line(version, &table, first.parse().expect("a line"), instruction.parse().expect("a number"));
                assert_eq!(found, expected.parse().ok(), "{version:?} {instruction} of {record}");
                checked += 1;
            }
        }
        assert!(checked > 3000, "{checked}");
    }

    proptest! {
        /// Any bytes are read to an end, without overflow.
        #[test]
        fn any_table_is_read(table: Vec<u8>, first: i32, instruction: i64, minor in 8_u8..=14) {
            let _line = line(Version(3, minor), &table, first, instruction);
        }
    }
}
