//! JSON whose texts are harmless wherever it is shown: on a terminal, in an HTML page, in an editor.
//!
//! Control, invisible and direction characters and those that HTML could take for markup are written as `\u`
//! escapes, which mean the same to every reader of JSON.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};

use crate::report::escape;

/// Writes a value on one line.
///
/// # Errors
/// When `out` fails.
pub(super) fn write(value: &impl Serialize, out: &mut dyn Write) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, SafeFormatter))
}

struct SafeFormatter;

impl Formatter for SafeFormatter {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(needs_escape) {
            let (plain, escaped) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut characters = escaped.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

fn needs_escape(character: char) -> bool {
    matches!(character, '<' | '>' | '&') || (character > '~' && escape::is_unsafe(character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write(&text, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Markup, line separators, C1 controls and characters beyond 16 bits are escaped.
    #[test]
    fn what_could_do_harm_is_escaped() {
        assert_eq!(written("</script>"), r#""\u003c/script\u003e""#);
        assert_eq!(written("a\u{2028}\u{9b}\u{202e}b"), r#""a\u2028\u009b\u202eb""#);
        assert_eq!(written("\u{1b}\"\\\u{e0041}"), r#""\u001b\"\\\udb40\udc41""#);
        assert_eq!(written("größe"), "\"größe\"");
    }

    proptest! {
        /// Every text is read back as it was, and nothing of it is a control character or markup.
        #[test]
        fn texts_come_back(text in any::<String>()) {
            let json = written(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            prop_assert!(!json.contains(|c| matches!(c, '<' | '>' | '&') || escape::is_unsafe(c)));
        }
    }
}
