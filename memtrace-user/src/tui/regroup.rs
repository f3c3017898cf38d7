//! Keys that change what is grouped by, and what of.

use super::{action::Turn, app::App};
use crate::profile::GroupBy;

impl App {
    pub(super) fn group(&mut self, turn: Turn) {
        self.keeping_selection(|app| {
            app.table.regroup(|grouped| grouped.group_by_next(turn.is_forward(), app.shown.as_ref()));
        });
        if self.table.by() == GroupBy::Thread && !self.table.grouped().knows_threads() {
            self.message = Some("threads are not told apart in this session".into());
        }
    }

    pub(super) fn toggle_threads(&mut self) {
        if !self.table.grouped().knows_threads() {
            self.message = Some("threads are not told apart in this session".into());
            return;
        }
        let split = !self.table.grouped().splits_threads();
        self.keeping_selection(|app| {
            app.table.regroup(|grouped| grouped.set_split_threads(split, app.shown.as_ref()));
        });
    }

    pub(super) fn show_next_domain(&mut self) {
        let mut has_others = false;
        self.keeping_selection(|app| {
            app.table.regroup(|grouped| has_others = grouped.show_next_domain(app.shown.as_ref()));
        });
        let domain = self.table.grouped().domain();
        self.message = Some(if has_others {
            format!("{}: {}", domain.name(), domain.meaning())
        } else {
            format!("there is nothing but {}; --domain says what is recorded", domain.name())
        });
    }
}
