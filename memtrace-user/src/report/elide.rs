//! Fits text to a width in terminal columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns that the text takes on a terminal.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text, with `…` for its middle when it takes more than `columns`: of a name both ends tell most.
#[must_use]
pub fn middle(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let tail_room = room / 2;
    let head = prefix_len(text.char_indices(), room - tail_room);
    let tail: usize = prefix_len(text.char_indices().rev(), tail_room);
    let tail_start = text.len() - tail;
    format!("{}…{}", &text[..head], &text[tail_start..])
}

/// The text, with `…` for its end when it takes more than `columns`.
#[must_use]
pub fn end(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    format!("{}…", &text[..prefix_len(text.char_indices(), room)])
}

/// The text in lines of at most `columns`, broken at spaces; a word that is too wide loses its middle.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    if width(text) <= columns {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(middle(word, columns)),
        }
    }
    lines
}

/// Bytes of the first characters that fit in the room.
fn prefix_len(characters: impl Iterator<Item = (usize, char)>, room: usize) -> usize {
    let (mut columns, mut bytes) = (0, 0);
    for (_, character) in characters {
        columns += character.width().unwrap_or(0);
        if columns > room {
            break;
        }
        bytes += character.len_utf8();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Both ends stay; wide characters count twice; no room gives no text.
    #[test]
    fn both_ends_stay() {
        assert_eq!(middle("abcdefghij", 10), "abcdefghij");
        assert_eq!(middle("abcdefghij", 7), "abc…hij");
        assert_eq!(middle("测量测量", 5), "测…量");
        assert_eq!(middle("abc", 1), "…");
        assert_eq!(middle("abc", 0), "");
        assert_eq!(end("abcdef", 4), "abc…");
    }

    /// Lines are broken at spaces; what has none is shortened.
    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a abcdefghij", 5), ["a", "ab…ij"]);
        assert_eq!(wrap("kept  as it is", 20), ["kept  as it is"]);
    }

    proptest! {
        /// The result never takes more columns than there are.
        #[test]
        fn result_fits(text in "[a-z测é ]{0,40}", columns in 0..50_usize) {
            prop_assert!(width(&middle(&text, columns)) <= columns);
            prop_assert!(width(&end(&text, columns)) <= columns);
            prop_assert!(wrap(&text, columns).iter().all(|line| width(line) <= columns));
        }
    }
}
