//! Reports on many processes: a line of numbers for each, and its largest call sites.

mod json;
#[cfg(test)]
mod tests;
mod text;

use std::{collections::HashMap, sync::Arc};

pub use self::{
    json::line as json,
    text::{cost, processes, short, write},
};
use crate::profile::{Machine, MachineProcess, ProcessKey, ProcessOrder, Profile, Ranking, SymbolTable};

/// What a report says, and how much of it.
#[derive(Debug)]
pub struct MachineReport<'a> {
    /// The numbers.
    pub machine: &'a Machine,
    /// What processes are ranked by.
    pub order: ProcessOrder,
    /// Most processes.
    pub top: usize,
    /// The call stacks of those that are shown, as far as they are known, ranked.
    pub sites: &'a HashMap<ProcessKey, (Arc<Profile>, Ranking)>,
    /// Names of code.
    pub symbols: &'a SymbolTable,
}

impl MachineReport<'_> {
    /// The processes that are shown.
    pub(super) fn shown(&self) -> Vec<&MachineProcess> {
        let mut processes = self.machine.ranked(self.order);
        processes.truncate(self.top);
        processes
    }
}
