//! Makes names from traced programs safe to show: commands, paths and symbols are chosen by whoever wrote the program.
//!
//! An escape sequence can retitle, clear or drive a terminal, a newline can forge a line of the report, and a
//! direction control or an invisible character can make one name look like another (Unicode TR36, CVE-2021-42574).

use std::{borrow::Cow, fmt::Write as _};

/// Code points that do not show as themselves; one line a range. Control characters are added by [`is_unsafe`].
const INVISIBLE: &[(char, char)] = &[
    ('\u{00ad}', '\u{00ad}'),   // soft hyphen
    ('\u{061c}', '\u{061c}'),   // Arabic letter mark
    ('\u{115f}', '\u{1160}'),   // Hangul fillers
    ('\u{17b4}', '\u{17b5}'),   // Khmer inherent vowels
    ('\u{180b}', '\u{180f}'),   // Mongolian selectors
    ('\u{200b}', '\u{200f}'),   // zero width space and joiners, direction marks
    ('\u{2028}', '\u{202e}'),   // line and paragraph separators, direction embeddings and overrides
    ('\u{2060}', '\u{206f}'),   // word joiner, direction isolates, deprecated controls
    ('\u{3164}', '\u{3164}'),   // Hangul filler
    ('\u{fe00}', '\u{fe0f}'),   // variation selectors
    ('\u{feff}', '\u{feff}'),   // byte order mark
    ('\u{ffa0}', '\u{ffa0}'),   // half-width Hangul filler
    ('\u{fff9}', '\u{fffb}'),   // interlinear annotation
    ('\u{fffe}', '\u{ffff}'),   // no characters; not allowed in XML
    ('\u{e0000}', '\u{e0fff}'), // tags, variation selectors
];

/// The name with every character that would not show as itself written as `\n`, `\x1b` or `\u{202e}`.
#[must_use]
pub fn escape(name: &str) -> Cow<'_, str> {
    if !name.contains(is_unsafe) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 16);
    for character in name.chars() {
        push_escaped(&mut out, character);
    }
    Cow::Owned(out)
}

fn push_escaped(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ if !is_unsafe(character) => out.push(character),
        _ if character.is_ascii() => write!(out, "\\x{:02x}", u32::from(character)).unwrap_or_default(),
        _ => write!(out, "\\u{{{:x}}}", u32::from(character)).unwrap_or_default(),
    }
}

/// Whether a character would not show as itself.
#[must_use]
pub fn is_unsafe(character: char) -> bool {
    character.is_control() || INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Escape sequences, C1 controls, newlines, direction controls and invisible characters are spelled out.
    #[test]
    fn dangerous_characters_are_spelled_out() {
        assert_eq!(escape("a\u{1b}[2Jb\u{7}\n"), r"a\x1b[2Jb\x07\n");
        assert_eq!(escape("\u{9b}31m\u{7f}\u{85}"), r"\u{9b}31m\x7f\u{85}");
        assert_eq!(escape("x\u{202e}y\u{2066}z\u{200b}\u{feff}"), r"x\u{202e}y\u{2066}z\u{200b}\u{feff}");
    }

    /// Ordinary names, in any script, stay as they are.
    #[test]
    fn ordinary_names_stay() {
        for name in ["", "operator new(unsigned long)", "größe::测量", "/opt/a b/ü.so"] {
            assert!(matches!(escape(name), Cow::Borrowed(same) if same == name));
        }
    }

    proptest! {
        /// Nothing unsafe is left, and escaping twice changes nothing.
        #[test]
        fn nothing_unsafe_is_left(name in any::<String>()) {
            let escaped = escape(&name).into_owned();
            prop_assert!(!escaped.contains(is_unsafe));
            prop_assert_eq!(escape(&escaped), escaped.as_str());
        }
    }
}
