//! The ranked call sites: one line of numbers and a name each, and the heaviest stack under it.

use super::{elide, frames::SiteName, stack, units};
use crate::profile::{AllocStats, Profile, Ranking, Site, SortBy, SymbolTable};

/// Columns by which a stack stands in.
const INDENT: usize = 5;

/// What every line of a table needs.
pub(super) struct Context<'a> {
    pub(super) profile: &'a Profile,
    pub(super) ranking: &'a Ranking,
    pub(super) symbols: &'a SymbolTable,
    pub(super) width: Option<usize>,
}

/// Heading, sites and the sum of what is left out. Sites of which nothing is left are not worth a line of their own.
pub(super) fn lines(context: &Context) -> Vec<String> {
    let ranking = context.ranking;
    let sort = ranking.sort;
    let shown: Vec<&Site> = ranking.sites.iter().take_while(|site| sort.value(&site.stats) > 0).collect();
    let hidden = &ranking.sites[shown.len()..];
    let others = ranking.others.stats + hidden.iter().map(|site| site.stats).sum();
    let other_sites = ranking.others.sites + hidden.len();
    let all = units::counted((shown.len() + other_sites) as u64, "call site");
    let mut lines = Vec::new();
    if shown.is_empty() {
        lines.push(format!("No {} at any of {all}.", sort.label()));
    } else {
        lines.push(format!("{} of {all} by {}:", units::count(shown.len() as u64), sort.label()));
        lines.push(String::new());
        lines.extend(table(context, &shown));
    }
    if other_sites > 0 {
        lines.push(fit(&other_line(sort, other_sites as u64, &others, ranking), context.width));
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
fn other_line(sort: SortBy, sites: u64, others: &AllocStats, ranking: &Ranking) -> String {
    let (value, total) = (sort.value(others), sort.value(&ranking.total));
    let share = if total == 0 { 0.0 } else { value as f64 / total as f64 };
    format!("{}: {}, {}", units::counted(sites, "other site"), amount(sort, value), units::percent(share))
}

/// A value with its unit in words.
#[must_use]
pub fn amount(sort: SortBy, value: u64) -> String {
    if sort.is_bytes() { units::bytes(value) } else { units::counted(value, "block") }
}

/// Numbers of one site, as text; the order is that of [`titles`].
fn cells(rank: usize, site: &Site, sort: SortBy) -> Vec<String> {
    let stats = &site.stats;
    let mut cells = vec![
        rank.to_string(),
        units::bytes(stats.live_bytes()),
        units::count(stats.live_blocks()),
        units::bytes(stats.average_bytes()),
    ];
    if has_own_column(sort) {
        let value = sort.value(stats);
        cells.push(if sort.is_bytes() { units::bytes(value) } else { units::count(value) });
    }
    cells.extend([units::percent(site.share), units::percent(site.running_share)]);
    cells
}

fn titles(sort: SortBy) -> Vec<String> {
    let mut titles = vec!["#", "Live", "Blocks", "Average"];
    if has_own_column(sort) {
        titles.push(sort.title());
    }
    titles.extend(["Share", "Running"]);
    titles.into_iter().map(str::to_owned).collect()
}

/// Live bytes and blocks are always shown; another number ranked by gets a column.
fn has_own_column(sort: SortBy) -> bool {
    !matches!(sort, SortBy::LiveBytes | SortBy::LiveBlocks)
}

fn table(context: &Context, sites: &[&Site]) -> Vec<String> {
    let sort = context.ranking.sort;
    let head = titles(sort);
    let rows: Vec<_> = sites.iter().enumerate().map(|(index, site)| cells(index + 1, site, sort)).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| rows.iter().chain([&head]).map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    let align = |row: &[String]| -> String {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        cells.collect::<Vec<_>>().join("  ")
    };
    let mut lines = vec![format!("{}  Call site", align(&head))];
    for (site, row) in sites.iter().zip(&rows) {
        lines.extend(site_lines(context, site, &align(row)));
    }
    lines
}

fn site_lines(context: &Context, site: &Site, numbers: &str) -> Vec<String> {
    let modules = &context.profile.modules;
    let name = SiteName::of(site.location, context.ranking, context.symbols, modules);
    let room = context.width.map_or(usize::MAX, |width| width.saturating_sub(numbers.len() + 2));
    let mut lines = vec![format!("{numbers}  {}", name.fit(room))];
    lines.extend(interval(&site.stats, context.ranking.sort).map(|text| format!("{:INDENT$}  {text}", "")));
    for line in stack::heaviest(site, context.ranking, context.symbols, modules) {
        let mark = if line.names_site { '>' } else { ' ' };
        lines.push(fit(&format!("{:INDENT$}{mark} {}", "", line.text), context.width));
    }
    lines.extend(more_stacks(site, context.ranking.sort).map(|text| format!("{:INDENT$}  {text}", "")));
    lines.push(String::new());
    lines
}

/// Between which numbers of bytes the truth lies, of an estimate.
pub(super) fn interval(stats: &AllocStats, sort: SortBy) -> Option<String> {
    let of = if stats.interval(sort).is_some() { sort } else { SortBy::LiveBytes };
    let interval = stats.interval(of)?;
    Some(format!("{} {} to {} (95 %)", of.label(), units::bytes(interval.low), units::bytes(interval.high)))
}

fn fit(line: &str, width: Option<usize>) -> String {
    width.map_or_else(|| line.to_owned(), |width| elide::middle(line, width))
}

/// What the stacks that are not shown hold.
fn more_stacks(site: &Site, sort: SortBy) -> Option<String> {
    let rest = site.stacks.get(1..).filter(|rest| !rest.is_empty())?;
    let stats: AllocStats = rest.iter().map(|stack| stack.stats).sum();
    let stacks = units::counted(rest.len() as u64, "more stack");
    Some(format!("and {stacks} ({})", amount(sort, sort.value(&stats))))
}
