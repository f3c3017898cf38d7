//! Reports on the machine, one after the other: numbers come at each interval, names of the call sites that are shown a
//! moment later, and then the report is written.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::Arc,
};

use super::super::{
    signals::{Caught, Termination},
    stream::{BETWEEN_REPORTS, Stream, say},
    timing::Deadline,
};
use crate::{
    cli::{TopArgs, TopFormat},
    profile::{Location, Machine, ProcessKey, Profile, Ranking, RankingOptions, SiteNamer, SortBy, SymbolTable},
    report::{
        TextOptions,
        machine::{self, MachineReport},
    },
    session::{Everyone, MachineUpdate},
};

/// Prints a report at each interval, and a last one when tracing ends.
pub(super) async fn print(
    session: &mut Everyone,
    arguments: &TopArgs,
    deadline: Deadline,
    termination: &mut Termination,
) -> io::Result<()> {
    let mut pages = Pages::new(arguments);
    // The first reading comes at once and shows nothing but that tracing has begun.
    let mut first = true;
    let mut is_last = false;
    loop {
        let wanted = pages.wanted();
        let ends = tokio::select! {
            update = session.next(&wanted) => {
                match update? {
                    MachineUpdate::Reading(_) if is_last => {}
                    MachineUpdate::Reading(machine) if first => {
                        first = false;
                        say(&machine::cost(&machine));
                    }
                    MachineUpdate::Reading(machine) => pages.begin(machine, session),
                    MachineUpdate::Stacks { profiles, symbols } => pages.take_stacks(profiles, symbols),
                    // What is asked for from here on has the new numbers.
                    MachineUpdate::Renumbered => pages.sites = None,
                    MachineUpdate::Lines { symbols, .. } => pages.symbols = symbols,
                }
                false
            }
            caught = termination.next(), if !is_last => caught == Caught::End,
            () = deadline.reached(), if !is_last => true,
        };
        if ends {
            is_last = true;
            let machine = session.read_now();
            pages.begin(machine, session);
        }
        let is_complete = pages.sites.is_some() && session.knows_lines(&pages.wanted());
        if is_complete && pages.write()? && is_last {
            return Ok(());
        }
    }
}

/// The report in the making.
struct Pages<'a> {
    arguments: &'a TopArgs,
    namer: SiteNamer,
    machine: Option<Arc<Machine>>,
    sites: Option<HashMap<ProcessKey, (Arc<Profile>, Ranking)>>,
    symbols: Arc<SymbolTable>,
    has_written: bool,
}

impl<'a> Pages<'a> {
    fn new(arguments: &'a TopArgs) -> Self {
        let (machine, sites, symbols) = Default::default();
        Self { arguments, namer: SiteNamer::default(), machine, sites, symbols, has_written: false }
    }

    /// Begins a report; one that still waits for names is left.
    fn begin(&mut self, machine: Arc<Machine>, session: &mut Everyone) {
        let ranked = machine.ranked(self.arguments.sort);
        let keys: Vec<ProcessKey> = ranked.iter().take(self.arguments.top).map(|process| process.key).collect();
        session.look_at(if self.arguments.sites == 0 { &[] } else { &keys });
        self.machine = Some(machine);
        self.sites = None;
    }

    fn take_stacks(&mut self, profiles: Vec<(ProcessKey, Arc<Profile>)>, symbols: Arc<SymbolTable>) {
        let options =
            RankingOptions { sort: SortBy::default(), top: Some(self.arguments.sites), ..RankingOptions::default() };
        let ranked = profiles.into_iter().map(|(key, profile)| {
            let ranking = Ranking::of(&profile, &symbols, &self.namer, &options);
            (key, (profile, ranking))
        });
        self.sites = Some(ranked.collect());
        self.symbols = symbols;
    }

    /// Locations whose lines the report in the making names: of the sites, not of their stacks.
    fn wanted(&self) -> BTreeSet<Location> {
        let sites = self.sites.iter().flat_map(HashMap::values).flat_map(|(_, ranking)| &ranking.sites);
        sites.filter_map(|site| site.location).collect()
    }

    /// Writes the report, whose sites are known; `false` when there is none.
    fn write(&mut self) -> io::Result<bool> {
        let (Some(machine), Some(sites)) = (&self.machine, &self.sites) else { return Ok(false) };
        let report = MachineReport {
            machine,
            order: self.arguments.sort,
            top: self.arguments.top,
            sites,
            symbols: &self.symbols,
        };
        let mut text = Vec::new();
        match self.arguments.format.unwrap_or_default() {
            TopFormat::Json => text.extend_from_slice(machine::json(&report).as_bytes()),
            TopFormat::Text => {
                if self.has_written {
                    text.extend_from_slice(BETWEEN_REPORTS);
                }
                machine::write(&mut text, &report, TextOptions { width: Stream::Output.width() })?;
            }
        }
        self.has_written = true;
        (self.machine, self.sites) = (None, None);
        Stream::Output.write(&text)?;
        Ok(true)
    }
}
