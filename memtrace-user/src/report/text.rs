//! The whole report as plain text.

use std::io::{self, Write};

use super::{header, processes, sites};
use crate::profile::{Profile, Ranking, SymbolTable};

/// How to lay the text out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns of the terminal: longer lines lose their middle. `None` for a pipe or a file: nothing is cut.
    pub width: Option<usize>,
}

/// Writes head and ranked call sites. Names are escaped, so the text is safe for a terminal.
///
/// # Errors
/// Those of the writer, a closed pipe included.
pub fn write(
    out: &mut dyn Write,
    profile: &Profile,
    ranking: &Ranking,
    symbols: &SymbolTable,
    options: TextOptions,
) -> io::Result<()> {
    write_lines(out, header::lines(profile, options.width))?;
    writeln!(out)?;
    write_lines(out, processes::lines(profile, ranking.sort, options.width))?;
    write_lines(out, sites::lines(&sites::Context { profile, ranking, symbols, width: options.width }))?;
    out.flush()
}

/// Writes what the program maps by itself, behind [`write()`].
///
/// # Errors
/// Those of the writer, a closed pipe included.
pub fn write_mapped(
    out: &mut dyn Write,
    profile: &Profile,
    ranking: &Ranking,
    symbols: &SymbolTable,
    options: TextOptions,
) -> io::Result<()> {
    writeln!(out, "\nMapped by the program itself:\n")?;
    write_lines(out, sites::lines(&sites::Context { profile, ranking, symbols, width: options.width }))?;
    out.flush()
}

/// Writes lines without what pads their last column.
fn write_lines(out: &mut dyn Write, lines: impl IntoIterator<Item = String>) -> io::Result<()> {
    lines.into_iter().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::{
        profile::{Domain, RankingOptions, SiteNamer, SortBy, fixture},
        report::elide,
    };

    fn report((profile, symbols): (Profile, SymbolTable), ranking: RankingOptions, width: Option<usize>) -> String {
        let ranking = Ranking::of(&profile, &symbols, &SiteNamer::default(), &ranking);
        let mut out = Vec::new();
        write(&mut out, &profile, &ranking, &symbols, TextOptions { width }).expect("memory takes every write");
        String::from_utf8(out).expect("the report is UTF-8")
    }

    fn by_live_bytes() -> RankingOptions {
        RankingOptions::default()
    }

    /// What the numbers cannot show is said in the head.
    #[test]
    fn unseen() {
        assert_snapshot!(report(fixture::unseen(), by_live_bytes(), Some(80)));
    }

    /// A process that has not allocated yet gives a head and a plain sentence.
    #[test]
    fn empty() {
        assert_snapshot!(report(fixture::empty(), by_live_bytes(), None));
    }

    /// For a pipe nothing is cut.
    #[test]
    fn typical() {
        assert_snapshot!(report(fixture::typical(), by_live_bytes(), None));
    }

    /// On a terminal of 80 columns long names lose their middle and numbers stay whole.
    #[test]
    fn typical_on_80_columns() {
        let text = report(fixture::typical(), by_live_bytes(), Some(80));
        assert!(text.lines().all(|line| elide::width(line) <= 80));
        assert_snapshot!(text);
    }

    /// What is mapped is told beside the blocks, listed by itself, and never added to them.
    #[test]
    fn mapped_memory() {
        let (profile, symbols) = fixture::with_mappings();
        let mut out =
            report((profile.clone(), symbols.clone()), RankingOptions { top: Some(1), ..by_live_bytes() }, Some(80));
        let mapped = RankingOptions { domain: Some(Domain::Mmap), ..by_live_bytes() };
        let ranking = Ranking::of(&profile, &symbols, &SiteNamer::default(), &mapped);
        let mut more = Vec::new();
        write_mapped(&mut more, &profile, &ranking, &symbols, TextOptions { width: Some(80) }).expect("memory");
        out.push_str(&String::from_utf8(more).expect("the report is UTF-8"));
        assert_snapshot!(out);
    }

    /// Another order brings its own column; sites left out are added up.
    #[test]
    fn first_two_by_allocated_bytes() {
        let options = RankingOptions { sort: SortBy::AllocatedBytes, top: Some(2), domain: None };
        assert_snapshot!(report(fixture::typical(), options, Some(80)));
    }

    /// Each loss is said with its count and what it means.
    #[test]
    fn losses() {
        let options = RankingOptions { top: Some(1), ..by_live_bytes() };
        assert_snapshot!(report(fixture::with_losses(), options, Some(80)));
    }

    /// Without symbols a site is a file and an offset.
    #[test]
    fn no_symbols() {
        assert_snapshot!(report(fixture::no_symbols(), by_live_bytes(), None));
    }

    /// Of several processes each has a line, the greatest first, and the head speaks of all.
    #[test]
    fn several_processes() {
        assert_snapshot!(report(fixture::family(), RankingOptions { top: Some(1), ..by_live_bytes() }, None));
    }

    /// A process that has ended is said to have.
    #[test]
    fn exited() {
        let options = RankingOptions { top: Some(1), ..by_live_bytes() };
        assert_snapshot!(report(fixture::exited(), options, None));
    }

    /// Names cannot drive the terminal, forge a line or turn the text around.
    #[test]
    fn hostile_names() {
        assert_snapshot!(report(fixture::hostile(), by_live_bytes(), None));
    }

    /// A closed pipe comes back as the writer's error.
    #[test]
    fn closed_pipe_is_reported() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        drop(reader);
        let (profile, symbols) = fixture::empty();
        let error = write(&mut writer, &profile, &Ranking::default(), &symbols, TextOptions::default());
        assert_eq!(error.map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));
    }
}
