//! Reports as plain text, one after the other.

use std::io;

use super::stream::{BETWEEN_REPORTS, Stream};
use crate::{
    cli::RankingArgs,
    profile::{Domain, Profile, Ranking, RankingOptions, SiteNamer, SymbolTable, main_domain},
    report::{self, TextOptions},
    session::Session,
};

/// Writes reports to standard output or standard error.
#[derive(Debug)]
pub struct Reporter {
    namer: SiteNamer,
    options: RankingOptions,
    to: Stream,
    written: bool,
}

impl Reporter {
    /// For what the command line asks to be shown.
    #[must_use]
    pub fn new(arguments: RankingArgs, to: Stream) -> Self {
        let options = RankingOptions { sort: arguments.sort, top: Some(arguments.top), domain: None };
        Self { namer: SiteNamer::default(), options, to, written: false }
    }

    /// Looks up the lines of what is shown, and writes one report; a line of dashes stands between two.
    ///
    /// # Errors
    /// Those of the stream; a closed pipe comes as `BrokenPipe`.
    pub async fn write(&mut self, session: &mut Session, profile: &Profile, symbols: &SymbolTable) -> io::Result<()> {
        let ranking = Ranking::of(profile, symbols, &self.namer, &self.options);
        let has_mapped = profile.samples.iter().any(|sample| sample.domain == Domain::Mmap);
        let mapped = (has_mapped && main_domain(&profile.samples) != Domain::Mmap).then(|| {
            let options = RankingOptions { domain: Some(Domain::Mmap), ..self.options };
            Ranking::of(profile, symbols, &self.namer, &options)
        });
        let shown =
            [Some(&ranking), mapped.as_ref()].into_iter().flatten().flat_map(Ranking::shown_locations).collect();
        let symbols = session.lines_of(&shown).await;
        let mut text = Vec::new();
        if self.written {
            text.extend_from_slice(BETWEEN_REPORTS);
        }
        self.written = true;
        let layout = TextOptions { width: self.to.width() };
        report::write(&mut text, profile, &ranking, &symbols, layout)?;
        if let Some(mapped) = mapped {
            report::write_mapped(&mut text, profile, &mapped, &symbols, layout)?;
        }
        self.to.write(&text)
    }
}
