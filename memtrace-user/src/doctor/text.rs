//! The findings as text for people.

use std::fmt::Write as _;

use super::finding::{Diagnosis, Finding, Level};
use crate::report::escape::escape;

/// A line for each finding, and under it what is lost or what to do. Names are escaped.
#[must_use]
pub fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for section in &diagnosis.sections {
        let separator = if text.is_empty() { "" } else { "\n" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{separator}{}", escape(&section.title));
        let width = section.findings.iter().map(|finding| escape(&finding.check).chars().count()).max().unwrap_or(0);
        for finding in &section.findings {
            write_finding(&mut text, finding, width.min(MOST));
        }
    }
    let _ = write!(text, "\n{}\n", verdict(diagnosis));
    text
}

/// Names are padded to at most so many columns.
const MOST: usize = 44;

fn write_finding(text: &mut String, finding: &Finding, width: usize) {
    let word = finding.level.word();
    let _ = writeln!(text, "  {word:<8}  {:<width$}  {}", escape(&finding.check), escape(&finding.found));
    if let Some(advice) = &finding.advice {
        let _ = writeln!(text, "            {}", escape(advice));
    }
}

fn verdict(diagnosis: &Diagnosis) -> &'static str {
    match diagnosis.worst() {
        Level::Ok => "memtrace can trace here.",
        Level::Degraded => "memtrace can trace here; what is marked degraded costs something.",
        Level::Unseen => "Nothing seen is in the way of tracing; not everything could be seen.",
        Level::Failed => "memtrace cannot trace here until what is marked failed is mended.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Section;

    /// Every level has its line, advice stands below, and a hostile name drives no terminal.
    #[test]
    fn findings_are_lines() {
        let findings = vec![
            Finding::ok("release", "6.1.0"),
            Finding::other("bpf_loop (5.17)", Level::Degraded, "not there", "stacks by frame pointers alone"),
            Finding::other("CAP_BPF", Level::Failed, "missing", "run as root"),
            Finding::other("lockdown", Level::Unseen, "Permission denied (os error 13)", "run as root to see it"),
        ];
        let hostile = vec![Finding::ok("/tmp/\u{1b}[2J\n.so", "all symbols")];
        let sections = vec![Section::new("Kernel", findings), Section::new("Mapped files", hostile)];
        insta::assert_snapshot!(text(&Diagnosis { sections }));
    }
}
