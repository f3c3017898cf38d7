//! What the view asks to be looked up for it, and how it takes the answers: blocks, source text, lines of places.

use std::collections::BTreeSet;

use super::{
    app::{App, View},
    detail::{Pane, SourceText},
};
use crate::profile::{BlockQuery, BlockSummary, Location};

/// Stacks of the selected row whose lines are looked up while it is looked at closely.
const STACKS_WITH_LINES: usize = 32;

impl App {
    /// What is asked of the live blocks, if anything, and a number that is another whenever something else is looked at.
    #[must_use]
    pub fn wanted_blocks(&self) -> Option<(u64, BlockQuery)> {
        let moments = self.table.marks.moments();
        let stacks = match self.view {
            View::Detail => Some(self.table.ids(&self.detail.members)),
            View::Generations => None,
            View::Table | View::Flame => return None,
        };
        Some((self.looks, BlockQuery { stacks, moments }))
    }

    /// Whether nothing is known yet of the blocks that [`Self::wanted_blocks`] asks for.
    #[must_use]
    pub const fn lacks_blocks(&self) -> bool {
        self.blocks.is_none()
    }

    /// Takes in what the live blocks of [`Self::wanted_blocks`] are like.
    pub fn set_blocks(&mut self, asked: u64, blocks: BlockSummary) {
        if asked == self.looks {
            self.blocks = Some(blocks);
            self.survivors = self.find_survivors();
        }
    }

    pub(super) fn find_survivors(&self) -> Vec<u64> {
        let blocks = self.blocks.as_ref().filter(|_| self.view == View::Generations);
        blocks.map(|blocks| self.table.survivors(&blocks.survivors)).unwrap_or_default()
    }

    /// Something else is looked at: what is known of blocks is of no use for it.
    pub(super) fn look_elsewhere(&mut self) {
        self.looks += 1;
        self.blocks = None;
        self.survivors.clear();
    }

    /// The line whose source is asked for, as long as it is not known.
    #[must_use]
    pub fn wanted_source(&self) -> Option<(String, u32)> {
        if self.view != View::Detail || self.detail.pane != Pane::Source {
            return None;
        }
        let (file, line) = self.source_line()?;
        let is_known = self.detail.source.as_ref().is_some_and(|text| text.file == file && text.line == line);
        (!is_known).then_some((file, line))
    }

    /// Takes in the text around a line.
    pub fn set_source(&mut self, source: SourceText) {
        self.detail.source = Some(source);
    }

    /// Source line of the selected group.
    pub(super) fn source_line(&self) -> Option<(String, u32)> {
        let shown = self.shown.as_ref()?;
        let stack = self.table.stack(*self.detail.members.first()?).0;
        let source = self.table.grouped().namer.frame(stack.site?, &shown.symbols)?.source.as_ref()?;
        (source.line > 0).then(|| (source.file.to_string(), source.line))
    }

    /// The locations on the screen, whose lines are worth looking up, and some more whose rows may turn out to be one.
    #[must_use]
    pub fn wanted_locations(&mut self) -> BTreeSet<Location> {
        let rows = self.rows();
        let visible = self.table.order().iter().skip(self.cursor.first).take(rows);
        let heaviest = |group: &u32| self.table.any_stack(*group).and_then(|stack| self.table.stack(stack).0.site);
        let mut wanted: BTreeSet<Location> = visible.filter_map(heaviest).collect();
        let members = if self.view == View::Detail { STACKS_WITH_LINES } else { 1 };
        for stack in self.detail.members.iter().take(members) {
            wanted.extend(self.table.stack(*stack).0.stack.iter().copied());
        }
        wanted.extend(self.table.without_lines());
        wanted
    }
}
