//! The largest call sites of the selected process, below the table.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Borders},
};

use super::super::app::{MachineApp, Sites};
use crate::{
    profile::Site,
    report::{elide, escape::escape, frames::SiteName, units},
};

pub(super) fn render(frame: &mut Frame, area: Rect, app: &MachineApp) {
    let Some(process) = app.selected() else { return };
    if area.height == 0 {
        return;
    }
    let width = usize::from(area.width);
    let sites = app.sites_of_selected();
    let what = match sites {
        None => "its call sites are looked up".into(),
        Some(sites) => count(sites),
    };
    let name = elide::middle(&escape(&process.command), width.saturating_sub(elide::width(&what) + 16).max(8));
    let title = elide::end(&format!(" {} {name}: {what} ", process.pid), width.saturating_sub(1));
    let block = Block::new().borders(Borders::TOP).title(Span::styled(title, app.theme.title));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let Some(sites) = sites else { return };
    let shown = sites.ranking.sites.iter().filter(|site| site.stats.live_bytes() > 0);
    for (row, site) in inner.rows().zip(shown) {
        frame.render_widget(line(site, sites, width), row);
    }
}

fn count(sites: &Sites) -> String {
    let all = sites.ranking.sites.len() + sites.ranking.others.sites;
    match all {
        0 => "nothing allocated since tracing began".into(),
        _ => format!("{}, by live bytes", units::counted(all as u64, "call site")),
    }
}

fn line<'a>(site: &Site, sites: &Sites, width: usize) -> Line<'a> {
    let name = SiteName::of(site.location, &sites.ranking, &sites.symbols, &sites.profile.modules);
    let numbers = format!("  {:>10} {:>6}  ", units::bytes(site.stats.live_bytes()), units::percent(site.share));
    let room = width.saturating_sub(elide::width(&numbers));
    Line::raw(format!("{numbers}{}", name.fit(room)))
}
