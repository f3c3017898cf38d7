//! Texts (`str`) as they lie in memory. They come from an untrusted process.

use super::layout::Layout;

/// Characters of a name that are kept; the rest is cut off.
const MAX_CHARACTERS: usize = 4096;

/// Bytes before the number of characters, and before the word that says how they are stored.
const LENGTH: usize = 16;
const STATE: usize = 32;

/// How the characters of a text are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Bytes before the first one.
    start: usize,
    /// Bytes of each: 1, 2 or 4.
    width: usize,
    /// Their number.
    length: usize,
}

impl Shape {
    /// Of a text; `None` when it makes no sense.
    #[must_use]
    pub fn of(text: &[u8], layout: &Layout) -> Option<Self> {
        let length = u64::from_ne_bytes(*text.get(LENGTH..)?.first_chunk()?);
        let state = u32::from_ne_bytes(*text.get(STATE..)?.first_chunk()?);
        let (width, is_compact, is_ascii) = (state >> 2 & 7, state >> 5 & 1, state >> 6 & 1);
        if is_compact == 0 || ![1, 2, 4].contains(&width) {
            return None;
        }
        let start = layout.text_head + if is_ascii == 1 { 0 } else { layout.text_more };
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(MAX_CHARACTERS);
        Some(Self { start: usize::try_from(start).ok()?, width: usize::try_from(width).ok()?, length })
    }

    /// Bytes of the text with what precedes its characters.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.start + self.length * self.width
    }

    /// The characters; those that are not there are left out, and those that are none are replaced.
    #[must_use]
    pub fn characters(self, text: &[u8]) -> String {
        let there = text.get(self.start..text.len().min(self.bytes())).unwrap_or_default();
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let character = |bytes| char::from_u32(number(bytes)).unwrap_or(char::REPLACEMENT_CHARACTER);
        there.chunks_exact(self.width).map(character).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::layout, *};
    use crate::python::Version;

    fn text(state: u32, length: u64, start: usize, characters: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; start];
        bytes[LENGTH..LENGTH + 8].copy_from_slice(&length.to_ne_bytes());
        bytes[STATE..STATE + 4].copy_from_slice(&state.to_ne_bytes());
        [bytes.as_slice(), characters].concat()
    }

    fn read(bytes: &[u8]) -> Option<String> {
        let layout = layout::known(Version(3, 12)).expect("a layout");
        Shape::of(bytes, &layout).map(|shape| shape.characters(bytes))
    }

    /// Texts of each width are read; half a character pair and what is cut off are no fault.
    #[test]
    fn texts_of_all_widths_are_read() {
        assert_eq!(read(&text(0x64, 3, 40, b"abc")).as_deref(), Some("abc"));
        assert_eq!(read(&text(0x24, 2, 56, b"\xe4\xf6")).as_deref(), Some("\u{e4}\u{f6}"));
        assert_eq!(read(&text(0x28, 2, 56, &[0x3b, 0x4, 0, 0xd8])).as_deref(), Some("\u{43b}\u{fffd}"));
        assert_eq!(read(&text(0x30, 1, 56, &[0x40, 0xf6, 1, 0])).as_deref(), Some("\u{1f640}"));
        assert_eq!(read(&text(0x64, 10, 40, b"abc")).as_deref(), Some("abc"), "cut off");
    }

    /// What is no text gives none, and a length that cannot be takes no memory.
    #[test]
    fn nonsense_is_refused() {
        assert_eq!(read(&text(0, 3, 40, b"abc")), None);
        assert_eq!(read(b"short"), None);
        assert_eq!(read(&text(0x64, u64::MAX, 40, b"abc")).as_deref(), Some("abc"));
    }
}
