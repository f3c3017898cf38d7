//! Where keys and the mouse lead: from row to row, into what is selected and out again.

use super::{
    action::Move,
    app::{App, View},
    flame::Step,
    view::{
        self,
        hit::{self, Hit},
    },
};

impl App {
    pub(super) fn select(&mut self, step: Move) {
        let page = self.rows();
        if let Some(first) = &mut self.help {
            *first = step.from(*first, page, view::help::lines());
            return;
        }
        match self.view {
            View::Table => {
                self.cursor.at = step.from(self.cursor.at, page, self.table.order().len());
                self.follows_row = step != Move::First;
            }
            View::Detail => {
                let count = view::detail::count_lines(self);
                self.detail.at = step.from(self.detail.at, page, count);
            }
            View::Flame => self.flame.step(match step {
                Move::Up | Move::WheelUp | Move::PageUp | Move::First => Step::Out,
                _ => Step::In,
            }),
            View::Generations => {
                self.growth_cursor.at = step.from(self.growth_cursor.at, page, self.table.growth.len());
            }
        }
    }

    pub(super) fn open(&mut self) {
        match self.view {
            _ if self.help.is_some() => {}
            View::Table if self.selected_group().is_some() => {
                self.follows_row = true;
                self.look_elsewhere();
                self.detail.begin();
                self.view = View::Detail;
            }
            View::Table => {}
            View::Detail => self.detail.turn(),
            View::Flame => self.flame.zoom_in(),
            View::Generations => self.open_grown(),
        }
    }

    /// From a row of the generations to its detail.
    fn open_grown(&mut self) {
        let Some(row) = self.table.growth.get(self.growth_cursor.at) else { return };
        let place = self.table.order().iter().position(|group| *group == row.group);
        if let Some(place) = place {
            self.cursor.at = place;
            self.follows_row = true;
            self.look_elsewhere();
            self.detail.begin();
            self.view = View::Detail;
        }
    }

    pub(super) fn back(&mut self) {
        if self.help.take().is_some() {
            return;
        }
        match self.view {
            View::Flame if !self.typing && self.flame.zoom_out() => {}
            View::Table => {
                self.typing = false;
                self.filter(String::clear);
            }
            _ if self.typing => {
                self.typing = false;
                self.filter(String::clear);
            }
            _ => self.view = View::Table,
        }
    }

    pub(super) fn sideways(&mut self, right: bool) {
        match self.view {
            View::Detail => self.detail.fold(right),
            View::Flame => self.flame.step(if right { Step::Right } else { Step::Left }),
            View::Table | View::Generations => {}
        }
    }

    pub(super) fn click(&mut self, column: u16, line: u16) {
        if self.help.take().is_some() {
            return;
        }
        match hit::at(self, self.size, (column, line)) {
            Some(Hit::Title(order)) => self.sort_by(order),
            Some(Hit::Row(row)) if row == self.cursor.at => self.open(),
            Some(Hit::Row(row)) => {
                self.cursor.at = row;
                self.follows_row = true;
            }
            Some(Hit::TreeLine(line)) if line == self.detail.at => self.detail.turn(),
            Some(Hit::TreeLine(line)) => self.detail.at = line,
            Some(Hit::Growth(row)) if row == self.growth_cursor.at => self.open_grown(),
            Some(Hit::Growth(row)) => self.growth_cursor.at = row,
            Some(Hit::Flame(node)) => {
                if Some(node) == self.flame.selected() {
                    self.flame.zoom_in();
                }
                self.flame.select(node);
            }
            None => {}
        }
    }
}
