//! Folded stacks: a line a stack, `main;parse;grow 4096`, as every flame graph tool reads them.
//!
//! With a base, each line has two numbers, before and after, as `difffolded.pl` and `inferno-diff-folded` write them.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use super::{
    Export, ExportError, Exporter,
    frames::Naming,
    tree::{Stack, StackTree},
};
use crate::report::escape::escape;

/// The format.
#[derive(Debug)]
pub(super) struct Folded;

impl Exporter for Folded {
    fn name(&self) -> &'static str {
        "folded"
    }

    fn purpose(&self) -> &'static str {
        "one line a stack, for flame graph tools; with --base, two numbers a line"
    }

    fn compares(&self) -> bool {
        true
    }

    fn write(&self, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let tree = StackTree::new(export.snapshot, export.base, Naming { lines: export.lines, places: false });
        let labels: Vec<String> = tree.frames.iter().map(|frame| label(&frame.name)).collect();
        for stack in &tree.stacks {
            let (before, after) = (export.value.value(&stack.before), export.value.value(&stack.stats));
            if before == 0 && after == 0 {
                continue;
            }
            write_path(&tree, stack, &labels, out)?;
            match export.base {
                Some(_) => writeln!(out, " {before} {after}")?,
                None => writeln!(out, " {after}")?,
            }
        }
        Ok(())
    }
}

fn write_path(tree: &StackTree, stack: &Stack, labels: &[String], out: &mut dyn Write) -> io::Result<()> {
    for (index, frame) in tree.path(stack.node).into_iter().enumerate() {
        if index > 0 {
            out.write_all(b";")?;
        }
        out.write_all(labels[frame as usize].as_bytes())?;
    }
    Ok(())
}

/// The name of a frame with nothing in it that means something in a folded line: `;` separates frames, a number after
/// the last blank is the value, `# ` begins a comment, and blanks around a line are dropped. The format knows no
/// escapes, so each is written as something that looks alike.
pub(super) fn label(name: &str) -> String {
    let escaped = escape(name);
    let trimmed = escaped.trim();
    if trimmed.is_empty() {
        return "[unnamed]".into();
    }
    let mut label: Cow<'_, str> = trimmed.replace(';', ":").into();
    if let Some(rest) = label.strip_prefix("# ") {
        label = format!("#_{rest}").into();
    }
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.');
    while let Some((start, end)) = label.rsplit_once(' ').filter(|(_, end)| is_number(end)) {
        label = format!("{start}_{end}").into();
    }
    label.into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What would be read as a separator, a value or a comment is not left in a name.
    #[test]
    fn labels_mean_nothing_else() {
        for (name, expected) in [
            ("operator new(unsigned long)", "operator new(unsigned long)"),
            ("<[u8; 8] as Hash>::hash", "<[u8: 8] as Hash>::hash"),
            ("f 12", "f_12"),
            ("f 1 2.5", "f 1_2.5"),
            (" \t", "\\t"),
            ("  ", "[unnamed]"),
            ("# x", "#_x"),
            ("a\n\u{1b}[2Jb", "a\\n\\x1b[2Jb"),
        ] {
            assert_eq!(label(name), expected, "{name:?}");
        }
    }

    proptest! {
        /// Whatever a function is called, its line is read back as one frame and one number.
        #[test]
        fn any_name_is_one_frame(name in "\\PC*|[ ;#0-9.\\x1b\n\u{2028}]{0,12}") {
            let line = format!("{} 42", label(&name));
            prop_assert_eq!(line.trim(), &line);
            let (frame, value) = line.rsplit_once(' ').unwrap();
            prop_assert_eq!(value, "42");
            prop_assert!(!frame.contains([';', '\n', '\x1b']) && !frame.is_empty() && !frame.starts_with("# "));
            let last = frame.rsplit_once(' ').map_or("x", |(_, last)| last);
            prop_assert!(!last.chars().all(|c| c.is_ascii_digit() || c == '.'), "{}", frame);
        }
    }
}
